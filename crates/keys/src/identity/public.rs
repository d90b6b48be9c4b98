use core::fmt;
use core::str::FromStr;

use super::fingerprint::Fingerprint;
use super::text::{self, InvalidIdentity};
use crate::dh::{AgePublicKey, DhPublicKey, NoisePublicKey, Protocol, TablePublicKey};
use crate::sign::VerifyingKey;
use crate::wire::{Malformed, Reader};

const VERSION: u8 = 1;

/// The public half of an [`Identity`](crate::Identity): four keys that belong together.
///
/// Printed and read as text, `symbolon-pub1..`; written into messages as [`Self::to_bytes`]. Equal if and only if the
/// bytes are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicIdentity {
    noise: NoisePublicKey,
    table: TablePublicKey,
    age: AgePublicKey,
    verifying: VerifyingKey,
}

impl PublicIdentity {
    /// Bytes of the binary form: the version and four keys.
    pub const LEN: usize = 1 + 4 * 32;

    pub(super) const fn new(
        noise: NoisePublicKey,
        table: TablePublicKey,
        age: AgePublicKey,
        verifying: VerifyingKey,
    ) -> Self {
        Self { noise, table, age, verifying }
    }

    /// The key for handshakes.
    #[must_use]
    pub const fn noise_key(&self) -> &NoisePublicKey {
        &self.noise
    }

    /// The key for the shared-secret table.
    #[must_use]
    pub const fn table_key(&self) -> &TablePublicKey {
        &self.table
    }

    /// The key for envelopes.
    #[must_use]
    pub const fn age_key(&self) -> &AgePublicKey {
        &self.age
    }

    /// The key for signatures.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// A short name for people to compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self)
    }

    /// `01 || noise || table || age || Ed25519`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let Self { noise, table, age, verifying } = self;
        let keys = [noise.as_bytes(), table.as_bytes(), age.as_bytes(), verifying.as_bytes()];
        let mut bytes = [VERSION; Self::LEN];
        for (to, from) in bytes.iter_mut().skip(1).zip(keys.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// Checks and takes the binary form.
    ///
    /// # Errors
    /// [`InvalidIdentity::Length`], [`Version`](InvalidIdentity::Version), [`Key`](InvalidIdentity::Key) or
    /// [`SameKey`](InvalidIdentity::SameKey).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidIdentity> {
        let mut reader = Reader::new(bytes);
        match reader.u8().map_err(length)? {
            VERSION => {}
            other => return Err(InvalidIdentity::Version(other)),
        }
        let (noise, table, age) = (key(&mut reader)?, key(&mut reader)?, key(&mut reader)?);
        let verifying = VerifyingKey::from_bytes(&reader.array().map_err(length)?)?;
        reader.finish().map_err(length)?;
        let identity = Self::new(noise, table, age, verifying);
        if identity.repeats_a_key() { Err(InvalidIdentity::SameKey) } else { Ok(identity) }
    }

    /// One key pair, one protocol: whoever publishes one key for two of them has made a mistake.
    fn repeats_a_key(&self) -> bool {
        let [noise, table, age] = [self.noise.as_bytes(), self.table.as_bytes(), self.age.as_bytes()];
        noise == table || noise == age || table == age
    }
}

fn key<P: Protocol>(reader: &mut Reader<'_>) -> Result<DhPublicKey<P>, InvalidIdentity> {
    Ok(DhPublicKey::from_bytes(reader.array().map_err(length)?)?)
}

const fn length(_: Malformed) -> InvalidIdentity {
    InvalidIdentity::Length
}

impl FromStr for PublicIdentity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        text::public_from_text(text)
    }
}

impl fmt::Display for PublicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_public(self, f)
    }
}

impl fmt::Debug for PublicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicIdentity({})", self.fingerprint())
    }
}
