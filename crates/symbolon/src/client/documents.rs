//! Documents over a session: store, fetch, grant (E3 to E5), and what a user's key is derived from (E8).

use symbolon_envelope::{Context, Derivation, Expect, Open, RecordId, Seal, UserKey, UserParameters};
use symbolon_keys::{Epoch, Id, OsRng};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::link::unexpected;
use super::{Client, ClientError};
use crate::protocol::{MAX_CHUNK, RecordRef, Reply, Request};

/// A document that was fetched.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Document {
    /// Which record it is, whose, at which sequence, under which policy.
    pub context: Context,
    /// Bytes of its plaintext.
    pub len: u64,
}

impl Client {
    /// Salt, costs and epoch of a user's key (C8), for [`UserKey::derive`]. For a user who does not exist the server
    /// makes up stable ones.
    ///
    /// # Errors
    /// [`ClientError`] as for every request. Whether the costs are acceptable is the business of `derive`.
    pub async fn key_parameters(&self, user: Id) -> Result<UserParameters, ClientError> {
        match self.link.ask(Request::KeyParameters(user)).await? {
            Reply::KeyParameters(salt, memory_kib, passes, lanes, epoch) => {
                let derivation = Derivation { salt: salt.0, memory_kib, passes, lanes };
                Ok(UserParameters::new(derivation, Epoch::new(epoch)))
            }
            other => unexpected(&other),
        }
    }

    /// Seals what `document` reads under `key` for the way up, streams it to the server, and says at which sequence it
    /// is stored. `context` names realm, record and owner; `replaces` the sequence that it replaces, none for a new one.
    ///
    /// At no time is more than a chunk of it in memory, on either side. The server stores nothing before it has
    /// verified all of it.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with [`Conflict`](crate::RefusalCode::Conflict) if the record is at another sequence;
    /// [`ClientError::Io`] if `document` fails: then nothing is stored.
    pub async fn put(
        &self,
        key: &UserKey,
        context: &Context,
        replaces: Option<u64>,
        mut document: impl AsyncRead + Unpin,
    ) -> Result<u64, ClientError> {
        let up = key.up();
        let recipients: [&dyn symbolon_envelope::Recipient; 1] = [&up];
        let seal = Seal::to(&recipients).context(context);
        let (mut sealed, mut payload) = seal.begin(&mut OsRng).map_err(ClientError::invalid)?;
        let mut wire = self.link.begin().await?;
        let sent = async {
            let record = RecordRef(*context.record().as_bytes());
            let number = wire.request(Request::Put(record, replaces)).await?;
            let mut plaintext = Zeroizing::new(vec![0; MAX_CHUNK]);
            loop {
                wire.data(number, &sealed).await?;
                sealed.clear();
                match document.read(&mut plaintext).await? {
                    0 => break,
                    n => {
                        let read = plaintext.get(..n).unwrap_or_default();
                        payload.push(read, &mut sealed).map_err(ClientError::invalid)?;
                    }
                }
            }
            payload.finish(&mut sealed).map_err(ClientError::invalid)?;
            wire.data(number, &sealed).await?;
            wire.end(number).await?;
            wire.reply(number).await
        }
        .await;
        match wire.done(sent)? {
            Reply::Stored(sequence) => Ok(sequence),
            other => unexpected(&other),
        }
    }

    /// Fetches a document, which the server re-wraps under the user's `key` for the way down, and writes its plaintext
    /// to `out` as its chunks verify.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the user may not have it; [`ClientError::Invalid`] if the envelope does not hold, or
    /// is not the record asked for in this realm. Until this returns `Ok`, what `out` has is a true beginning of the
    /// document, and maybe not all of it: do not act on it.
    pub async fn get(
        &self,
        key: &UserKey,
        realm: Id,
        record: RecordId,
        mut out: impl AsyncWrite + Unpin,
    ) -> Result<Document, ClientError> {
        self.receive(Request::Get(RecordRef(*record.as_bytes())), key, (realm, record), &mut out).await
    }

