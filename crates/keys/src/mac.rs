use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::Rejected;
use crate::secret::Secret;

/// A key for HMAC-SHA256 (RFC 2104), for messages whose parts have fixed places.
///
/// ```
/// # use symbolon_keys::{MacKey, Rejected, Secret};
/// let key = MacKey::from(Secret::from([7; 32]));
/// let tag = key.tag(&[&[1], b"body"]);
/// key.verify(&[&[1], b"body"], &tag)?;
/// key.verify(&[&[1], b"body"], &tag[..16])?; // a format may carry the first half
/// assert_eq!(key.verify(&[&[2], b"body"], &tag), Err(Rejected));
/// # Ok::<(), Rejected>(())
/// ```
///
/// The parts are concatenated: frame whatever has no fixed length yourself.
pub struct MacKey(Secret<32>);

impl MacKey {
    /// A new random key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(Secret::generate(rng))
    }

    /// The tag of the concatenation of `parts`.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.compute(parts).finalize().into_bytes().into()
    }

    /// Checks a tag, or its first bytes where a format carries a shortened one (at least 16), in constant time.
    ///
    /// # Errors
    /// [`Rejected`] if the tag is not that of `parts`, or not 16 to 32 bytes long.
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> Result<(), Rejected> {
        if !(16..=32).contains(&tag.len()) {
            return Err(Rejected);
        }
        self.compute(parts).verify_truncated_left(tag).map_err(|_| Rejected)
    }

    /// The key itself, to keep it somewhere safe.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    fn compute(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        // RFC 2104 pads the key with zeros to a block; done here, no length can be wrong.
        let mut block = Zeroizing::new([0; 64]);
        for (to, from) in block.iter_mut().zip(self.0.expose()) {
            *to = *from;
        }
        let mut mac = <Hmac<Sha256> as KeyInit>::new((&*block).into());
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

impl From<Secret<32>> for MacKey {
    fn from(secret: Secret<32>) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("MacKey(..)")
    }
}
