//! Process by the user's instruction (E3, E5, E7), and seal anew.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::{fmt, mem};

use sha2::{Digest, Sha256};
use symbolon_keys::{Id, OsRng, UnixTime};
use zeroize::Zeroizing;

use super::{Custodian, CustodianError, Event, Receipt};
use crate::context::Context;
use crate::error::OpenError;
use crate::header::Header;
use crate::joint::Recipient;
use crate::open::Open;
use crate::payload::{CHUNK, PayloadOpener, PayloadSealer, SEALED_CHUNK};
use crate::records::{Payload, PayloadId, Record, RecordId, Records, Upload};
use crate::seal::Seal;
use crate::user_keys::UserKeyStore;

/// The most plaintext that [`Custodian::process`] holds in memory: 64 MiB. What is larger goes piece by piece through
/// [`Custodian::process_stream`].
pub const MAX_PROCESSED: u64 = 64 << 20;

impl<R: Records, U: UserKeyStore> Custodian<R, U> {
    /// Processes the plaintext of a record for `by`, who owns it or was granted it, and gives what `work` makes of it in
    /// an envelope for `to`, downwards, with the record's context.
    ///
    /// `work` sees the plaintext after the final chunk was verified, in a buffer that is wiped.
    ///
    /// # Errors
    /// [`CustodianError`]; [`CustodianError::TooLarge`] beyond [`MAX_PROCESSED`].
    pub async fn process(
        &self,
        id: RecordId,
        by: Id,
        to: Id,
        work: impl FnOnce(&Context, &[u8]) -> Zeroizing<Vec<u8>> + Send,
    ) -> Result<Vec<u8>, CustodianError> {
        let outcome = async {
            let record = self.record_for(id, by).await?;
            // Both keys are in use, or neither plaintext nor result is made.
            self.user_key(by).await?;
            let recipient = self.user_key(to).await?;
            let (context, opener) = self.open_record(&record)?;
            let mut plain = Zeroizing::new(Vec::new());
            let len =
                usize::try_from(record.payload.len).ok().filter(|_| record.payload.len <= MAX_PROCESSED);
            plain.reserve_exact(len.ok_or(CustodianError::TooLarge)?);
            let mut reader = PlainReader::new(record.payload, opener);
            while self.read_plain(&mut reader).await? {
                plain.extend_from_slice(&reader.plain);
            }
            let result = work(&context, &plain);
            let down = recipient.down();
            let recipients: [&dyn Recipient; 1] = [&down];
            let sealed = Seal::to(&recipients).context(&context).backend(self.backend).bytes(&result)?;
            (self.audit)(&Event::Processed { record: id, by, to });
            Ok(sealed)
        };
        self.audited(Some(id), by, outcome.await)
    }

    /// Processes the plaintext of a record of any size piece by piece for `by`, who owns it or was granted it. What
    /// `work` makes of it comes out as an envelope for `to`, downwards, with the record's context: see [`Processing`].
    ///
    /// `work` gets the pieces in order, each verified, and at the end `None`; whenever it is called it may append to its
    /// result. Pieces and result are in buffers that are wiped; a result of more than 128 KiB for one piece makes the
    /// buffer grow, and leaves a copy where it was.
    ///
    /// # Errors
    /// [`CustodianError`].
    ///
    /// # Security
    /// A piece is authentic, and may be the beginning of something longer: only `None` says that the record was whole.
    /// Take no step that cannot be taken back before. The resulting envelope is not complete without it either.
    pub async fn process_stream<W>(
        &self,
        id: RecordId,
        by: Id,
        to: Id,
        work: W,
    ) -> Result<Processing<'_, R, U, W>, CustodianError>
    where
        W: FnMut(&Context, Option<&[u8]>, &mut Vec<u8>) + Send,
    {
        let outcome = async {
            let record = self.record_for(id, by).await?;
            self.user_key(by).await?;
            let recipient = self.user_key(to).await?;
            let (context, opener) = self.open_record(&record)?;
            let down = recipient.down();
            let recipients: [&dyn Recipient; 1] = [&down];
            let (header, sealer) =
                Seal::to(&recipients).context(&context).backend(self.backend).begin(&mut OsRng)?;
            let reader = PlainReader::new(record.payload, opener);
            let result = Zeroizing::new(Vec::with_capacity(CHUNK.saturating_mul(2)));
            let state = State::Going(Box::new(Going { reader, sealer, sealed: header, result }));
            Ok(Processing { custodian: self, context, record: id, by, to, work, state })
        };
        self.audited(Some(id), by, outcome.await)
    }

