//! Ids, epochs and random ids: what is accepted is printed as it was read.

use symbolon_keys::{Epoch, Id};

symbolon_keys::random_id! {
    /// Some id.
    struct RandomId;
}

pub(crate) fn run(data: &[u8]) {
    if let Ok(id) = Id::from_bytes(data) {
        assert_eq!(id.as_bytes(), data);
        assert_eq!(id.as_str().parse(), Ok(id));
    }
    let Ok(text) = str::from_utf8(data) else { return };
    assert_eq!(text.parse::<Id>(), Id::from_bytes(data));
    if let Ok(epoch) = text.parse::<Epoch>() {
        assert_eq!(epoch.to_string(), text);
    }
    if let Ok(id) = text.parse::<RandomId>() {
        assert_eq!(id.to_string(), text);
        assert_eq!(RandomId::from(*id.as_bytes()), id);
    }
}
