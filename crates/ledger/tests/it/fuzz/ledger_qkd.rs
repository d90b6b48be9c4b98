//! Key containers: whatever parses has keys, with names.

use symbolon_ledger::qkd::parse_container;

pub(crate) fn run(data: &[u8]) {
    if let Ok(keys) = parse_container(data) {
        assert!(!keys.is_empty());
        assert!(keys.iter().all(|(id, key)| !id.is_empty() && !key.is_empty()));
    }
}
