//! One ciphertext under two keys: ChaCha20-Poly1305 alone would open it under both, and nothing of ours does.
//!
//! Poly1305 is a polynomial over 2^130 - 5 whose point each key chooses. For two known keys, one free block of the
//! ciphertext makes the two tags the same ("Partitioning Oracle Attacks", Len, Grubbs and Ristenpart, 2021).

use base64ct::{Base64Unpadded, Encoding};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sha3::{Digest, Sha3_256};
use shake::Shake256;
use shake::digest::{ExtendableOutput, Update, XofReader};
use symbolon_envelope::{Expect, HybridSecretKey, Identity, Open, OpenError, ScryptKey, ServerKeys, UserKey};
use symbolon_keys::hazmat::{ChaChaPoly, KemSecretKey};
use symbolon_keys::{AgeSecretKey, Backend, Label, RootKey, Secret, label};

use crate::support::rng;

mod field;

use field::Element;

/// A key of the AEAD, and the nonce that goes with it.
#[derive(Clone)]
struct Lock {
    key: [u8; 32],
    nonce: [u8; 12],
}

impl Lock {
    const fn new(key: [u8; 32]) -> Self {
        Self { key, nonce: [0; 12] }
    }

    /// The point and the pad of Poly1305 (RFC 8439, 2.6).
    fn one_time(&self) -> (Element, u128) {
        let mut block = [0; 32];
        ChaCha20::new(&self.key.into(), &self.nonce.into()).apply_keystream(&mut block);
        let (point, pad) = block.split_at(16);
        let clamp = 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
        let [point, pad] = [point, pad].map(|half| u128::from_le_bytes(half.try_into().unwrap()));
        (Element::new(point & clamp, 0), pad)
    }

    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (ciphertext, tag) = sealed.split_last_chunk().unwrap();
        let mut out = ciphertext.to_vec();
        let key = ChaChaPoly::new(Backend::Portable, &Secret::from(self.key));
        key.open_in_place(self.nonce, b"", &mut out, tag).ok().map(|()| out)
    }
}

/// A ciphertext of whole blocks with a tag that both locks accept, if the block `free` can be chosen so.
fn collide(mut ciphertext: Vec<u8>, free: usize, locks: &[Lock; 2]) -> Option<Vec<u8>> {
    let blocks = ciphertext.len() / 16;
    ciphertext[16 * free..16 * (free + 1)].fill(0);
    let sides = locks.clone().map(|lock| {
        let (point, pad) = lock.one_time();
        // What everything but the free block adds to the tag, and what the free block is multiplied by.
        let lengths = Element::new((ciphertext.len() as u128) << 64, 1);
        let (mut sum, mut factor) = (Element::ZERO, Element::ZERO);
        for (n, block) in ciphertext.chunks(16).enumerate() {
            let value = u128::from_le_bytes(block.try_into().unwrap());
            sum = sum.add(if n == free { Element::ZERO } else { Element::new(value, 1) }).mul(point);
            factor = if n == free { point } else { factor.mul(point) };
        }
        (sum.add(lengths).mul(point).add(Element::new(pad, 0)), factor.mul(point), pad)
    });
    let [(sum, factor, pad), (other_sum, other_factor, _)] = sides;
    assert!(free < blocks);
    let divisor = factor.sub(other_factor).inverse();
    // The tags are compared modulo 2^128, the sums are equal modulo 2^130 - 5: a few multiples are to be tried.
    (0..9).find_map(|multiple| {
        let by = Element::new(0, 4).sub(Element::new(0, multiple));
        let (value, 1) = other_sum.sub(sum).add(by).mul(divisor).parts() else { return None };
        ciphertext[16 * free..16 * (free + 1)].copy_from_slice(&value.to_le_bytes());
        let total = sum.sub(Element::new(pad, 0)).add(Element::new(value, 1).mul(factor));
        let tag = total.parts().0.wrapping_add(pad);
        let sealed = [&ciphertext[..], &tag.to_le_bytes()].concat();
        locks.iter().all(|lock| lock.open(&sealed).is_some()).then_some(sealed)
    })
}

fn hkdf<const N: usize>(ikm: &[u8], salt: &[u8], info: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    Hkdf::<Sha256>::new(Some(salt), ikm).expand(info, &mut out).unwrap();
    out
}

fn base64(bytes: &[u8]) -> String {
    Base64Unpadded::encode_string(bytes)
}

/// A whole file: these stanzas, a MAC and a payload under `file_key`.
fn file(stanzas: &[(String, Vec<u8>)], file_key: &[u8], payload: Option<&[u8]>) -> Vec<u8> {
    let mut header = "age-encryption.org/v1\n".to_string();
    for (line, body) in stanzas {
        header += &format!("-> {line}\n{}\n", base64(body));
    }
    header += "---";
    let mac = Hmac::<Sha256>::new_from_slice(&hkdf::<32>(file_key, b"", b"header")).unwrap();
    let mac = mac.chain_update(&header).finalize().into_bytes();
    header += &format!(" {}\n", base64(&mac));
    let sealed = payload.map(<[u8]>::to_vec).unwrap_or_else(|| {
        let mut chunk = b"document".to_vec();
        let key = ChaChaPoly::new(Backend::Portable, &Secret::from(payload_lock(file_key).key));
        let tag = key.seal_in_place(payload_lock(file_key).nonce, b"", &mut chunk).unwrap();
        [&chunk[..], &tag].concat()
    });
    [header.as_bytes(), &[9; 16], &sealed].concat()
}

