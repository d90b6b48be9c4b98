//! Whole envelopes from strangers, under keys that fit some of them: every way to read agrees with every other, on every
//! backend, and releases a beginning of the same plaintext.
//!
//! The first byte is the size of the pieces, the rest is the envelope.

use std::io::{Cursor, Read};

use symbolon_envelope::{
    Context, Expect, Header, HybridSecretKey, Identity, Open, OpenError, Recipient, RecordId, Rewrap, Seal,
    ServerKeys, UserKey,
};
use symbolon_keys::{AgeSecretKey, Backend, Secret};

struct Keys {
    user: UserKey,
    server: ServerKeys,
    age: AgeSecretKey,
    hybrid: HybridSecretKey,
}

fn keys() -> Keys {
    Keys {
        user: UserKey::from(Secret::from([1; 32])),
        server: ServerKeys::from_key(3, Secret::from([2; 32])).unwrap(),
        age: AgeSecretKey::from_secret(Backend::Portable, Secret::from([3; 32])),
        hybrid: HybridSecretKey::from_seed(Backend::Portable, Secret::from([4; 32])).unwrap(),
    }
}

/// An envelope that one of the keys opens.
#[allow(dead_code, reason = "the tests start from it, the fuzzer from its corpus")]
pub(crate) fn sample(which: u8) -> Vec<u8> {
    let keys = keys();
    let (up, current) = (keys.user.up(), keys.server.current());
    let recipient: &dyn Recipient = match which % 4 {
        0 => &up,
        1 => &current,
        2 => keys.age.public_key(),
        _ => keys.hybrid.public_key(),
    };
    let context = Context::of(RecordId::from([which; 16])).with(vec![which; 10]);
    let recipients = [recipient];
    let seal = Seal::to(&recipients).backend(Backend::Portable);
    let seal = if which % 4 < 2 { seal.context(&context) } else { seal };
    seal.bytes(&[which; 100]).unwrap()
}

pub(crate) fn run(data: &[u8]) {
    let Some((&size, file)) = data.split_first() else { return };
    let keys = keys();
    let up = keys.user.up();
    let identities: [&dyn Identity; 4] = [&up, &keys.server, &keys.age, &keys.hybrid];
    let mut outcomes = Vec::new();
    for backend in Backend::ALL {
        let open = Open::with(&identities).expect(Expect::anything()).backend(*backend);
        let whole = open.bytes(file).map(|opened| opened.into_plaintext());
        let (released, streamed) = in_pieces(&open, file, usize::from(size).max(1));
        assert_eq!(streamed, whole.as_ref().map(|_| ()).map_err(|error| *error));
        let (read, outcome) = as_reader(&open, file);
        assert_eq!(outcome, streamed);
        assert!(read == released, "one way released more than another");
        seek(&open, file, &whole);
        outcomes.push((whole, released));
        rewrap(&up, &keys.age, file);
    }
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "the backends differ");
}

fn in_pieces(open: &Open<'_>, file: &[u8], size: usize) -> (Vec<u8>, Result<(), OpenError>) {
    let (mut stream, mut out) = (open.clone().begin(), Vec::new());
    let outcome = file.chunks(size).try_for_each(|piece| stream.push(piece, &mut out));
    let outcome = outcome.and_then(|()| stream.finish(&mut out));
    (out, outcome)
}

fn as_reader(open: &Open<'_>, file: &[u8]) -> (Vec<u8>, Result<(), OpenError>) {
    let mut out = Vec::new();
    let outcome = open.reader(file).and_then(|mut opener| opener.read_to_end(&mut out));
    (out, outcome.map(|_| ()).map_err(|error| OpenError::from_io(&error).unwrap()))
}

fn seek(open: &Open<'_>, file: &[u8], whole: &Result<Vec<u8>, OpenError>) {
    let mut out = Vec::new();
    let outcome = open.seekable(Cursor::new(file)).and_then(|mut opener| opener.read_to_end(&mut out));
    assert_eq!(outcome.is_ok(), whole.is_ok());
    if let Ok(whole) = whole {
        assert!(out == *whole);
    }
}

/// What the header lets through is re-wrapped around the same payload.
fn rewrap(up: &dyn Identity, to: &AgeSecretKey, file: &[u8]) {
    if let Ok(sealed) = Rewrap::from(up).to(to.public_key()).apply(file) {
        assert!(Header::parse(file).unwrap().1 == Header::parse(&sealed).unwrap().1);
        let again =
            Open::with(&[to]).expect(Expect::anything()).bytes(&sealed).map(|opened| opened.into_plaintext());
        let before =
            Open::with(&[up]).expect(Expect::anything()).bytes(file).map(|opened| opened.into_plaintext());
        assert_eq!(again, before);
    }
}
