//! C0 against the independent implementation. Its labels are of our own space, which `Label::new` keeps for us: so
//! these tests are inside.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

use serde_json::Value;

use super::{RootKey, extract};
use crate::Label;

fn vectors(json: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(json).unwrap()["vectors"].as_array().unwrap().clone()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn label(value: &Value) -> Label {
    Label::checked(Box::leak(value.as_str().unwrap().to_string().into_boxed_str()))
}

fn derive(root: &RootKey, case: &Value) -> Vec<u8> {
    let fields: Vec<Vec<u8>> = case["fields"].as_array().unwrap().iter().map(bytes).collect();
    let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    let label = label(&case["derive_label"]);
    match case["length"].as_u64().unwrap() {
        32 => root.derive::<32>(label, &fields).unwrap().expose().to_vec(),
        64 => root.derive::<64>(label, &fields).unwrap().expose().to_vec(),
        255 => root.derive::<255>(label, &fields).unwrap().expose().to_vec(),
        other => panic!("length {other}"),
    }
}

#[test]
fn vectors_of_c0() {
    let cases = vectors(include_str!("../../tests/vectors/c0.json"));
    assert_eq!(cases.len(), 3);
    for case in &cases {
        let root = extract(label(&case["label"]), &bytes(&case["ikm"]));
        assert_eq!(root.expose()[..], bytes(&case["prk"]));
        assert_eq!(derive(&root, case), bytes(&case["okm"]));
    }
}

#[test]
fn no_wrong_encoding_gives_the_same() {
    let case = &vectors(include_str!("../../tests/vectors/c0.json"))[1];
    let right = derive(&extract(label(&case["label"]), &bytes(&case["ikm"])), case);
    let wrong = vectors(include_str!("../../tests/vectors/c0-bad.json"));
    assert_eq!(wrong.len(), 11);
    for case in &wrong {
        assert_ne!(right, bytes(&case["okm"]), "{}", case["name"]);
    }
}

#[test]
fn one_field_is_the_same_with_or_without_a_result() {
    let root = extract(crate::label::IDENTITY, b"ikm");
    let with = root.derive::<32>(crate::label::IDENTITY, &[b"noise"]).unwrap();
    assert_eq!(with.expose(), root.derive_one::<32, 5>(crate::label::IDENTITY, b"noise").expose());
}