/// For the first chunk, which is the last.
fn payload_lock(file_key: &[u8]) -> Lock {
    Lock { key: hkdf(file_key, &[9; 16], b"payload"), nonce: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] }
}

fn open(identity: &dyn Identity, file: &[u8]) -> Result<(), OpenError> {
    let identities = [identity];
    let mut outcomes = Backend::ALL.iter().map(|backend| {
        let open = Open::with(&identities).expect(Expect::anything()).backend(*backend);
        open.bytes(file).map(|_| ())
    });
    let first = outcomes.next().unwrap();
    assert!(outcomes.all(|outcome| outcome == first));
    first
}

/// What a type of stanza makes of a salt: its locks, and its lines, one for each commitment that it can have.
struct Attempt {
    locks: [Lock; 2],
    lines: Vec<String>,
}

/// Whoever the commitment is not for does not match, if there is one; whoever the MAC is not for refuses the header.
fn refused(kind: &str, identities: [&dyn Identity; 2], attempt: impl Fn(u8) -> Attempt) {
    let crafted = (0..=255).find_map(|n| {
        let Attempt { locks, lines } = attempt(n);
        collide(vec![n; 16], 0, &locks).map(|body| (body, locks, lines))
    });
    let (body, locks, lines) = crafted.unwrap();
    let file_keys = locks.map(|lock| lock.open(&body).unwrap());
    assert_ne!(file_keys[0], file_keys[1], "{kind}: two keys in one body");
    for (committed, line) in lines.iter().enumerate() {
        for (by, file_key) in file_keys.iter().enumerate() {
            let file = file(&[(line.clone(), body.clone())], file_key, None);
            for (n, identity) in identities.iter().enumerate() {
                let expected = match n {
                    _ if lines.len() == 2 && n != committed => Err(OpenError::NoMatch),
                    _ if n != by => Err(OpenError::HeaderMac),
                    _ => Ok(()),
                };
                assert_eq!(open(*identity, &file), expected, "{kind}: {committed} {by} {n}");
            }
        }
    }
}

fn committed(line: &str, keys: [[u8; 32]; 2], label: Label, fields: &[&[u8]], salt: &[u8; 24]) -> Attempt {
    let mut commitments = Vec::new();
    let locks = keys.map(|key| {
        let fields = [fields, &[salt, b""]].concat();
        let okm = RootKey::from(Secret::from(key)).derive::<64>(label, &fields).unwrap();
        let (wrap, commit) = okm.expose().split_at(32);
        commitments.push(base64(commit));
        Lock::new(wrap.try_into().unwrap())
    });
    let lines = commitments.iter().map(|commit| format!("{line} {} {commit}", base64(salt))).collect();
    Attempt { locks, lines }
}

#[test]
fn shared_and_server_keys_commit() {
    let keys = [[1; 32], [2; 32]];
    let users = keys.map(|key| UserKey::from(Secret::from(key)));
    refused("shared-key", [&users[0].up(), &users[1].up()], |n| {
        committed("symbolon.dev/shared-key up", keys, label::SHARED_KEY, &[b"up"], &[n; 24])
    });
    let [one, two] = keys.map(|key| ServerKeys::from_key(3, Secret::from(key)).unwrap());
    refused("server-key", [&one, &two], |n| {
        committed("symbolon.dev/server-key 3", keys, label::SERVER_KEY, &[&3_u32.to_be_bytes()], &[n; 24])
    });
}

#[test]
fn stanzas_of_age_stand_under_the_mac() {
    let keys = [1, 2].map(|n| AgeSecretKey::generate(Backend::Portable, &mut rng(n)));
    refused("X25519", [&keys[0], &keys[1]], |n| {
        let ephemeral = AgeSecretKey::from_secret(Backend::Portable, Secret::from([n; 32]));
        let share = ephemeral.public_key().as_bytes();
        let locks = [&keys[0], &keys[1]].map(|key| {
            let shared = ephemeral.diffie_hellman(key.public_key()).unwrap();
            let salt = [share.as_slice(), key.public_key().as_bytes()].concat();
            Lock::new(hkdf(shared.raw().expose(), &salt, b"age-encryption.org/v1/X25519"))
        });
        Attempt { locks, lines: vec![format!("X25519 {}", base64(share))] }
    });
    let passphrases = ["one", "two"];
    let keys = passphrases.map(ScryptKey::new);
    refused("scrypt", [&keys[0], &keys[1]], |n| {
        let salt = [b"age-encryption.org/v1/scrypt".as_slice(), &[n; 16]].concat();
        let locks = passphrases.map(|passphrase| {
            let mut key = [0; 32];
            let params = scrypt::Params::new(1, 8, 1).unwrap();
            scrypt::scrypt(passphrase.as_bytes(), &salt, &params, &mut key).unwrap();
            Lock::new(key)
        });
        Attempt { locks, lines: vec![format!("scrypt {} 1", base64(&[n; 16]))] }
    });
}

