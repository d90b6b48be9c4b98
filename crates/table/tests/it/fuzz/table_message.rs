//! Sealed messages from strangers: the parser is total, and nothing opens that was not sealed.

use symbolon_keys::{Backend, Epoch, Id, Secret, TableSecretKey, UnixTime};
use symbolon_table::{Cursor, Header, Letter, PairRoot, Party, open, unpad};

pub(crate) fn run(data: &[u8]) {
    if let Ok(padded) = unpad(data) {
        assert!(padded.len() < data.len());
    }
    if let Ok(cursor) = Cursor::from_bytes(data) {
        assert_eq!(cursor.to_bytes(), data);
    }
    let header = Header::read(data);
    assert_eq!(Letter::new(data.to_vec(), UnixTime::default()).is_ok(), header.is_ok());
    let Ok(header) = header else { return };
    assert_ne!(header.sender(), header.recipient());
    // Under keys that nobody sealed with.
    let party = |id: &Id, epoch: Epoch, n: u8| {
        let key = TableSecretKey::from_secret(Backend::Portable, Secret::from([n; 32]));
        let public = *key.public_key();
        (key, Party { id: *id, epoch, key: public })
    };
    let (_, sender) = party(header.sender(), header.sender_epoch(), 1);
    let (key, recipient) = party(header.recipient(), header.recipient_epoch(), 2);
    let root = PairRoot::agree(&key, &recipient, &sender).unwrap();
    for &backend in Backend::ALL {
        assert!(open(&root, backend, data).is_err());
    }
}
