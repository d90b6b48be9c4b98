//! Records, challenges and registrations from strangers: what is accepted is canonical.

use symbolon_keys::{Backend, Epoch, RootKey, Secret, UnixTime};
use symbolon_table::{Challenge, Challenger, Record, Registration, verify_history};

pub(crate) fn run(data: &[u8]) {
    if let Ok(record) = Record::from_bytes(data) {
        assert_eq!(record.as_bytes(), data);
        let statement = record.statement();
        assert!(statement.valid_from < statement.valid_until);
        assert!(!statement.linked.contains(record.id()));
        assert!(!record.is_linked_with(&record));
        let alone = record.verify();
        assert_eq!(verify_history(record.id(), core::slice::from_ref(&record), None), alone);
        assert!(record.verify_after(&record).is_err());
    }
    if let Ok(challenge) = Challenge::from_bytes(data) {
        assert_eq!(challenge.to_bytes(), data);
    }
    if let Ok(registration) = Registration::from_bytes(data) {
        assert_eq!(registration.to_bytes(), data);
        let root = RootKey::from(Secret::from([9; 32]));
        let challenger = Challenger::new(root, Backend::Portable);
        assert!(challenger.check(&registration, UnixTime::from_secs(0)).is_err(), "a challenge never made");
        assert!(registration.challenge().epoch() >= Epoch::FIRST);
    }
}