    /// Has the server process a document by one of its processes, with an instruction, and writes the result, sealed
    /// for the user logged in, `me`, and opened with their `key`, to `out`.
    ///
    /// Only its owner can open a result; for another user there is [`Self::process_for`].
    ///
    /// # Errors
    /// As for [`Self::get`]; [`ClientError::Refused`] with [`Service`](crate::RefusalCode::Service) if the process
    /// refuses.
    pub async fn process(
        &self,
        (me, key): (Id, &UserKey),
        (realm, record): (Id, RecordId),
        (name, instruction): (&str, &[u8]),
        mut out: impl AsyncWrite + Unpin,
    ) -> Result<Document, ClientError> {
        let request = Request::Process(RecordRef(*record.as_bytes()), name.into(), instruction.to_vec(), me);
        self.receive(request, key, (realm, record), &mut out).await
    }

    /// Has the server process a document for another user (E7), and writes the result to `out` as it comes: an envelope
    /// under the key of `to`, of so many bytes, to be handed on by whatever way. Its recipient opens it with the same key
    /// as a document: [`Open::with`] `key.down()`, and expects realm and record.
    ///
    /// # Errors
    /// [`ClientError::Refused`] as for [`Self::process`], and if the recipient has no key at the server. Until this
    /// returns `Ok`, what `out` has may be cut short; whoever opens it sees that.
    pub async fn process_for(
        &self,
        to: Id,
        record: RecordId,
        (name, instruction): (&str, &[u8]),
        mut out: impl AsyncWrite + Unpin,
    ) -> Result<u64, ClientError> {
        let request = Request::Process(RecordRef(*record.as_bytes()), name.into(), instruction.to_vec(), to);
        let mut wire = self.link.begin().await?;
        let received = async {
            let number = wire.request(request).await?;
            let Reply::Follows(_) = wire.reply(number).await? else {
                return Err(ClientError::Protocol("an answer of another kind"));
            };
            let mut len = 0_u64;
            while let Some(sealed) = wire.piece(number).await? {
                out.write_all(&sealed).await?;
                len = len.saturating_add(u64::try_from(sealed.len()).unwrap_or(u64::MAX));
            }
            out.flush().await?;
            Ok(len)
        }
        .await;
        wire.done(received)
    }

    /// Asks for an envelope, and opens it as it comes.
    async fn receive(
        &self,
        request: Request,
        key: &UserKey,
        (realm, record): (Id, RecordId),
        out: &mut (impl AsyncWrite + Unpin),
    ) -> Result<Document, ClientError> {
        let down = key.down();
        let identities: [&dyn symbolon_envelope::Identity; 1] = [&down];
        let mut opening =
            Open::with(&identities).expect(Expect::context().realm(realm).record(record)).begin();
        let mut wire = self.link.begin().await?;
        let received = async {
            let number = wire.request(request).await?;
            let Reply::Follows(_) = wire.reply(number).await? else {
                return Err(ClientError::Protocol("an answer of another kind"));
            };
            let mut plaintext = Zeroizing::new(Vec::with_capacity(2 * MAX_CHUNK));
            let mut len = 0_u64;
            while let Some(sealed) = wire.piece(number).await? {
                opening.push(&sealed, &mut plaintext).map_err(ClientError::invalid)?;
                out.write_all(&plaintext).await?;
                len = len.saturating_add(u64::try_from(plaintext.len()).unwrap_or(u64::MAX));
                plaintext.clear();
            }
            let context = opening.context().cloned();
            opening.finish(&mut plaintext).map_err(ClientError::invalid)?;
            out.write_all(&plaintext).await?;
            out.flush().await?;
            len = len.saturating_add(u64::try_from(plaintext.len()).unwrap_or(u64::MAX));
            // `Expect::context` refuses an envelope without one.
            let context = context.ok_or(ClientError::Protocol("an envelope without its context"))?;
            Ok(Document { context, len })
        }
        .await;
        wire.done(received)
    }

    /// Lets `user` have a document of one's own (E5).
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the record is not one's own, or the user has no key at the server.
    pub async fn grant(&self, record: RecordId, user: Id) -> Result<(), ClientError> {
        self.done(Request::Grant(RecordRef(*record.as_bytes()), user)).await
    }

    /// Takes that back. Whoever fetched the document before still has it.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the record is not one's own.
    pub async fn revoke(&self, record: RecordId, user: Id) -> Result<(), ClientError> {
        self.done(Request::Revoke(RecordRef(*record.as_bytes()), user)).await
    }
}
