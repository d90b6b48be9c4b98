//! C4 and C7: the vectors of the independent implementation.

use serde_json::Value;
use symbolon_keys::{Backend, Epoch, Id, Secret, SigningKey, TableSecretKey};
use symbolon_table::{Challenge, Header, PairRoot, Party, PublicKeys, Record, Statement, open, seal};

use crate::fixture::{Fixed, User, at, id};

pub(crate) fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    json["vectors"].as_array().unwrap().clone()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn secret(value: &Value) -> Secret<32> {
    <[u8; 32]>::try_from(bytes(value)).unwrap().into()
}

/// The two ends of a C4 vector.
pub(crate) struct Ends {
    pub(crate) sender: (TableSecretKey, Party),
    pub(crate) recipient: (TableSecretKey, Party),
}

pub(crate) fn ends(case: &Value, backend: Backend) -> Ends {
    let end = |id: &str, key: &str, epoch: &str| {
        let key = TableSecretKey::from_secret(backend, secret(&case[key]));
        let id: Id = case[id].as_str().unwrap().parse().unwrap();
        let epoch = Epoch::new(case[epoch].as_u64().unwrap());
        let party = Party { id, epoch, key: *key.public_key() };
        (key, party)
    };
    Ends {
        sender: end("sender", "sender_secret", "sender_epoch"),
        recipient: end("recipient", "recipient_secret", "recipient_epoch"),
    }
}

#[test]
fn messages() {
    let cases = cases("c4");
    assert_eq!(cases.len(), 3);
    for (case, &backend) in cases.iter().flat_map(|case| Backend::ALL.iter().map(move |b| (case, b))) {
        let Ends { sender, recipient } = ends(case, backend);
        let there = PairRoot::agree(&sender.0, &sender.1, &recipient.1).unwrap();
        let here = PairRoot::agree(&recipient.0, &recipient.1, &sender.1).unwrap();
        assert_eq!(there.expose().as_slice(), bytes(&case["root"]));
        assert_eq!(here.expose(), there.expose());

        let mut rng = Fixed([bytes(&case["message_id"]), bytes(&case["salt"])].concat());
        let from_to = [&sender.1, &recipient.1].map(|party| (party.id, party.epoch));
        let header = Header::fresh(from_to[0], from_to[1], &mut rng);
        let message = seal(&there, &header, backend, &bytes(&case["plaintext"])).unwrap();
        assert_eq!(message, bytes(&case["message"]));
        assert_eq!(Header::read(&message), Ok(header));
        let opened = open(&here, backend, &message).unwrap().accept_replays();
        assert_eq!(opened.plaintext(), bytes(&case["plaintext"]));
        assert_eq!((opened.from(), opened.epoch()), (&sender.1.id, sender.1.epoch));
    }
}

#[test]
fn proofs_of_possession() {
    let cases = cases("c7");
    assert_eq!(cases.len(), 2);
    for (case, &backend) in cases.iter().flat_map(|case| Backend::ALL.iter().map(move |b| (case, b))) {
        let table = TableSecretKey::from_secret(backend, secret(&case["secret"]));
        let signing = SigningKey::from_seed(&secret(&case["signing_seed"]));
        let ephemeral = TableSecretKey::from_secret(backend, secret(&case["directory_ephemeral_secret"]));
        let record = record_at(case, &table, &signing);
        let challenge = [
            vec![1],
            record.epoch().to_bytes().to_vec(),
            ephemeral.public_key().as_bytes().to_vec(),
            bytes(&case["nonce"]),
            u64::MAX.to_be_bytes().to_vec(),
        ];
        let challenge = Challenge::from_bytes(&challenge.concat()).unwrap();
        let answer = challenge.answer(record.clone(), &table, &signing).unwrap().to_bytes();
        let expected = [
            challenge.to_bytes(),
            bytes(&case["proof"]),
            bytes(&case["signature"]),
            record.as_bytes().to_vec(),
        ];
        assert_eq!(answer, expected.concat());
    }
}

/// A record with the case's keys, at its place in a history.
fn record_at(case: &Value, table: &TableSecretKey, signing: &SigningKey) -> Record {
    let before = User::new(case["id"].as_str().unwrap(), 1).next(2);
    let epoch = case["epoch"].as_u64().unwrap();
    assert_eq!(before.epoch().number() + 1, epoch);
    let keys = PublicKeys::new(*table.public_key(), signing.verifying_key());
    let said = Statement::new(id(case["id"].as_str().unwrap()), keys, at(3), at(4));
    said.next(&before.record, &before.signing, signing).unwrap()
}
