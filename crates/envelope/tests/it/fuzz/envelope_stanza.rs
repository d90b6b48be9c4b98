//! Stanzas from strangers, each alone in a header, before keys of every type: what is accepted is canonical, and the only
//! stanzas that a key unwraps are those that were made for it.
//!
//! The input is the arguments in one line, and after it the body, as bytes.

use symbolon_envelope::{
    Expect, Header, HybridSecretKey, Identity, MAX_HEADER, Open, OpenError, ScryptKey, ServerKeys, Stanza,
    UserKey, armor,
};
use symbolon_keys::{AgeSecretKey, Backend, Secret};

/// One for each of the keys below. Changed in any bit, none of them is for anybody.
pub(crate) const KNOWN: [&[u8]; 5] = [
    include_bytes!("../../../../../fuzz/corpus/envelope_stanza/shared-key"),
    include_bytes!("../../../../../fuzz/corpus/envelope_stanza/server-key"),
    include_bytes!("../../../../../fuzz/corpus/envelope_stanza/x25519"),
    include_bytes!("../../../../../fuzz/corpus/envelope_stanza/mlkem768x25519"),
    include_bytes!("../../../../../fuzz/corpus/envelope_stanza/scrypt"),
];

/// The keys of the known stanzas, in their order.
pub(crate) fn with_identities(use_them: impl FnOnce(&[&dyn Identity])) {
    let user = UserKey::from(Secret::from([1; 32]));
    let server = ServerKeys::from_key(3, Secret::from([2; 32])).unwrap();
    let age = AgeSecretKey::from_secret(Backend::Portable, Secret::from([3; 32]));
    let hybrid = HybridSecretKey::from_seed(Backend::Portable, Secret::from([4; 32])).unwrap();
    let passphrase = ScryptKey::new("passphrase").work(1).max_work(2);
    use_them(&[&user.up(), &server, &age, &hybrid, &passphrase]);
}

pub(crate) fn run(data: &[u8]) {
    let (line, body) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    let made = str::from_utf8(line).ok().and_then(|line| {
        let args: Vec<&str> = line.split(' ').collect();
        Stanza::new(&args, body.to_vec()).ok()
    });
    let file = header(line, body);
    let parsed = Header::parse(&file).ok().map(|(header, rest)| {
        assert!(rest.is_empty());
        assert_eq!(header.stanzas().len(), 1);
        header
    });
    let stanza = parsed.as_ref().map(|header| header.stanzas()[0].clone());
    assert_eq!(stanza, made.filter(|_| file.len() <= MAX_HEADER), "the parser and the type agree");
    let Some(header) = parsed else { return };
    with_identities(|identities| {
        for (identity, known) in identities.iter().zip(KNOWN) {
            let outcome = outcome(*identity, &header);
            // The MAC is wrong in any case, and is looked at when there is a file key.
            assert_eq!(outcome == OpenError::HeaderMac, data == known, "{outcome:?}");
        }
    });
}

/// A header of one stanza, as it would be written; its MAC is of zeros.
fn header(line: &[u8], body: &[u8]) -> Vec<u8> {
    let armored = armor(body);
    // The same base64 in the same lines, between the first and the last, but for its padding.
    let text: Vec<&str> = armored.lines().filter(|line| !line.starts_with('-')).collect();
    let full = if body.len().is_multiple_of(48) && !body.is_empty() { "\n" } else { "" };
    let body = text.join("\n");
    let end = format!("\n{}{full}\n--- {}\n", body.trim_end_matches('='), "A".repeat(43));
    [b"age-encryption.org/v1\n-> ", line, end.as_bytes()].concat()
}

fn outcome(identity: &dyn Identity, header: &Header) -> OpenError {
    let identities = [identity];
    let mut outcomes = Backend::ALL.iter().map(|backend| {
        let open = Open::with(&identities).expect(Expect::anything()).backend(*backend);
        open.header(header).map(|_| ()).unwrap_err()
    });
    let first = outcomes.next().unwrap();
    assert!(outcomes.all(|outcome| outcome == first), "the backends differ");
    first
}
