//! Bad cases as data: each file names a good input, and what one thing makes it bad.

use serde_json::Value;
use symbolon_keys::Backend;
use symbolon_table::{
    Challenge, Cursor, Document, Header, InvalidRecord, PairRoot, Record, Registration, SignedApproval, open,
};

use crate::vectors::{Ends, bytes, cases, ends};

/// The good input with its one fault: bytes at a place replaced, removed, or put in.
fn fault(good: &[u8], case: &Value) -> Vec<u8> {
    let mut input = good.to_vec();
    let at = case["at"].as_u64().map_or(input.len(), |at| usize::try_from(at).unwrap());
    let remove = case["remove"].as_u64().map_or(0, |n| usize::try_from(n).unwrap());
    let put = case["put"].as_str().map(|text| hex::decode(text).unwrap()).unwrap_or_default();
    input.splice(at..at + remove, put);
    assert_ne!(input, good, "{} has no fault", case["name"]);
    input
}

fn run(file: &str, expected: usize, judge: impl Fn(&Value, &[u8]) -> String) {
    let path = format!("{}/tests/vectors/bad/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let json: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let good = bytes(&json["good"]);
    assert_eq!(judge(&json, &good), "ok", "{file}: the good input");
    let cases = json["cases"].as_array().unwrap();
    for case in cases {
        let said = judge(&json, &fault(&good, case));
        assert_eq!(said, case["expect"].as_str().unwrap(), "{file}: {}", case["name"]);
    }
    assert_eq!(cases.len(), expected, "{file}");
}

fn said<T, E: core::fmt::Debug>(outcome: Result<T, E>) -> String {
    outcome.map_or_else(|error| format!("{error:?}"), |_| "ok".to_owned())
}

#[test]
fn messages() {
    let Ends { sender, recipient } = ends(&cases("c4")[1], Backend::best());
    let root = PairRoot::agree(&recipient.0, &recipient.1, &sender.1).unwrap();
    run("message", 26, |_, input| {
        let outcomes: Vec<String> = Backend::ALL.iter().map(|&b| said(open(&root, b, input))).collect();
        assert!(outcomes.iter().all(|outcome| outcome == &outcomes[0]), "backends differ");
        // What the parser refuses costs no key.
        Header::read(input).map_or_else(|error| format!("{error:?}"), |_| outcomes[0].clone())
    });
}

#[test]
fn records() {
    run("record", 24, |_, input| {
        said(
            Record::from_bytes(input)
                .and_then(|record| record.verify())
                .map_err(|error: InvalidRecord| error),
        )
    });
}

#[test]
fn documents() {
    run("document", 20, |_, input| said(Document::from_bytes(input)));
}

#[test]
fn approvals() {
    run("approval", 8, |_, input| said(SignedApproval::from_bytes(input)));
}

#[test]
fn challenges() {
    run("challenge", 8, |_, input| said(Challenge::from_bytes(input)));
}

#[test]
fn registrations() {
    run("registration", 6, |_, input| said(Registration::from_bytes(input)));
}

#[test]
fn cursors() {
    run("cursor", 7, |_, input| said(Cursor::from_bytes(input)));
}
