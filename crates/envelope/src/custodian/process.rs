//! Process by the user's instruction (E3, E5, E7), and seal anew.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};
use symbolon_keys::{Id, OsRng, UnixTime};
use zeroize::Zeroizing;

use super::{Custodian, CustodianError, Event, Receipt};
use crate::context::Context;
use crate::error::OpenError;
use crate::header::Header;
use crate::joint::Recipient;
use crate::open::Open;
use crate::payload::{CHUNK, PayloadOpener, SEALED_CHUNK};
use crate::records::{Change, Payload, PayloadId, Record, RecordId, Records, Upload};
use crate::seal::Seal;
use crate::user_keys::UserKeyStore;

/// The most plaintext that is processed in memory: 64 MiB. What is larger is streamed to the user and processed there.
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
        let record = self.record_for(id, by).await?;
        // Both keys are in use, or neither plaintext nor result is made.
        self.user_key(by).await?;
        let recipient = self.user_key(to).await?;
        let (context, opener) = self.open_record(&record)?;
        let mut plain = Zeroizing::new(Vec::new());
        let len = usize::try_from(record.payload.len).ok().filter(|_| record.payload.len <= MAX_PROCESSED);
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
    }

    /// Seals a record of `owner` anew: another file key, another payload. Old headers, wherever they are, open the new
    /// payload no more. Costs as much as the payload is long; nothing of it is held.
    ///
    /// # Errors
    /// [`CustodianError`]; the record is as it was, or sealed anew, never in between.
    pub async fn reencrypt(&self, id: RecordId, owner: Id, now: UnixTime) -> Result<Receipt, CustodianError> {
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
        match self.records.put(next, upload, Some(record.sequence)).await.map_err(CustodianError::store)? {
            Change::Done => {
                (self.audit)(&Event::Reencrypted { record: id, sequence });
                Ok(Receipt { record: id, sequence, len })
            }
            Change::Conflict(at) => Err(CustodianError::Conflict(at)),
        }
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
