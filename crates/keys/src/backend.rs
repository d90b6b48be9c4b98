use core::fmt;

/// Which implementation computes: a value, chosen at run time, not a build.
///
/// All backends accept and refuse the same bytes and give the same bytes out; tests run every vector on [`Self::ALL`].
/// It covers ChaCha20-Poly1305, X25519 and ML-KEM-768; hashes, HKDF and Ed25519 have one implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// RustCrypto and dalek: pure Rust, `no_std`, WebAssembly.
    Portable,
    /// aws-lc-rs: about twice as fast on X25519, five times on ML-KEM, up to nine times on short messages.
    #[cfg(feature = "aws-lc")]
    AwsLc,
}

impl Backend {
    /// Every backend of this build.
    pub const ALL: &[Self] = &[
        Self::Portable,
        #[cfg(feature = "aws-lc")]
        Self::AwsLc,
    ];

    /// The fastest of this build; what builders start from.
    #[must_use]
    pub const fn best() -> Self {
        #[cfg(feature = "aws-lc")]
        return Self::AwsLc;
        #[cfg(not(feature = "aws-lc"))]
        Self::Portable
    }

    /// Its name, as in bench ids.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => "aws-lc",
        }
    }
}

impl Default for Backend {
    fn default() -> Self {
        Self::best()
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
