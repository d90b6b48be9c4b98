//! Receive and store (E3, E4).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::mem;

use sha2::{Digest, Sha256};
use symbolon_keys::{Id, OsRng, UnixTime};
use zeroize::Zeroizing;

use super::{Custodian, CustodianError, Event};
use crate::context::Context;
use crate::error::{ContextError, HeaderError, OpenError};
use crate::expect::Expect;
use crate::header::{Header, HeaderReader};
use crate::open::Open;
use crate::payload::{CHUNK, PayloadOpener, SEALED_CHUNK};
use crate::records::{Payload, PayloadId, Record, RecordId, Records, Upload};
use crate::rewrap::Rewrap;
use crate::shared_key::UserKey;
use crate::user_keys::UserKeyStore;

impl<R: Records, U: UserKeyStore> Custodian<R, U> {
    /// Begins to receive an envelope under the key of `user`, upwards.
    ///
    /// If the envelope has a context, it must be of this realm and owner, and names the record; policy and parameters
    /// are taken over. If it has none, the record gets a new name, or the one of [`Receiving::record`].
    ///
    /// # Errors
    /// [`CustodianError`] if the user has no usable key.
    pub async fn receive(&self, user: Id) -> Result<Receiving<'_, R, U>, CustodianError> {
        let outcome = async {
            let (row, key) = self.active_row(user).await?;
            let state = State::Header(HeaderReader::new());
            Ok(Receiving {
                custodian: self,
                user,
                key_id: row.key_id,
                key,
                record: None,
                replaces: None,
                state,
            })
        };
        self.audited(None, user, outcome.await)
    }
}

/// An envelope on its way in. Dropped before [`Receiving::finish`], it leaves nothing behind.
#[must_use = "nothing is stored before finish"]
pub struct Receiving<'a, R: Records, U> {
    custodian: &'a Custodian<R, U>,
    user: Id,
    /// Another one, if the user is erased and enrolled again meanwhile.
    key_id: RecordId,
    key: UserKey,
    record: Option<RecordId>,
    replaces: Option<u64>,
    state: State<R::Upload>,
}

enum State<W> {
    Header(HeaderReader),
    Payload(Box<Body<W>>),
    Failed,
}

struct Body<W> {
    header: Header,
    context: Option<Context>,
    opener: PayloadOpener,
    /// Decrypted to be verified, and wiped.
    scratch: Zeroizing<Vec<u8>>,
    upload: W,
    id: PayloadId,
    digest: Sha256,
    len: u64,
}

