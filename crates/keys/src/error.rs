use core::fmt;

/// A cryptographic check failed.
///
/// It carries nothing, on purpose: which check failed, and why, is of use to an attacker only. Protocol errors that
/// tell the user what to do next are the business of the crates above.
#[expect(clippy::exhaustive_structs, reason = "one opaque value, built by every crate of the workspace")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected;

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rejected: the data is not authentic, or it was made for another key")
    }
}

impl core::error::Error for Rejected {}

/// The bytes are not a public key that this crate accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The encoding is not the canonical one: two encodings of one key would be two identities.
    NonCanonical,
    /// The point has low order: every secret key would give the same shared secret.
    LowOrder,
    /// The bytes do not encode a key at all.
    Malformed,
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NonCanonical => "public key is not in its canonical encoding",
            Self::LowOrder => "public key is a point of low order",
            Self::Malformed => "bytes are not a public key",
        })
    }
}

impl core::error::Error for InvalidKey {}
