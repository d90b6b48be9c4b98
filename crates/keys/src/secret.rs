use core::fmt;

use rand_core::CryptoRng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroize;

/// `N` secret bytes: wiped when dropped, never copied, never printed, compared in constant time only.
///
/// ```compile_fail
/// let a = symbolon_keys::Secret::from([7; 32]);
/// let b = a.clone(); // a secret has one owner
/// ```
/// ```
/// let a = symbolon_keys::Secret::from([7; 32]);
/// assert_eq!(format!("{a:?}"), "Secret<32>(..)");
/// ```
/// ```compile_fail
/// # use symbolon_keys::Secret;
/// let equal = Secret::from([7; 32]) == Secret::from([7; 32]); // `==` would stop at the first difference
/// ```
/// ```
/// # use symbolon_keys::Secret;
/// use subtle::ConstantTimeEq;
/// let equal = Secret::from([7; 32]).ct_eq(&Secret::from([7; 32]));
/// assert!(bool::from(equal));
/// ```
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// All zero, to be filled in place by `fill`: the bytes never lie in a caller's frame.
    pub fn init_with(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self([0; N]);
        fill(&mut secret.0);
        secret
    }

    /// As [`Self::init_with`], where filling can fail.
    ///
    /// # Errors
    /// Those of `fill`; what it had written is wiped.
    pub fn try_init_with<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self([0; N]);
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// Random bytes from `rng`.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::init_with(|bytes| rng.fill_bytes(bytes))
    }

    /// The bytes themselves. Search for this name to see where secrets leave their type.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// Cuts the secret into its first `A` bytes and its last `B`; `A + B` must be `N`, which the compiler checks.
    ///
    /// ```compile_fail
    /// let (key, commitment) = symbolon_keys::Secret::from([7; 64]).split::<32, 31>();
    /// ```
    /// ```
    /// let (key, commitment) = symbolon_keys::Secret::from([7; 64]).split::<32, 32>();
    /// ```
    #[must_use]
    pub fn split<const A: usize, const B: usize>(&self) -> (Secret<A>, Secret<B>) {
        const { assert!(A + B == N, "the parts must make up the whole") };
        let (a, b) = self.0.split_at(A);
        (Secret::init_with(|out| out.copy_from_slice(a)), Secret::init_with(|out| out.copy_from_slice(b)))
    }
}

impl<const N: usize> From<[u8; N]> for Secret<N> {
    fn from(mut bytes: [u8; N]) -> Self {
        let secret = Self(bytes);
        bytes.zeroize();
        secret
    }
}

impl<const N: usize> ConstantTimeEq for Secret<N> {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        write!(f, "Secret<{N}>(..)")
    }
}

impl<const N: usize> Drop for Secret<N> {
    #[inline(never)]
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A pre-shared key for a handshake: 32 bytes with 256 bits of entropy (Noise 14), spent by mixing it in once.
///
/// Anything of full entropy may become one: a key spent from a ledger, an exported key. A passphrase may not.
#[derive(Debug)]
pub struct Psk(Secret<32>);

impl Psk {
    /// The key itself, for the handshake that mixes it in.
    #[must_use]
    pub const fn secret(&self) -> &Secret<32> {
        &self.0
    }
}

impl From<Secret<32>> for Psk {
    fn from(secret: Secret<32>) -> Self {
        Self(secret)
    }
}
