use symbolon::envelope::{Derivation, Expect, UserKey, UserParameters, open, seal};
use symbolon::keys::wire::{Malformed, Reader, put_lp};
use symbolon::keys::{AgePublicKey, AgeSecretKey, Epoch, Id, Secret};
use zeroize::Zeroizing;

use crate::Failure;

/// A user's shared key on its way to the operator, in an envelope that only the server opens: the one time that it
/// passes between the two (E9). It names its user; that it was this user who brought it, the operator sees.
///
/// Inside: `id with its length || salt 16 || u32 KiB || u32 passes || u32 lanes || u64 epoch || key 32`.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "the programs build it field by field")]
pub struct Enrolment {
    /// Whose key it is.
    pub user: Id,
    /// How the user derives it.
    pub parameters: UserParameters,
    /// The key.
    pub key: UserKey,
}

impl Enrolment {
    /// Seals it for the server.
    ///
    /// # Errors
    /// None that a valid key could cause.
    pub fn seal(&self, server: &AgePublicKey) -> Result<Vec<u8>, Failure> {
        let Self { user, parameters: UserParameters { derivation, epoch, .. }, key } = self;
        let Derivation { salt, memory_kib, passes, lanes } = derivation;
        let mut plain = Zeroizing::new(Vec::with_capacity(256));
        put_lp(&mut plain, user.as_bytes())?;
        plain.extend_from_slice(salt);
        [memory_kib, passes, lanes].iter().for_each(|cost| plain.extend_from_slice(&cost.to_be_bytes()));
        plain.extend_from_slice(&epoch.number().to_be_bytes());
        plain.extend_from_slice(key.expose());
        Ok(seal(&[server], &plain)?)
    }

    /// Opens one.
    ///
    /// # Errors
    /// It is for another server, or none.
    pub fn open(server: &AgeSecretKey, sealed: &[u8]) -> Result<Self, Failure> {
        let opened = open(server, Expect::anything(), sealed)?;
        Self::parse(opened.plaintext())
            .map_err(|_| "not an enrolment: make one with `client register`".into())
    }

    fn parse(plain: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(plain);
        let user = Id::from_bytes(reader.lp()?).map_err(|_| Malformed)?;
        let salt = reader.array()?;
        let (memory_kib, passes, lanes) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let epoch = Epoch::new(reader.u64()?);
        let key = Zeroizing::new(reader.array::<32>()?);
        reader.finish()?;
        let derivation = Derivation { salt, memory_kib, passes, lanes };
        let secret = Secret::<32>::init_with(|out| *out = *key);
        Ok(Self { user, parameters: UserParameters::new(derivation, epoch), key: secret.into() })
    }
}
