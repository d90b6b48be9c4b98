//! The vectors of C5, from an independent implementation.

use serde_json::Value;
use symbolon_keys::{RootKey, Secret};

use crate::assignment::Assignment;
use crate::hazmat::FixedRng;
use crate::hello::{Hello, Refusal, Retried, prologue};
use crate::noise::Exporter;
use crate::path::PathKeys;

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn cases() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../tests/vectors/c5.json")).unwrap();
    let cases = file["vectors"].as_array().unwrap().clone();
    assert_eq!(cases.len(), 2);
    cases
}

#[test]
fn hello_and_prologue() {
    for case in cases() {
        let hello = bytes(&case["hello"]);
        let mut r = symbolon_keys::wire::Reader::new(&hello);
        assert_eq!(Hello::read(&mut r).unwrap().to_bytes(), hello);
        r.finish().unwrap();
        let refusal = bytes(&case["refusal"]);
        let retried = (!refusal.is_empty()).then(|| {
            assert_eq!(Refusal::parse(&refusal).unwrap().to_bytes(), refusal);
            Retried { first_hello: bytes(&case["first_hello"]), refusal }
        });
        assert_eq!(prologue(&hello, retried.as_ref()).unwrap(), bytes(&case["prologue"]));
    }
}

#[test]
fn path_proof() {
    for case in cases() {
        let ticket = array::<16>(&case["ticket"]).into();
        let exporter = Exporter::new(RootKey::from(Secret::from(array(&case["x"]))), array(&case["h"]));
        let keys = exporter.export::<64>(symbolon_keys::label::PATH, b"").unwrap();
        assert_eq!(keys.expose()[..32], bytes(&case["kr"]));
        assert_eq!(keys.expose()[32..], bytes(&case["ki"]));
        let keys = PathKeys::new(&exporter).unwrap();
        let (c, challenge) = keys.challenge(ticket, &mut FixedRng::new(bytes(&case["challenge"])));
        assert_eq!(challenge.to_vec(), bytes(&case["challenge_message"]));
        let proof = keys.answer(ticket, &challenge).unwrap();
        assert_eq!(proof.to_vec(), bytes(&case["proof_message"]));
        keys.check_proof(ticket, &c, &proof).unwrap();
        // The responder's tag is no proof, and a proof is no challenge: nothing can be reflected.
        assert!(keys.check_proof(ticket, &c, &challenge[16..]).is_err());
        assert!(keys.answer(ticket, &[&c[..], &proof].concat()).is_err());
    }
}

#[test]
fn assignment() {
    for case in cases() {
        let assignment = Assignment::parse(&bytes(&case["assignment"])).unwrap();
        assert_eq!(assignment.to_bytes().unwrap(), bytes(&case["assignment"]));
        assert_eq!(u64::from(assignment.port().unwrap().get()), case["port"].as_u64().unwrap());
        assert_eq!(assignment.ttl().as_secs(), case["ttl_s"].as_u64().unwrap());
        assert_eq!(assignment.fallback(), case["fallback"].as_bool().unwrap());
        assert_eq!(assignment.application, case["application"].as_str().unwrap().as_bytes());
        assert_eq!(*assignment.ticket().as_bytes(), array::<16>(&case["ticket"]));
    }
}

/// One failure each: what `tests/vectors/c5-bad.json` says, and the empty and the cut.
#[test]
fn bad() {
    let file: Value = serde_json::from_str(include_str!("../tests/vectors/c5-bad.json")).unwrap();
    let bad = file["vectors"].as_array().unwrap();
    for case in bad {
        let body = bytes(&case["bytes"]);
        let parsed = match case["what"].as_str().unwrap() {
            "assignment" => Assignment::parse(&body).is_ok(),
            "refusal" => Refusal::parse(&body).is_ok(),
            "hello" => Hello::read(&mut symbolon_keys::wire::Reader::new(&body)).is_ok(),
            what => panic!("{what}"),
        };
        assert!(!parsed, "{}", case["failure"]);
    }
    assert_eq!(bad.len(), 19);
    for case in cases() {
        let whole = bytes(&case["assignment"]);
        for cut in 0..whole.len() {
            assert!(Assignment::parse(&whole[..cut]).is_err());
        }
    }
}
