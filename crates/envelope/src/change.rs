//! A user's new key, on its way to the server under the old one (`docs/user-key.md`).

use alloc::vec::Vec;

use rand_core::CryptoRng;
use symbolon_keys::wire::{Malformed, Reader, put_lp};
use symbolon_keys::{Epoch, Id, Secret, label};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::{ContextError, OpenError, SealError};
use crate::expect::Expect;
use crate::open::Open;
use crate::records::RecordId;
use crate::seal::Seal;
use crate::shared_key::UserKey;
use crate::user_keys::{Derivation, UserParameters};

impl UserKey {
    /// Seals `new`, derived with `parameters`, under this key: what a user sends to change the passphrase. The epoch is
    /// the one that follows this key's.
    ///
    /// # Errors
    /// [`SealError`].
    ///
    /// # Security
    /// Whoever knows this key and records the envelope knows the new one: after a compromise enrol anew, out of band.
    pub fn change(
        &self,
        realm: Id,
        user: Id,
        new: &Self,
        parameters: &UserParameters,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        let UserParameters { derivation, epoch } = parameters;
        let mut plain = Zeroizing::new(Vec::with_capacity(256));
        put_lp(&mut plain, label::USER_KEY_CHANGE.as_bytes()).map_err(|_| SealError::Failed)?;
        plain.extend_from_slice(&epoch.to_bytes());
        plain.extend_from_slice(&derivation.salt);
        for cost in [derivation.memory_kib, derivation.passes, derivation.lanes] {
            plain.extend_from_slice(&cost.to_be_bytes());
        }
        plain.extend_from_slice(new.expose());
        let context = Context::new(realm, RecordId::generate(rng), user).at(epoch.number());
        Seal::to(&[&self.up()]).context(&context).bytes_with(&plain, rng)
    }

    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "the engine uses it"))]
    pub(crate) fn open_change(
        &self,
        realm: Id,
        user: Id,
        sealed: &[u8],
    ) -> Result<(Self, UserParameters), OpenError> {
        let expect = Expect::context().realm(realm).owner(user);
        let opened = Open::with(&[&self.up()]).expect(expect).bytes(sealed)?;
        // Anything else that the user seals is not a change, however it came here.
        let (key, parameters) = parse(opened.plaintext()).map_err(|_| ContextError::Mismatch)?;
        match opened.context() {
            Some(context) if context.sequence() == parameters.epoch.number() => Ok((key, parameters)),
            _ => Err(ContextError::Mismatch.into()),
        }
    }
}

fn parse(plain: &[u8]) -> Result<(UserKey, UserParameters), Malformed> {
    let mut r = Reader::new(plain);
    if r.lp()? != label::USER_KEY_CHANGE.as_bytes() {
        return Err(Malformed);
    }
    let epoch = Epoch::new(r.u64()?);
    let derivation = Derivation { salt: r.array()?, memory_kib: r.u32()?, passes: r.u32()?, lanes: r.u32()? };
    let bytes = r.take(32)?;
    let key = UserKey::from(Secret::init_with(|out| out.copy_from_slice(bytes)));
    r.finish()?;
    Ok((key, UserParameters::new(derivation, epoch)))
}