/// X-Wing and the key schedule of HPKE (RFC 9180, 5.1), written down a second time.
fn hybrid_lock(seed: [u8; 32], ciphertext: &[u8; 1088], ephemeral: &AgeSecretKey) -> Lock {
    let mut expanded = [0; 96];
    Shake256::default().chain(seed).finalize_xof().read(&mut expanded);
    let (kem, scalar) = (expanded.first_chunk().unwrap(), expanded.last_chunk().unwrap());
    let kem = KemSecretKey::from_seed(Backend::Portable, &Secret::from(*kem));
    let dh = AgeSecretKey::from_secret(Backend::Portable, Secret::from(*scalar));
    let share = ephemeral.public_key();
    let (of_kem, of_dh) = (kem.decapsulate(ciphertext).unwrap(), dh.diffie_hellman(share).unwrap());
    let shared = [
        of_kem.raw().expose().as_slice(),
        of_dh.raw().expose(),
        share.as_bytes(),
        dh.public_key().as_bytes(),
        b"\\.//^\\",
    ];
    let shared = Sha3_256::digest(shared.concat());

    let suite = b"HPKE\x64\x7a\x00\x01\x00\x03".as_slice();
    let extract = |salt: &[u8], label: &[u8], ikm: &[u8]| {
        Hkdf::<Sha256>::extract(Some(salt), &[b"HPKE-v1", suite, label, ikm].concat()).0
    };
    let context = [
        [0].as_slice(),
        &extract(b"", b"psk_id_hash", b""),
        &extract(b"", b"info_hash", b"age-encryption.org/mlkem768x25519"),
    ];
    let secret = extract(&shared, b"secret", b"");
    let (mut key, mut nonce) = ([0; 32], [0; 12]);
    for (label, out) in [(b"key".as_slice(), key.as_mut_slice()), (b"base_nonce", &mut nonce)] {
        let len = (out.len() as u16).to_be_bytes();
        let info = [&len[..], b"HPKE-v1", suite, label, &context.concat()].concat();
        Hkdf::<Sha256>::from_prk(&secret).unwrap().expand(&info, out).unwrap();
    }
    Lock { key, nonce }
}

#[test]
fn the_hybrid_of_age_stands_under_the_mac() {
    let seeds = [[1; 32], [2; 32]];
    let [one, two] =
        seeds.map(|seed| HybridSecretKey::from_seed(Backend::Portable, Secret::from(seed)).unwrap());
    // Any ciphertext decapsulates: the wrong one to what looks random.
    let ciphertext = [7; 1088];
    refused("mlkem768x25519", [&one, &two], |n| {
        let ephemeral = AgeSecretKey::from_secret(Backend::Portable, Secret::from([n; 32]));
        let locks = seeds.map(|seed| hybrid_lock(seed, &ciphertext, &ephemeral));
        let enc = [ciphertext.as_slice(), ephemeral.public_key().as_bytes()].concat();
        Attempt { locks, lines: vec![format!("mlkem768x25519 {}", base64(&enc))] }
    });
}

/// Each of two recipients has a stanza with a file key of their own, and the payload opens under both.
#[test]
fn a_payload_under_two_file_keys_has_one_reader() {
    let file_keys = [[1; 16], [2; 16]];
    let locks = file_keys.map(|file_key| payload_lock(&file_key));
    let crafted = (0..=255).find_map(|n| collide(vec![n; 64], 2, &locks)).unwrap();
    assert_ne!(locks[0].open(&crafted), locks[1].open(&crafted), "two documents in one payload");

    let keys = [[3; 32], [4; 32]];
    let stanzas: Vec<_> = (0..2)
        .map(|n| {
            let Attempt { locks, lines } =
                committed("symbolon.dev/shared-key down", keys, label::SHARED_KEY, &[b"down"], &[5; 24]);
            let mut body = file_keys[n].to_vec();
            let key = ChaChaPoly::new(Backend::Portable, &Secret::from(locks[n].key));
            let tag = key.seal_in_place([0; 12], b"", &mut body).unwrap();
            (lines[n].clone(), [&body[..], &tag].concat())
        })
        .collect();
    let users = keys.map(|key| UserKey::from(Secret::from(key)));
    for (by, file_key) in file_keys.iter().enumerate() {
        let file = file(&stanzas, file_key, Some(&crafted));
        for (n, user) in users.iter().enumerate() {
            let expected = if n == by { Ok(()) } else { Err(OpenError::HeaderMac) };
            assert_eq!(open(&user.down(), &file), expected);
        }
    }
}
