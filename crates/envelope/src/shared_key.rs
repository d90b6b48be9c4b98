//! C1: a user's shared key, and the stanza `shared-key`.

use core::fmt;

use rand_core::CryptoRng;
use symbolon_keys::{RootKey, Secret, label};

use crate::error::{HeaderError, OpenError, SealError};
use crate::file_key::FileKey;
use crate::joint::{Binding, Company, Identity, Recipient};
use crate::stanza::{Stanza, decode, encode, ns};
use crate::wrap::Committed;

const KIND: &str = ns!("shared-key");
const SALT_LEN: usize = 24;

/// The symmetric key that one user shares with the server (E1).
///
/// It wraps in one of three directions, so that what one side sealed never opens as if the other had:
/// [`UserKey::up`], [`UserKey::down`] and [`UserKey::local`].
pub struct UserKey(RootKey);

impl UserKey {
    /// A new random key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(RootKey::generate(rng))
    }

    /// From the user to the server.
    #[must_use]
    pub const fn up(&self) -> SharedKey<'_> {
        SharedKey { key: self, direction: Direction::Up }
    }

    /// From the server to the user.
    #[must_use]
    pub const fn down(&self) -> SharedKey<'_> {
        SharedKey { key: self, direction: Direction::Down }
    }

    /// What its holder keeps for itself (E12).
    #[must_use]
    pub const fn local(&self) -> SharedKey<'_> {
        SharedKey { key: self, direction: Direction::Local }
    }

    /// The key itself, to keep it somewhere safe. Search for this name to see where keys leave their type.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl From<RootKey> for UserKey {
    fn from(root: RootKey) -> Self {
        Self(root)
    }
}

impl From<Secret<32>> for UserKey {
    fn from(secret: Secret<32>) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("UserKey(..)")
    }
}

/// Which way an envelope under a shared key travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
    Local,
}

impl Direction {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Local => "local",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Up, Self::Down, Self::Local].into_iter().find(|direction| direction.as_str() == text)
    }
}

/// A [`UserKey`] in one direction: a recipient and an identity.
#[derive(Clone, Copy, Debug)]
pub struct SharedKey<'a> {
    key: &'a UserKey,
    direction: Direction,
}

impl SharedKey<'_> {
    fn committed(&self, salt: &[u8; SALT_LEN], binding: &Binding) -> Option<Committed> {
        let fields = [self.direction.as_str().as_bytes(), salt, binding.context()];
        Committed::derive(&self.key.0, label::SHARED_KEY, &fields, binding.backend())
    }
}

impl Recipient for SharedKey<'_> {
    fn wrap(
        &self,
        file_key: &FileKey,
        binding: &Binding,
        rng: &mut dyn CryptoRng,
    ) -> Result<Stanza, SealError> {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        let committed = self.committed(&salt, binding).ok_or(SealError::Failed)?;
        let (body, commit) = committed.seal(file_key)?;
        Stanza::new(&[KIND, self.direction.as_str(), &encode(&salt), &encode(&commit)], body.to_vec())
            .map_err(|_| SealError::Failed)
    }

    fn company(&self) -> Company {
        Company::Any
    }
}

impl Identity for SharedKey<'_> {
    fn unwrap(&self, stanza: &Stanza, binding: &Binding) -> Result<Option<FileKey>, OpenError> {
        if stanza.kind() != KIND {
            return Ok(None);
        }
        let [direction, salt, commit] = stanza.exactly()?;
        let (salt, commit) = (decode(salt)?, decode(commit)?);
        let body = stanza.wrapped_key()?;
        let direction = Direction::parse(direction).ok_or(HeaderError::Stanza)?;
        let named = SharedKey { direction, ..*self }.committed(&salt, binding).ok_or(OpenError::Rejected)?;
        if direction == self.direction {
            return named.open(&commit, body);
        }
        // Reflected: the stanza is this key's, and travels the other way. Or it is somebody else's.
        if named.is_for(&commit) { Err(OpenError::Direction) } else { Ok(None) }
    }
}