    /// Seals a record of `owner` anew: another file key, another payload. Old headers, wherever they are, open the new
    /// payload no more. Costs as much as the payload is long; nothing of it is held.
    ///
    /// # Errors
    /// [`CustodianError`]; the record is as it was, or sealed anew, never in between.
    pub async fn reencrypt(&self, id: RecordId, owner: Id, now: UnixTime) -> Result<Receipt, CustodianError> {
        let outcome = async {
            let record = self.record_of(id, owner).await?;
            let (context, opener) = self.open_record(&record)?;
            let sequence = record.sequence.checked_add(1).ok_or(CustodianError::Conflict(None))?;
            let context = context.at(sequence);
            let (header, mut sealer, server_key) = self.with_ring(|ring| {
                let current = ring.current();
                let recipients: [&dyn Recipient; 1] = [&current];
                let seal = Seal::to(&recipients).context(&context).backend(self.backend);
                seal.begin(&mut OsRng).map(|(header, sealer)| (header, sealer, ring.version()))
            })?;

            let payload_id = PayloadId::generate(&mut OsRng);
            let mut upload = self.records.upload(payload_id).await.map_err(CustodianError::store)?;
            let (mut sealed, mut digest, mut len) = (Vec::new(), Sha256::new(), 0_u64);
            let mut reader = PlainReader::new(record.payload, opener);
            while self.read_plain(&mut reader).await? {
                sealer.push(&reader.plain, &mut sealed)?;
                digest.update(&sealed);
                len = len.saturating_add(sealed.len() as u64);
                upload.write(&sealed).await.map_err(CustodianError::store)?;
                sealed.clear();
            }
            sealer.finish(&mut sealed)?;
            digest.update(&sealed);
            len = len.saturating_add(sealed.len() as u64);
            upload.write(&sealed).await.map_err(CustodianError::store)?;

            let payload = Payload { id: payload_id, len, digest: digest.finalize().into() };
            let next = Record { id, owner, sequence, server_key, header, payload, stored: now };
            let put = self.records.put(next, upload, Some(record.sequence)).await;
            CustodianError::unless_done(put.map_err(CustodianError::store)?)?;
            (self.audit)(&Event::Reencrypted { record: id, sequence });
            Ok(Receipt { record: id, sequence, len })
        };
        self.audited(Some(id), owner, outcome.await)
    }

    /// Opens a record's header with the server key.
    fn open_record(&self, record: &Record) -> Result<(Context, PayloadOpener), CustodianError> {
        let header = Header::parse(&record.header).map_err(OpenError::from)?.0;
        let expect = self.expect(record);
        let (context, opener) =
            self.with_ring(|ring| Open::with(&[ring]).expect(expect).backend(self.backend).header(&header))?;
        // `expect` demands a context.
        Ok((context.ok_or(CustodianError::NoSuchRecord)?, opener))
    }

    /// The next piece of plaintext, verified; false when the last one was, and the whole with it.
    async fn read_plain(&self, reader: &mut PlainReader) -> Result<bool, CustodianError> {
        let PlainReader { payload, opener, offset, plain } = reader;
        plain.clear();
        if *offset < payload.len {
            let Some(opener) = opener else { return Ok(false) };
            let sealed = self.read(payload, *offset, SEALED_CHUNK).await?;
            *offset = offset.saturating_add(sealed.len() as u64);
            opener.push(&sealed, plain).map_err(OpenError::from)?;
            return Ok(true);
        }
        let Some(opener) = opener.take() else { return Ok(false) };
        opener.finish(plain).map_err(OpenError::from)?;
        Ok(true)
    }
}

/// What [`Custodian::process_stream`] makes of a record: an envelope, piece by piece, of which nothing is held.
#[must_use = "nothing is processed before next is called"]
pub struct Processing<'a, R, U, W> {
    custodian: &'a Custodian<R, U>,
    context: Context,
    record: RecordId,
    by: Id,
    to: Id,
    work: W,
    state: State,
}

enum State {
    Going(Box<Going>),
    Done,
    Failed,
}

struct Going {
    reader: PlainReader,
    sealer: PayloadSealer,
    /// Made and not given out.
    sealed: Vec<u8>,
    /// What `work` made of the last piece; wiped.
    result: Zeroizing<Vec<u8>>,
}

impl<R, U, W> Processing<'_, R, U, W>
where
    R: Records,
    U: UserKeyStore,
    W: FnMut(&Context, Option<&[u8]>, &mut Vec<u8>) + Send,
{
    /// The context of the record, and of the envelope that comes out.
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The next bytes of the envelope; none when it is complete. Dropped while it waits, it may be called again.
    ///
    /// # Errors
    /// [`CustodianError`]; then the envelope stays cut short, as whoever opens it sees.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, CustodianError> {
        let outcome = self.advance().await;
        if outcome.is_err() {
            self.state = State::Failed;
        }
        outcome
    }

    async fn advance(&mut self) -> Result<Option<Vec<u8>>, CustodianError> {
        let going = match &mut self.state {
            State::Going(going) => going,
            State::Done => return Ok(None),
            State::Failed => return Err(CustodianError::Gone),
        };
        let Going { reader, sealer, sealed, result } = &mut **going;
        while self.custodian.read_plain(reader).await? {
            (self.work)(&self.context, Some(&reader.plain), result);
            sealer.push(result, sealed)?;
            result.clear();
            if !sealed.is_empty() {
                return Ok(Some(mem::take(sealed)));
            }
        }
        (self.work)(&self.context, None, result);
        sealer.push(result, sealed)?;
        let State::Going(going) = mem::replace(&mut self.state, State::Done) else { return Ok(None) };
        let Going { sealer, mut sealed, .. } = *going;
        sealer.finish(&mut sealed)?;
        (self.custodian.audit)(&Event::Processed { record: self.record, by: self.by, to: self.to });
        Ok(Some(sealed))
    }
}

impl<R, U, W> fmt::Debug for Processing<'_, R, U, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { custodian: _, context, record: _, by, to, work: _, state: _ } = self;
        write!(f, "Processing({context:?} by {by} for {to})")
    }
}

/// A payload being decrypted.
struct PlainReader {
    payload: Payload,
    /// None after the end.
    opener: Option<PayloadOpener>,
    offset: u64,
    /// The piece that was read last; wiped.
    plain: Zeroizing<Vec<u8>>,
}

impl PlainReader {
    fn new(payload: Payload, opener: PayloadOpener) -> Self {
        let plain = Zeroizing::new(Vec::with_capacity(CHUNK.saturating_mul(2)));
        Self { payload, opener: Some(opener), offset: 0, plain }
    }
}
