//! The vectors of C1 and C2, made by an independent implementation.

use serde_json::Value;
use sha2::{Digest, Sha256};
use symbolon_envelope::{Context, Expect, Header, Identity, Open, Policy, RecordId, ServerKeys, UserKey};
use symbolon_keys::Backend;

use crate::support::{id, secret};

const GOOD: usize = 6;
const BAD: usize = 34;

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap()
}

fn load(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

/// Opens a vector with its key, whichever kind it is.
fn with_identity<T>(vector: &Value, use_it: impl FnOnce(&dyn Identity) -> T) -> T {
    if text(vector, "kind") == "server-key" {
        let version = vector["version"].as_u64().unwrap().try_into().unwrap();
        return use_it(&ServerKeys::from_key(version, secret(text(vector, "server_key"))).unwrap());
    }
    let key = UserKey::from(secret(text(vector, "kek")));
    match text(vector, "direction") {
        "up" => use_it(&key.up()),
        "down" => use_it(&key.down()),
        _ => use_it(&key.local()),
    }
}

fn expected(vector: &Value) -> Option<Context> {
    let record: RecordId = text(vector, "record_id").parse().unwrap();
    let context = match (text(vector, "context_stanza"), text(vector, "realm")) {
        ("", _) => return None,
        // The vectors with empty names carry a hundred bytes of parameters.
        (_, "") => Context::of(record).with(vec![b'p'; 100]),
        (_, realm) => Context::new(id(realm), record, id(text(vector, "owner"))),
    };
    let policy = Policy::from_bits(vector["policy"].as_u64().unwrap().try_into().unwrap());
    Some(context.at(vector["sequence"].as_u64().unwrap()).under(policy))
}

#[test]
fn c1_and_c2() {
    let vectors = load("c1-c2.json");
    assert_eq!(vectors.len(), GOOD);
    for (vector, backend) in vectors.iter().flat_map(|v| Backend::ALL.iter().map(move |b| (v, *b))) {
        let file = hex::decode(text(vector, "file")).unwrap();
        let context = expected(vector);
        let expect = context.as_ref().map_or_else(Expect::absent, Expect::exactly);
        let opened = with_identity(vector, |identity| {
            Open::with(&[identity]).expect(expect).backend(backend).bytes(&file).unwrap()
        });
        assert_eq!(opened.context(), context.as_ref());
        assert_eq!(opened.plaintext().len() as u64, vector["payload_len"].as_u64().unwrap());
        assert_eq!(hex::encode(Sha256::digest(opened.plaintext())), text(vector, "payload_sha256"));

        let header = Header::parse(&file).unwrap().0;
        let stanza = text(vector, "context_stanza");
        assert!(file[22..].starts_with(stanza.as_bytes()), "the context stanza is the first");
        assert_eq!(header.stanzas().len(), if stanza.is_empty() { 1 } else { 2 });
    }
}

// proves E8
#[test]
fn c8() {
    use symbolon_envelope::{AccountSecret, Derivation, DeriveError, UserParameters};
    use symbolon_keys::Epoch;

    let vectors = load("c8.json");
    assert_eq!(vectors.len(), 2);
    for vector in &vectors {
        let number = |field: &str| vector[field].as_u64().unwrap();
        let derivation = Derivation {
            salt: hex::decode(text(vector, "salt")).unwrap().try_into().unwrap(),
            memory_kib: number("m") as u32,
            passes: number("t") as u32,
            lanes: number("p") as u32,
        };
        let account = match text(vector, "account_secret") {
            "" => None,
            account => Some(AccountSecret::from(secret(account))),
        };
        let passphrase = text(vector, "passphrase").parse().unwrap();
        let derive = |derivation, epoch| {
            let parameters = UserParameters::new(derivation, Epoch::new(epoch));
            let (realm, user) = (id(text(vector, "realm")), id(text(vector, "user")));
            UserKey::derive(realm, user, &passphrase, account.as_ref(), &parameters)
        };
        let key = derive(derivation, number("epoch")).unwrap();
        assert_eq!(hex::encode(key.expose()), text(vector, "user_key"));
        let weak = Derivation { memory_kib: 19_455, ..derivation };
        assert!(matches!(derive(weak, 0), Err(DeriveError::Params(_))), "below the floor");
        let costly = Derivation { memory_kib: u32::MAX, ..derivation };
        assert!(matches!(derive(costly, 0), Err(DeriveError::Params(_))), "above the cap");
        let other = derive(derivation, number("epoch") + 1).unwrap();
        assert_ne!(other.expose(), key.expose(), "another epoch is another key");
    }
}

#[test]
fn c1_and_c2_bad() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/c1-c2-bad.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let user = UserKey::from(secret(text(&file, "kek")));
    let server = ServerKeys::from_key(7, secret(text(&file, "server_key"))).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), BAD);
    for (vector, backend) in vectors.iter().flat_map(|v| Backend::ALL.iter().map(move |b| (v, *b))) {
        let sealed = hex::decode(text(vector, "file")).unwrap();
        let (up, down) = (user.up(), user.down());
        let identity: &dyn Identity = match text(vector, "identity") {
            "up" => &up,
            "down" => &down,
            _ => &server,
        };
        let opened = Open::with(&[identity]).expect(Expect::context()).backend(backend).bytes(&sealed);
        let outcome = match &opened {
            Ok(opened) => {
                assert_eq!(opened.plaintext(), b"bad");
                "ok".to_string()
            }
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(outcome, text(vector, "expect"), "{}", text(vector, "name"));
    }
}
