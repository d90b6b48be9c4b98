//! What errors say.

use symbolon_keys::{Epoch, Id};
use symbolon_table::{
    ApprovalError, DepositError, Full, InboxError, InvalidRecord, PollError, RecordHash, RegisterError,
    SnapshotError, StoreError, TableError,
};

/// A snapshot: a change of wording is a decision.
#[test]
fn errors_say_what_to_do_next() {
    let store = || StoreError::retryable("disk full");
    let alice: Id = "alice".parse().unwrap();
    let head = RecordHash::from([0xab; 32]);
    let errors: Vec<Box<dyn core::error::Error>> = vec![
        Box::new(store()),
        Box::new(StoreError::permanent("corrupt")),
        Box::new(TableError::Rejected),
        Box::new(TableError::Malformed),
        Box::new(TableError::TooLong),
        Box::new(TableError::Misaddressed(alice)),
        Box::new(TableError::OwnId),
        Box::new(TableError::UnknownPeer(alice)),
        Box::new(TableError::UnknownEpoch),
        Box::new(TableError::Retired),
        Box::new(TableError::KeyChanged { peer: alice, known: Epoch::new(1), offered: Epoch::new(2), head }),
        Box::new(TableError::Expired(alice)),
        Box::new(TableError::Directory(InvalidRecord::History)),
        Box::new(TableError::Unavailable(store())),
        Box::new(TableError::Busy),
        Box::new(InvalidRecord::Malformed),
        Box::new(InvalidRecord::Statement),
        Box::new(InvalidRecord::Epoch),
        Box::new(InvalidRecord::Signature),
        Box::new(RegisterError::Rejected),
        Box::new(RegisterError::Taken),
        Box::new(RegisterError::TooMany),
        Box::new(RegisterError::Validity),
        Box::new(RegisterError::Record(InvalidRecord::Signature)),
        Box::new(RegisterError::Store(store())),
        Box::new(InboxError::Replay),
        Box::new(InboxError::Store(store())),
        Box::new(DepositError::Malformed),
        Box::new(DepositError::TooLong),
        Box::new(DepositError::ForeignSender),
        Box::new(DepositError::Conflict),
        Box::new(DepositError::Full(Full::Letters)),
        Box::new(DepositError::Full(Full::Sender)),
        Box::new(DepositError::Full(Full::SenderLetters)),
        Box::new(DepositError::Store(store())),
        Box::new(PollError::ForeignCursor),
        Box::new(PollError::Store(store())),
        Box::new(SnapshotError::Malformed),
        Box::new(SnapshotError::Foreign),
        Box::new(SnapshotError::Rejected),
        Box::new(SnapshotError::TooLarge),
        Box::new(ApprovalError::Malformed),
        Box::new(ApprovalError::Declined),
        Box::new(ApprovalError::TimedOut),
        Box::new(ApprovalError::Expired),
        Box::new(ApprovalError::Rejected),
        Box::new(ApprovalError::Replay),
        Box::new(ApprovalError::Store(store())),
    ];
    let said: String = errors.iter().map(|error| format!("{error}\n")).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/messages.txt");
    if std::env::var_os("SYMBOLON_BLESS").is_some() {
        std::fs::write(path, &said).unwrap();
    }
    assert_eq!(said, std::fs::read_to_string(path).unwrap());
}

#[test]
fn only_a_message_that_can_never_open_is_to_be_dropped() {
    let alice: Id = "alice".parse().unwrap();
    let head = RecordHash::from([0xab; 32]);
    let bad = [
        TableError::Rejected,
        TableError::Malformed,
        TableError::TooLong,
        TableError::Misaddressed(alice),
        TableError::OwnId,
        TableError::Retired,
    ];
    let later = [
        TableError::UnknownPeer(alice),
        TableError::UnknownEpoch,
        TableError::KeyChanged { peer: alice, known: Epoch::new(1), offered: Epoch::new(2), head },
        TableError::Expired(alice),
        TableError::Directory(InvalidRecord::History),
        TableError::Unavailable(StoreError::permanent("corrupt")),
        TableError::Busy,
    ];
    assert!(bad.iter().all(|error| !error.is_retryable()));
    assert!(later.iter().all(TableError::is_retryable));
}
