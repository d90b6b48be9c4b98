//! Texts and bytes of identities: what is accepted is canonical, and nothing panics.

use symbolon_keys::{Fingerprint, Identity, PublicIdentity};

pub(crate) fn run(data: &[u8]) {
    if let Ok(identity) = PublicIdentity::from_bytes(data) {
        assert_eq!(identity.to_bytes(), data);
        assert_eq!(identity.to_string().parse(), Ok(identity));
    }
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(identity) = text.parse::<PublicIdentity>() {
        assert_eq!(identity.to_string(), text.to_ascii_lowercase());
    }
    if let Ok(identity) = text.parse::<Identity>() {
        assert_eq!(*identity.to_secret_text(), text.to_ascii_lowercase());
    }
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert_eq!(fingerprint.to_string(), text);
    }
}
