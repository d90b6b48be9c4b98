//! Whole exchanges with fixed randomness, byte for byte: what another implementation of C5 must reproduce.

use std::sync::Arc;

use serde_json::{Value, json};
use symbolon_agreement::hazmat::FixedRng;
use symbolon_agreement::{Arrival, Initiator, Responder, Suite, Terms};
use symbolon_keys::{Backend, Label, NoiseSecretKey, Psk, Secret, UnixTime};

const EXPORT: Label = Label::new("example.org/export/v1");

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn key(value: &Value, backend: Backend) -> Arc<NoiseSecretKey> {
    Arc::new(NoiseSecretKey::from_secret(
        backend,
        Secret::<32>::from(<[u8; 32]>::try_from(bytes(value)).unwrap()),
    ))
}

/// What an exchange with the inputs of a case puts on the wire and leaves behind.
fn exchange(case: &Value, backend: Backend) -> Value {
    let suite = Suite::from_number(case["suite"].as_u64().unwrap().try_into().unwrap()).unwrap();
    assert_eq!(suite.to_string(), case["protocol"].as_str().unwrap());
    let now = UnixTime::from_secs(0);
    let (i_key, r_key) = (key(&case["initiator_static"], backend), key(&case["responder_static"], backend));
    let (mut i_rng, mut r_rng) =
        (FixedRng::new(bytes(&case["initiator_random"])), FixedRng::new(bytes(&case["responder_random"])));
    let psk: Option<[u8; 32]> = case["psk"].as_str().map(|_| bytes(&case["psk"]).try_into().unwrap());

    let mut responder = Responder::new(r_key).suites(&[suite]).backend(backend);
    let builder = match suite.to_string().get(6..8).unwrap() {
        "XX" => Initiator::xx(i_key),
        "IK" => Initiator::ik(i_key),
        _ => Initiator::nk(),
    };
    let mut builder = builder.expect(*responder.public_key()).backend(backend);
    if !suite.is_hybrid() {
        builder = builder.classical();
    }
    if let Some(psk) = psk {
        let psk = move || Psk::from(Secret::from(psk));
        builder = builder.psk(suite.psk().unwrap(), psk());
        responder = responder.psk(move |_| Some(psk()));
    }
    let mut i = builder.start(&mut i_rng).unwrap();
    let first = i.message();
    let received = responder.receive(i.body(), None).unwrap();
    let terms = Terms::new().port(40_123).fallback(true).application(b"welcome");
    let (m2, mut ticket) = received.answer(terms, now, &mut r_rng).unwrap();
    let (mut claim, _) = i.receive(&m2).unwrap().claim().unwrap();
    let challenged = ticket.claim(claim.body(), Arrival::Port(40_123), now, &mut r_rng).unwrap();
    let (proof, mine) = claim.answer(&challenged.message).unwrap();
    let theirs = ticket.prove(challenged.path, &proof, now).unwrap();

    let export = mine.context().export::<32>(EXPORT, b"context").unwrap();
    let hash = hex::encode(mine.context().handshake_hash());
    let ((mut up, ..), (mut down, ..)) = (mine.into_session(now), theirs.into_session(now));
    let [mut records_up, mut records_down] = [Vec::new(), Vec::new()];
    up.seal(b"pay 5", now, &mut records_up).unwrap();
    up.rekey(now, &mut records_up).unwrap();
    up.end(&mut records_up).unwrap();
    down.seal(b"paid", now, &mut records_down).unwrap();
    json!({
        "first": hex::encode(first),
        "second_body": hex::encode(m2),
        "claim": hex::encode(claim.message()),
        "challenge_body": hex::encode(challenged.message),
        "proof_body": hex::encode(proof),
        "handshake_hash": hash,
        "export": hex::encode(export.expose()),
        "records_up": hex::encode(records_up),
        "records_down": hex::encode(records_down),
    })
}

#[test]
fn exchanges_are_reproduced() {
    let file: Value = serde_json::from_str(include_str!("../../vectors/exchange.json")).unwrap();
    let cases = file["vectors"].as_array().unwrap();
    for case in cases {
        // aws-lc draws ML-KEM keys from its own generator.
        let hybrid = case["protocol"].as_str().unwrap().contains("MLKEM768");
        for &backend in Backend::ALL.iter().filter(|backend| !hybrid || **backend == Backend::Portable) {
            let found = exchange(case, backend);
            assert_eq!(found, case["expected"], "{}: {found:#}", case["protocol"]);
        }
    }
    assert_eq!(cases.len(), 4);
}
