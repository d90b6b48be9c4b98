//! What errors say.

use symbolon_envelope::{
    ArmorError, ContextError, CustodianError, HeaderError, InvalidKeyString, OpenError, PayloadError,
    RewrapError, RingError, SealError,
};

#[test]
fn errors_say_what_happened() {
    let said: Vec<String> = vec![
        OpenError::Header(HeaderError::NotAge).to_string(),
        OpenError::Header(HeaderError::Version).to_string(),
        OpenError::Header(HeaderError::Truncated).to_string(),
        OpenError::Header(HeaderError::TooLong).to_string(),
        OpenError::NoMatch.to_string(),
        OpenError::Direction.to_string(),
        OpenError::Retired { version: 3 }.to_string(),
        OpenError::UnknownVersion { version: 4 }.to_string(),
        OpenError::HeaderMac.to_string(),
        OpenError::Context(ContextError::Mismatch).to_string(),
        OpenError::Payload(PayloadError::Truncated).to_string(),
        OpenError::ViewOnly.to_string(),
        RewrapError::Seal(SealError::Mixed).to_string(),
        SealError::TooLong.to_string(),
        ArmorError::Truncated.to_string(),
        InvalidKeyString::Prefix.to_string(),
        RingError::Unrelated.to_string(),
        CustodianError::Conflict(Some(7)).to_string(),
        CustodianError::NoSuchRecord.to_string(),
        CustodianError::Outdated.to_string(),
    ];
    let expected = "\
this is not an age file
the age file has a version that this program does not read
the file ends inside its header: fetch it again
the header exceeds 65536 bytes or 32 stanzas
no matching key: the envelope is for somebody else
the envelope was made for the other direction
version 3 of the server key is retired
version 4 of the server key is not in the ring
the header was altered
the envelope was made for another context than the expected one
the payload is cut short: fetch it again
the envelope is to be viewed only: show it, and keep no copy
these kinds of recipients cannot be mixed in one envelope
too many recipients: at most 32 stanzas and 65536 bytes of header
the ASCII armor is cut short: fetch the file again
the key is of another kind than the one that belongs here
the ring of server keys lacks keys that are in use
the record is at version 7: read it again
there is no such record for this user
the server key was replaced by a newer one: do it again, with the newest ring";
    assert_eq!(said.join("\n"), expected);
}
