//! Messages of the witness, and events of the journal: whatever parses is written back byte for byte.

use symbolon_ledger::Event;
use symbolon_ledger::witness::Body;

pub(crate) fn run(data: &[u8]) {
    if let Ok(body) = Body::parse(data) {
        assert_eq!(body.to_bytes(), data);
    }
    if let Ok(event) = Event::from_bytes(data) {
        assert_eq!(event.to_bytes(), data);
        assert!(event.accounts().count() <= 2);
    }
}
