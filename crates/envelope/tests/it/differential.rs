//! Against the crate `age`, which runs as a process of its own (`benches/peers/age-peer`): its dependencies and ours cannot
//! be in one program. `.ci/differential.sh` builds it and names it in `SYMBOLON_AGE_PEER`; without that, this prints
//! `SKIPPED`. `SYMBOLON_DIFFERENTIAL` sets how many altered files there are.

use std::env;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use rand_core::CryptoRng;
use symbolon_envelope::{
    AgeIdentity, CHUNK, Expect, Identity, Open, Recipient, ScryptKey, armor, dearmor, is_armored, seal,
};
use symbolon_keys::{AgeSecretKey, Backend};

use crate::support::{bytes, rng, skipped};

const SIZES: [usize; 7] = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7];
const PASSPHRASE: &str = "passphrase";

struct Peer(Child);

impl Peer {
    fn start() -> Option<Self> {
        let program = env::var_os("SYMBOLON_AGE_PEER")?;
        let mut command = Command::new(program);
        Some(Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()))
    }

    fn ask(&mut self, head: [u8; 2], key: &str, data: &[u8]) -> (bool, Vec<u8>) {
        let to = self.0.stdin.as_mut().unwrap();
        to.write_all(&head).unwrap();
        for field in [key.as_bytes(), data] {
            to.write_all(&(field.len() as u32).to_be_bytes()).unwrap();
            to.write_all(field).unwrap();
        }
        to.flush().unwrap();
        let from = self.0.stdout.as_mut().unwrap();
        let mut head = [0; 5];
        from.read_exact(&mut head).unwrap();
        let [status, len @ ..] = head;
        let mut out = vec![0; u32::from_be_bytes(len) as usize];
        from.read_exact(&mut out).unwrap();
        (status == 0, out)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// One key, as both sides name it.
struct Key {
    identity: AgeIdentity,
    passphrase: Option<ScryptKey>,
    seals: String,
    opens: String,
}

fn keys() -> [Key; 2] {
    let key = |passphrase: Option<ScryptKey>| {
        let identity = AgeSecretKey::generate(Backend::best(), &mut rng(7));
        let identity = AgeIdentity::Classical(Box::new(identity));
        let name = format!("passphrase{PASSPHRASE}");
        let (seals, opens) = match &passphrase {
            None => (identity.recipient().to_string(), identity.to_secret_string().to_string()),
            Some(_) => (name.clone(), name),
        };
        Key { identity, passphrase, seals, opens }
    };
    [key(None), key(Some(ScryptKey::new(PASSPHRASE).work(2).max_work(4)))]
}

impl Key {
    fn seal(&self, plain: &[u8], armored: bool) -> Vec<u8> {
        let recipient = self.identity.recipient();
        let recipient: &dyn Recipient = self.passphrase.as_ref().map_or(&recipient, |key| key);
        let sealed = seal(&[recipient], plain).unwrap();
        if armored { armor(&sealed).into_bytes() } else { sealed }
    }

    fn open(&self, file: &[u8]) -> Option<Vec<u8>> {
        let identity: &dyn Identity = self.passphrase.as_ref().map_or(&self.identity, |key| key);
        let file = if is_armored(file) { dearmor(file).ok()? } else { file.to_vec() };
        let opened = Open::with(&[identity]).expect(Expect::absent()).bytes(&file).ok()?;
        Some(opened.into_plaintext())
    }
}

#[test]
fn each_opens_what_the_other_sealed() {
    let Some(mut peer) = Peer::start() else { return skipped("the crate age: SYMBOLON_AGE_PEER is not set") };
    for (key, size) in keys().iter().flat_map(|key| SIZES.map(|size| (key, size))) {
        let plain = bytes(size);
        for armored in [false, true] {
            let (done, theirs) = peer.ask([b's', u8::from(armored)], &key.seals, &plain);
            assert!(done && is_armored(&theirs) == armored);
            assert!(key.open(&theirs).unwrap() == plain, "{size} bytes of theirs, armored: {armored}");
            let (done, opened) = peer.ask([b'o', 0], &key.opens, &key.seal(&plain, armored));
            assert!(done && opened == plain, "{size} bytes of ours, armored: {armored}");
        }
    }
}

#[test]
fn both_refuse_the_same_files() {
    let Some(mut peer) = Peer::start() else { return skipped("the crate age: SYMBOLON_AGE_PEER is not set") };
    let count = env::var("SYMBOLON_DIFFERENTIAL").map_or(400, |count| count.parse().unwrap());
    let (mut rng, keys) = (rng(1), keys());
    let (mut accepted, mut refused, mut differ) = (0, 0, Vec::new());
    for n in 0..count {
        let key = &keys[n % 2];
        let plain = bytes([0, 1, 100, CHUNK, CHUNK + 50][n % 5]);
        let armored = n % 3 == 0;
        let mut file = match n % 7 {
            0 => peer.ask([b's', u8::from(armored)], &key.seals, &plain).1,
            _ => key.seal(&plain, armored),
        };
        let altered = alter(&mut file, &mut rng);
        let ours = key.open(&file);
        let (done, theirs) = peer.ask([b'o', 0], &key.opens, as_they_know_it(&file));
        if ours.is_some() != done {
            let shown = String::from_utf8_lossy(&file[..file.len().min(900)]).into_owned();
            differ.push(format!("{n}, {altered}; we accept it: {}\n{shown}\n", ours.is_some()));
        }
        assert!(plain.starts_with(&theirs), "{n}, {altered}: what they released");
        assert!(ours.is_none_or(|opened| opened == plain), "{n}, {altered}: what we opened");
        if done { accepted += 1 } else { refused += 1 }
    }
    assert!(differ.is_empty(), "{} differ\n{}", differ.len(), differ.concat());
    assert!(accepted > 0 && refused > accepted, "{accepted} accepted, {refused} refused");
}

/// White space before armor is allowed, and the crate does not look for it.
fn as_they_know_it(file: &[u8]) -> &[u8] {
    if is_armored(file) { file.trim_ascii_start() } else { file }
}

/// One change, mostly in the header, or in the lines of the armor.
fn alter(file: &mut Vec<u8>, rng: &mut impl CryptoRng) -> &'static str {
    let mut below = |limit: usize| (rng.next_u64() % limit as u64) as usize;
    let near = if below(2) == 0 { file.len().min(250) } else { file.len() };
    let at = below(near);
    let lines: Vec<usize> = (0..file.len().min(400)).filter(|n| file[*n] == b'\n').collect();
    let line = lines.get(below(lines.len().max(1))).copied().unwrap_or(0);
    match below(14) {
        0 => {
            file[at] ^= 1 << below(8);
            "a bit"
        }
        1 => {
            file.truncate(at);
            "cut"
        }
        2 => {
            file.remove(at);
            "a byte less"
        }
        3 => {
            file.insert(at, b" \n\r\tA=-\0"[below(8)]);
            "a byte more"
        }
        4 => {
            file.extend_from_slice(&b"\n\n \r\nA=x"[..1 + below(7)]);
            "more at the end"
        }
        5 => {
            file.insert(line, b'\r');
            "one carriage return"
        }
        6 => {
            let text =
                file.iter().flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] });
            *file = text.collect();
            "carriage returns"
        }
        7 => {
            file.splice(line..line, b"\n-> unknown argument\nAAAA".iter().copied());
            "another stanza"
        }
        8 => {
            let end = lines.iter().find(|end| **end > line).copied().unwrap_or(file.len());
            let again = file[line..end].to_vec();
            file.splice(line..line, again);
            "a line twice"
        }
        9 => {
            let end = lines.iter().find(|end| **end > line).copied().unwrap_or(file.len());
            file.drain(line..end);
            "a line less"
        }
        10 => {
            file.splice(0..0, b" \n\t\r\n"[..1 + below(5)].iter().copied());
            "white space before"
        }
        11 => {
            let end = file.len() - file.len().min(below(40));
            file.truncate(end);
            "cut near the end"
        }
        12 => {
            let last = file.len() - 1 - below(20).min(file.len() - 1);
            file[last] ^= 1 << below(8);
            "a bit near the end"
        }
        _ => "nothing",
    }
}