impl<R: Records, U: UserKeyStore> Receiving<'_, R, U> {
    /// Under this name. An envelope whose context has another name is refused.
    pub const fn record(mut self, record: RecordId) -> Self {
        self.record = Some(record);
        self
    }

    /// Instead of the version at `sequence`, if that is still the current one when everything has arrived.
    pub const fn replacing(mut self, sequence: u64) -> Self {
        self.replaces = Some(sequence);
        self
    }

    /// Takes the next bytes of the envelope.
    ///
    /// # Errors
    /// [`CustodianError`]; then nothing more is taken, and nothing is stored.
    pub async fn write(&mut self, sealed: &[u8]) -> Result<(), CustodianError> {
        // It was told of already.
        if matches!(self.state, State::Failed) {
            return Err(CustodianError::Gone);
        }
        let outcome = self.advance(sealed).await;
        if outcome.is_err() {
            self.state = State::Failed;
        }
        self.custodian.audited(self.record, self.user, outcome)
    }

    async fn advance(&mut self, sealed: &[u8]) -> Result<(), CustodianError> {
        let mut rest = sealed;
        if let State::Header(reader) = &mut self.state {
            let (consumed, header) = reader.push(rest).map_err(OpenError::from)?;
            let Some(header) = header else { return Ok(()) };
            rest = rest.get(consumed..).unwrap_or_default();
            self.state = State::Payload(Box::new(self.unlock(header).await?));
        }
        let State::Payload(body) = &mut self.state else { return Err(CustodianError::Gone) };
        for piece in rest.chunks(SEALED_CHUNK) {
            body.scratch.clear();
            body.opener.push(piece, &mut body.scratch).map_err(OpenError::from)?;
            body.digest.update(piece);
            body.len = body.len.saturating_add(piece.len() as u64);
            body.upload.write(piece).await.map_err(CustodianError::store)?;
        }
        Ok(())
    }

    async fn unlock(&self, header: Header) -> Result<Body<R::Upload>, CustodianError> {
        let Self { custodian, key, .. } = self;
        let (context, opener) =
            Open::with(&[&key.up()]).expect(Expect::anything()).backend(custodian.backend).header(&header)?;
        if let Some(context) = &context {
            let fits = context.realm() == Some(custodian.realm)
                && context.owner() == Some(self.user)
                && self.record.is_none_or(|record| record == context.record());
            if !fits {
                return Err(OpenError::Context(ContextError::Mismatch).into());
            }
        }
        self.check_owner(context.as_ref()).await?;
        let id = PayloadId::generate(&mut OsRng);
        let upload = custodian.records.upload(id).await.map_err(CustodianError::store)?;
        // A push gives at most what was pending and what came: never moved, so never left behind.
        let scratch = Zeroizing::new(Vec::with_capacity(CHUNK.saturating_mul(2)));
        Ok(Body { header, context, opener, scratch, upload, id, digest: Sha256::new(), len: 0 })
    }

    /// The end of the envelope: verifies its final chunk, re-wraps its header under the server key, and stores it.
    ///
    /// # Errors
    /// [`CustodianError`]; then nothing is stored. [`CustodianError::Conflict`] if the record is there already, or not
    /// at the sequence to replace.
    pub async fn finish(mut self, now: UnixTime) -> Result<Receipt, CustodianError> {
        if matches!(self.state, State::Failed) {
            return Err(CustodianError::Gone);
        }
        let outcome = self.commit(now).await;
        if let Ok(Receipt { record, sequence, len }) = outcome {
            (self.custodian.audit)(&Event::Received { record, owner: self.user, sequence, len });
        }
        self.custodian.audited(self.record, self.user, outcome)
    }

    async fn commit(&mut self, now: UnixTime) -> Result<Receipt, CustodianError> {
        let body = match mem::replace(&mut self.state, State::Failed) {
            State::Payload(body) => *body,
            State::Header(_) => return Err(OpenError::Header(HeaderError::Truncated).into()),
            State::Failed => return Err(CustodianError::Gone),
        };
        let Body { header, context, opener, mut scratch, upload, id, digest, len } = body;
        scratch.clear();
        opener.finish(&mut scratch).map_err(OpenError::from)?;

        // Whoever was disabled or erased since the beginning stores nothing.
        if self.custodian.active_row(self.user).await?.0.key_id != self.key_id {
            return Err(CustodianError::UnknownUser);
        }
        self.check_owner(context.as_ref()).await?;
        let sequence = self.replaces.unwrap_or(0).checked_add(1).ok_or(CustodianError::Conflict(None))?;
        let context = self.context(context).at(sequence);
        let custodian = self.custodian;
        let (header, server_key) = custodian.with_ring(|ring| {
            let wrapped = Rewrap::from(&self.key.up())
                .to(&ring.current())
                .context(&context)
                .backend(custodian.backend)
                .header(&header);
            wrapped.map(|header| (header, ring.version()))
        })?;
        let payload = Payload { id, len, digest: digest.finalize().into() };
        let (id, owner) = (context.record(), self.user);
        let record = Record { id, owner, sequence, server_key, header, payload, stored: now };
        let put = custodian.records.put(record, upload, self.replaces);
        CustodianError::unless_done(put.await.map_err(CustodianError::store)?)?;
        // Erased in the meantime: nothing of the user may stay behind, for whoever has the name next.
        if custodian.key_of(owner).await? != Some(self.key_id) {
            custodian.records.delete(id, owner).await.map_err(CustodianError::store)?;
            return Err(CustodianError::UnknownUser);
        }
        Ok(Receipt { record: id, sequence, len })
    }

    /// Only its owner replaces a record. Asked before anything is taken, and again before it is stored.
    async fn check_owner(&self, context: Option<&Context>) -> Result<(), CustodianError> {
        if self.replaces.is_some() {
            let record = context.map(Context::record).or(self.record);
            self.custodian.record_of(record.ok_or(CustodianError::NoSuchRecord)?, self.user).await?;
        }
        Ok(())
    }

    fn context(&self, received: Option<Context>) -> Context {
        received.unwrap_or_else(|| {
            let record = self.record.unwrap_or_else(|| RecordId::generate(&mut OsRng));
            Context::new(self.custodian.realm, record, self.user)
        })
    }
}

impl<R: Records, U> fmt::Debug for Receiving<'_, R, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { custodian: _, user, key_id: _, key: _, record, replaces, state: _ } = self;
        write!(f, "Receiving({user}, {record:?}, replacing {replaces:?})")
    }
}

/// What was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The record.
    pub record: RecordId,
    /// Its version: what to replace it by.
    pub sequence: u64,
    /// Bytes of its payload.
    pub len: u64,
}
