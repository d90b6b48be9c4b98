use core::fmt;

use crate::noise::{Pattern, Protocol};

/// The number of a Noise protocol in a hello: the table in `docs/agreement.md`.
///
/// Only patterns in which the responder proves itself are here: to anybody else no port may be assigned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suite(u16);

/// The patterns of sessions, in the order of their numbers: base number `2n + 1` classical, `2n + 2` hybrid.
const PATTERNS: [&str; 8] = ["XX", "IK", "NK", "XK", "KK", "NX", "IX", "KX"];

impl Suite {
    /// `Noise_XX_25519_ChaChaPoly_SHA256`.
    pub const XX: Self = Self(1);
    /// `Noise_XXhfs_25519+MLKEM768_ChaChaPoly_SHA256`, the default.
    pub const XX_HYBRID: Self = Self(2);
    /// `Noise_IK_25519_ChaChaPoly_SHA256`.
    pub const IK: Self = Self(3);
    /// `Noise_IKhfs_25519+MLKEM768_ChaChaPoly_SHA256`.
    pub const IK_HYBRID: Self = Self(4);
    /// `Noise_NK_25519_ChaChaPoly_SHA256`.
    pub const NK: Self = Self(5);
    /// `Noise_NKhfs_25519+MLKEM768_ChaChaPoly_SHA256`.
    pub const NK_HYBRID: Self = Self(6);
    /// `Noise_XK_25519_ChaChaPoly_SHA256`.
    pub const XK: Self = Self(7);
    /// `Noise_XKhfs_25519+MLKEM768_ChaChaPoly_SHA256`.
    pub const XK_HYBRID: Self = Self(8);
    /// `Noise_KK_25519_ChaChaPoly_SHA256`.
    pub const KK: Self = Self(9);
    /// `Noise_KKhfs_25519+MLKEM768_ChaChaPoly_SHA256`.
    pub const KK_HYBRID: Self = Self(10);
    /// `Noise_NX_25519_ChaChaPoly_SHA256`.
    pub const NX: Self = Self(11);
    /// `Noise_NXhfs_25519+MLKEM768_ChaChaPoly_SHA256`.
    pub const NX_HYBRID: Self = Self(12);
    /// `Noise_IX_25519_ChaChaPoly_SHA256`.
    pub const IX: Self = Self(13);
    /// `Noise_IXhfs_25519+MLKEM768_ChaChaPoly_SHA256`.
    pub const IX_HYBRID: Self = Self(14);
    /// `Noise_KX_25519_ChaChaPoly_SHA256`.
    pub const KX: Self = Self(15);
    /// `Noise_KXhfs_25519+MLKEM768_ChaChaPoly_SHA256`.
    pub const KX_HYBRID: Self = Self(16);

    /// The suite with this number, if the table has it.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        let suite = Self(number);
        let pattern = suite.pattern()?;
        let messages = Protocol::new(pattern, false, None).messages();
        (usize::from(suite.psk().unwrap_or_default()) <= messages && suite.psks() <= 8).then_some(suite)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The same pattern with a pre-shared key mixed in at `place` (`psk0`, `psk1`, ..); none if the pattern has no
    /// such place.
    #[must_use]
    pub fn with_psk(self, place: u8) -> Option<Self> {
        Self::from_number(u16::from_be_bytes([place.checked_add(1)?, self.base()]))
    }

    /// The same pattern with (or without) ML-KEM-768.
    #[must_use]
    pub const fn hybrid(self, hybrid: bool) -> Self {
        let even = self.0.saturating_add(1) & !1;
        Self(if hybrid { even } else { even.saturating_sub(1) })
    }

    /// Whether it protects against a later quantum computer: X25519 and ML-KEM-768 together.
    #[must_use]
    pub const fn is_hybrid(self) -> bool {
        self.0 & 1 == 0
    }

    /// Where its pre-shared key is mixed in.
    #[must_use]
    pub const fn psk(self) -> Option<u8> {
        self.psks().checked_sub(1)
    }

    /// The Noise protocol that it stands for.
    #[must_use]
    pub(crate) fn protocol(self) -> Option<Protocol> {
        Some(Protocol::new(self.pattern()?, self.is_hybrid(), self.psk()))
    }

    /// Whether the first message already proves who the initiator is (and can be replayed).
    #[must_use]
    pub const fn authenticates_first(self) -> bool {
        matches!(self.hybrid(false).base(), 3 | 9)
    }

    /// Whether a key from a passphrase may be mixed in here (NKpsk0, XKpsk3): only the holder of the pinned server key
    /// could test a guess.
    #[must_use]
    pub const fn takes_guessable_psk(self) -> bool {
        matches!((self.hybrid(false).base(), self.psk()), (5, Some(0)) | (7, Some(3)))
    }

    /// Whether the initiator must know the responder's key beforehand.
    #[must_use]
    pub fn knows_responder(self) -> bool {
        self.pattern().is_some_and(|pattern| pattern.knows_responder)
    }

    pub(crate) fn pattern(self) -> Option<&'static Pattern> {
        let index = self.base().checked_sub(1)? / 2;
        Pattern::find(PATTERNS.get(usize::from(index))?)
    }

    const fn base(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    const fn psks(self) -> u8 {
        self.0.to_be_bytes()[0]
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol() {
            Some(protocol) => protocol.fmt(f),
            None => write!(f, "suite {}", self.0),
        }
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Suite({self})")
    }
}
