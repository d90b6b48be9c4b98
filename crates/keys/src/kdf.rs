use core::fmt;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroize;

use crate::Label;
use crate::secret::Secret;
use crate::wire::TooLong;

#[cfg(test)]
mod tests;

/// The most fields that one derivation takes. The longest of ours has eight; with a limit, `derive` needs no heap.
pub const MAX_FIELDS: usize = 32;

/// `HKDF-Extract-SHA256(salt = label, ikm)`: from a shared secret to a key for derivation (`docs/derivation.md`).
#[must_use]
pub fn extract(label: Label, ikm: &[u8]) -> RootKey {
    let (mut prk, _) = Hkdf::<Sha256>::extract(Some(label.as_bytes()), ikm);
    let root = RootKey(Secret::init_with(|out| out.copy_from_slice(&prk)));
    prk.zeroize();
    root
}

/// A long-lived symmetric key that is used for derivation only: never in an AEAD, never on the wire.
///
/// Whatever is needed from it is a single-use key made with [`RootKey::derive`].
///
/// ```compile_fail
/// # use symbolon_keys::{Backend, Label, OneTimeKey, RootKey, Secret};
/// let root = RootKey::from(Secret::from([7; 32]));
/// let key = OneTimeKey::new(Backend::best(), &root); // a root encrypts nothing
/// ```
/// ```
/// # use symbolon_keys::{Backend, Label, OneTimeKey, RootKey, Secret};
/// # const LABEL: Label = Label::new("example.org/receipt/v1");
/// let root = RootKey::from(Secret::from([7; 32]));
/// let key = OneTimeKey::new(Backend::best(), &root.derive(LABEL, &[b"order 7"])?);
/// # Ok::<(), symbolon_keys::wire::TooLong>(())
/// ```
pub struct RootKey(Secret<32>);

impl RootKey {
    /// A new random key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(Secret::generate(rng))
    }

    /// `HKDF-Expand-SHA256(self, u8 len || label || u16 N || u8 n || LP(f1) .. LP(fn), N)` (`docs/derivation.md`).
    ///
    /// # Errors
    /// [`TooLong`] if a field has more than 65,535 bytes, or there are more than [`MAX_FIELDS`].
    pub fn derive<const N: usize>(&self, label: Label, fields: &[&[u8]]) -> Result<Secret<N>, TooLong> {
        const { assert!(N <= 255 * 32, "HKDF-SHA256 gives at most 255 blocks") };
        if fields.len() > MAX_FIELDS {
            return Err(TooLong);
        }
        let mut lengths = [[0; 2]; MAX_FIELDS];
        for (length, field) in lengths.iter_mut().zip(fields) {
            *length = u16::try_from(field.len()).map_err(|_| TooLong)?.to_be_bytes();
        }
        let head = [u8::try_from(label.as_bytes().len()).map_err(|_| TooLong)?];
        let [l1, l2] = u16::try_from(N).map_err(|_| TooLong)?.to_be_bytes();
        let tail = [l1, l2, u8::try_from(fields.len()).map_err(|_| TooLong)?];

        let mut info: [&[u8]; 3 + 2 * MAX_FIELDS] = [&[]; _];
        let parts = [&head[..], label.as_bytes(), &tail];
        let framed = lengths.iter().zip(fields).flat_map(|(length, field)| [&length[..], *field]);
        let mut used = 0_usize;
        for (slot, part) in info.iter_mut().zip(parts.into_iter().chain(framed)) {
            *slot = part;
            used = used.saturating_add(1);
        }
        let hkdf = Hkdf::<Sha256>::from_prk(self.0.expose()).map_err(|_| TooLong)?;
        Secret::try_init_with(|out| {
            hkdf.expand_multi_info(info.get(..used).unwrap_or_default(), out).map_err(|_| TooLong)
        })
    }

    /// As [`Self::derive`], of one field whose length the compiler knows to fit: it cannot fail.
    #[expect(clippy::expect_used, reason = "one field, of a length that the compiler has checked")]
    pub(crate) fn derive_one<const N: usize, const M: usize>(
        &self,
        label: Label,
        field: &[u8; M],
    ) -> Secret<N> {
        const { assert!(M <= 0xFFFF, "a field has at most 65,535 bytes") };
        self.derive(label, &[field]).expect("one short field")
    }

    /// The key itself, to keep it somewhere safe. Search for this name to see where keys leave their type.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl From<Secret<32>> for RootKey {
    fn from(secret: Secret<32>) -> Self {
        Self(secret)
    }
}

impl ConstantTimeEq for RootKey {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("RootKey(..)")
    }
}
