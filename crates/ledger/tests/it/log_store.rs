//! A second, independent ledger store, for tests: an append-only log of rows, synced at every commit.
//!
//! One record per commit: `u32 length || rows || SHA-256(rows)`. What a crash tears is cut off when it is opened.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use symbolon_keys::UnixTime;
use symbolon_keys::wire::{Malformed, Reader};
use symbolon_ledger::apply::{Tables, apply};
use symbolon_ledger::{
    AccountId, AccountRow, Amount, Batch, CommitError, Entry, Event, Head, Lease, LedgerStore, MemoryStore,
    MemoryTables, OutboxEntry, OutboxId, Outcome, PadId, PadMode, PadRow, PadStatus, ReceiveRow, RequestId,
    RequestRow, SendRow, Side, StorageError, TransferId, TransferRow, conformance,
};

#[derive(Clone, Debug)]
pub(crate) struct LogStore(Arc<Mutex<Log>>);

#[derive(Debug)]
struct Log {
    file: File,
    tables: MemoryTables,
    /// Called before and after each sync, so that a test can die there.
    point: fn(&str),
}

impl LogStore {
    pub(crate) fn open(path: &Path) -> Self {
        Self::with_points(path, |_| {})
    }

    pub(crate) fn with_points(path: &Path, point: fn(&str)) -> Self {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let mut tables = MemoryTables::default();
        let mut r = Reader::new(&bytes);
        let mut whole = 0;
        while let Ok(rows) = record(&mut r) {
            let mut rows = Reader::new(rows);
            while rows.clone().finish().is_err() {
                replay(&mut tables, &mut rows).expect("a row that was synced");
            }
            whole = bytes.len() - r.clone().rest().len();
        }
        file.set_len(whole as u64).unwrap();
        file.sync_all().unwrap();
        Self(Arc::new(Mutex::new(Log { file, tables, point })))
    }

    /// The same content in memory, whose reads it shares.
    fn reads(&self) -> MemoryStore {
        let store = MemoryStore::new();
        store.with_tables(|tables| *tables = self.0.lock().unwrap().tables.clone());
        store
    }
}

fn record<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(r.u32()?).map_err(|_| Malformed)?;
    let rows = r.take(len)?;
    r.expect(&Sha256::digest(rows))?;
    Ok(rows)
}

/// Writes rows through to the tables, and into the record.
struct Recorder<'t> {
    tables: &'t mut MemoryTables,
    record: Vec<u8>,
}

fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend(bytes);
}

fn blob(r: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
    let len = usize::try_from(r.u32()?).map_err(|_| Malformed)?;
    r.take(len).map(<[u8]>::to_vec)
}

fn option(out: &mut Vec<u8>, id: Option<&[u8; 16]>) {
    out.push(u8::from(id.is_some()));
    out.extend(id.unwrap_or(&[0; 16]));
}

fn read_option<T: From<[u8; 16]>>(r: &mut Reader<'_>) -> Result<Option<T>, Malformed> {
    let (some, bytes) = (r.u8()?, r.array()?);
    Ok((some == 1).then(|| bytes.into()))
}

fn put_pad(out: &mut Vec<u8>, row: &PadRow) {
    let PadRow { id, instance, mode, witnessed, account, refund, status, lease, send, receive } = row;
    out.push(b'p');
    out.extend([id.as_bytes(), instance.as_bytes()].into_iter().flatten());
    out.extend([mode.code(), u8::from(*witnessed), status.code()]);
    option(out, account.as_ref().map(AccountId::as_bytes));
    option(out, refund.as_ref().map(AccountId::as_bytes));
    option(out, lease.owner.as_ref().map(|owner| owner.as_bytes()));
    out.extend([send.generation.as_bytes(), receive.generation.as_bytes()].into_iter().flatten());
    out.extend([send.batch.as_bytes(), receive.batch.as_bytes()].into_iter().flatten());
    out.extend([send.lane, receive.lane]);
    let numbers = [
        lease.epoch,
        lease.until.as_secs(),
        send.len,
        send.from,
        send.reserved,
        receive.len,
        receive.position,
        receive.seq.into(),
        receive.ceiling_from,
        receive.ceiling,
    ];
    out.extend(numbers.iter().flat_map(|n| n.to_be_bytes()));
}

fn read_pad(r: &mut Reader<'_>) -> Result<PadRow, Malformed> {
    let (id, instance) = (r.array()?.into(), r.array()?.into());
    let mode = PadMode::from_code(r.u8()?).ok_or(Malformed)?;
    let witnessed = r.u8()? == 1;
    let status = PadStatus::from_code(r.u8()?).ok_or(Malformed)?;
    let (account, refund, owner) = (read_option(r)?, read_option(r)?, read_option(r)?);
    let (sg, rg, sb, rb) = (r.array()?.into(), r.array()?.into(), r.array()?.into(), r.array()?.into());
    let (sl, rl) = (r.u8()?, r.u8()?);
    let lease = Lease { epoch: r.u64()?, until: UnixTime::from_secs(r.u64()?), owner };
    let send =
        SendRow { lane: sl, generation: sg, len: r.u64()?, from: r.u64()?, reserved: r.u64()?, batch: sb };
    let receive = ReceiveRow {
        lane: rl,
        generation: rg,
        len: r.u64()?,
        position: r.u64()?,
        seq: r.u64()?.try_into().map_err(|_| Malformed)?,
        ceiling_from: r.u64()?,
        ceiling: r.u64()?,
        batch: rb,
    };
    Ok(PadRow { id, instance, mode, witnessed, account, refund, status, lease, send, receive })
}

fn replay(tables: &mut MemoryTables, r: &mut Reader<'_>) -> Result<(), Malformed> {
    let never = |Ok(()): Result<(), core::convert::Infallible>| ();
    match r.u8()? {
        b'p' => never(tables.put_pad(&read_pad(r)?)),
        b'a' => {
            let id = r.array()?.into();
            let side = Side::from_code(r.u8()?).ok_or(Malformed)?;
            let (balance, held) = (Amount::from_bytes(r.array()?), Amount::from_bytes(r.array()?));
            let (pad, closed) = (read_option(r)?, r.u8()? == 1);
            never(tables.put_account(&AccountRow { id, side, balance, held, pad, closed }));
        }
        b't' => {
            let at = UnixTime::from_secs(r.u64()?);
            let resolved_by = read_option(r)?;
            let Event::Transfer(transfer) = Event::from_bytes(&blob(r)?)? else { return Err(Malformed) };
            never(tables.put_transfer(&TransferRow { transfer, at, resolved_by }));
        }
        b'r' => {
            let (pad, id, end) = (r.array()?.into(), r.array()?.into(), r.u64()?);
            let reply = if r.u8()? == 1 { Some(blob(r)?) } else { None };
            never(tables.put_request(&RequestRow { pad, id, end, reply }));
        }
        b'f' => never(tables.remove_request(r.array()?.into(), r.array()?.into())),
        b'j' => {
            let (number, at, hash) = (r.u64()?, UnixTime::from_secs(r.u64()?), r.array()?);
            never(tables.append(&Entry { number, at, event: Event::from_bytes(&blob(r)?)?, hash }));
        }
        b'o' => never(tables.enqueue(&OutboxEntry { id: r.array()?.into(), payload: blob(r)? })),
        b'd' => never(tables.dequeue(r.array()?.into())),
        _ => return Err(Malformed),
    }
    Ok(())
}

impl Tables for Recorder<'_> {
    type Error = core::convert::Infallible;

    fn pad(&mut self, id: PadId) -> Result<Option<PadRow>, Self::Error> {
        self.tables.pad(id)
    }
    fn put_pad(&mut self, row: &PadRow) -> Result<(), Self::Error> {
        put_pad(&mut self.record, row);
        self.tables.put_pad(row)
    }
    fn account(&mut self, id: AccountId) -> Result<Option<AccountRow>, Self::Error> {
        self.tables.account(id)
    }
    fn put_account(&mut self, row: &AccountRow) -> Result<(), Self::Error> {
        let AccountRow { id, side, balance, held, pad, closed } = row;
        self.record.push(b'a');
        self.record.extend(id.as_bytes());
        self.record.push(side.code());
        self.record.extend([balance.to_bytes(), held.to_bytes()].concat());
        option(&mut self.record, pad.as_ref().map(PadId::as_bytes));
        self.record.push(u8::from(*closed));
        self.tables.put_account(row)
    }
    fn transfer(&mut self, id: TransferId) -> Result<Option<TransferRow>, Self::Error> {
        self.tables.transfer(id)
    }
    fn put_transfer(&mut self, row: &TransferRow) -> Result<(), Self::Error> {
        self.record.push(b't');
        self.record.extend(row.at.as_secs().to_be_bytes());
        option(&mut self.record, row.resolved_by.as_ref().map(TransferId::as_bytes));
        field(&mut self.record, &Event::Transfer(row.transfer.clone()).to_bytes());
        self.tables.put_transfer(row)
    }
    fn request(&mut self, pad: PadId, id: RequestId) -> Result<Option<RequestRow>, Self::Error> {
        self.tables.request(pad, id)
    }
    fn put_request(&mut self, row: &RequestRow) -> Result<(), Self::Error> {
        self.record.push(b'r');
        self.record.extend([row.pad.as_bytes(), row.id.as_bytes()].into_iter().flatten());
        self.record.extend(row.end.to_be_bytes());
        self.record.push(u8::from(row.reply.is_some()));
        row.reply.iter().for_each(|reply| field(&mut self.record, reply));
        self.tables.put_request(row)
    }
    fn requests_below(&mut self, pad: PadId, end: u64, limit: usize) -> Result<Vec<RequestId>, Self::Error> {
        self.tables.requests_below(pad, end, limit)
    }
    fn remove_request(&mut self, pad: PadId, id: RequestId) -> Result<(), Self::Error> {
        self.record.push(b'f');
        self.record.extend([pad.as_bytes(), id.as_bytes()].into_iter().flatten());
        self.tables.remove_request(pad, id)
    }
    fn head(&mut self) -> Result<Head, Self::Error> {
        self.tables.head()
    }
    fn append(&mut self, entry: &Entry) -> Result<(), Self::Error> {
        self.record.push(b'j');
        self.record.extend([entry.number.to_be_bytes(), entry.at.as_secs().to_be_bytes()].concat());
        self.record.extend(entry.hash);
        field(&mut self.record, &entry.event.to_bytes());
        self.tables.append(entry)
    }
    fn outbox(&mut self, id: OutboxId) -> Result<Option<OutboxEntry>, Self::Error> {
        Tables::outbox(self.tables, id)
    }
    fn enqueue(&mut self, entry: &OutboxEntry) -> Result<(), Self::Error> {
        self.record.push(b'o');
        self.record.extend(entry.id.as_bytes());
        field(&mut self.record, &entry.payload);
        self.tables.enqueue(entry)
    }
    fn dequeue(&mut self, id: OutboxId) -> Result<(), Self::Error> {
        self.record.push(b'd');
        self.record.extend(id.as_bytes());
        self.tables.dequeue(id)
    }
}

impl LedgerStore for LogStore {
    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, CommitError> {
        let mut log = self.0.lock().unwrap();
        let mut tables = log.tables.clone();
        let mut recorder = Recorder { tables: &mut tables, record: Vec::new() };
        let Ok(judged) = apply(&mut recorder, &batch);
        let outcomes = judged?;
        let rows = recorder.record;
        (log.point)("before");
        let mut bytes = Vec::new();
        field(&mut bytes, &rows);
        bytes.extend(Sha256::digest(&rows));
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let write = |log: &mut Log| {
            log.file.write_all(first)?;
            (log.point)("torn");
            log.file.write_all(second)?;
            (log.point)("written");
            log.file.sync_data()
        };
        write(&mut log).map_err(|error| CommitError::Unknown(StorageError::new(error)))?;
        log.tables = tables;
        (log.point)("synced");
        Ok(outcomes)
    }
    async fn pad(&self, id: PadId) -> Result<Option<PadRow>, StorageError> {
        self.reads().pad(id).await
    }
    async fn pads(&self, after: Option<PadId>, limit: usize) -> Result<Vec<PadRow>, StorageError> {
        self.reads().pads(after, limit).await
    }
    async fn account(&self, id: AccountId) -> Result<Option<AccountRow>, StorageError> {
        self.reads().account(id).await
    }
    async fn transfer(&self, id: TransferId) -> Result<Option<TransferRow>, StorageError> {
        self.reads().transfer(id).await
    }
    async fn due(&self, now: UnixTime, limit: usize) -> Result<Vec<TransferRow>, StorageError> {
        self.reads().due(now, limit).await
    }
    async fn request(&self, pad: PadId, id: RequestId) -> Result<Option<RequestRow>, StorageError> {
        self.reads().request(pad, id).await
    }
    async fn unanswered(
        &self,
        pad: PadId,
        after: Option<(u64, RequestId)>,
        limit: usize,
    ) -> Result<Vec<RequestRow>, StorageError> {
        self.reads().unanswered(pad, after, limit).await
    }
    async fn head(&self) -> Result<Head, StorageError> {
        self.reads().head().await
    }
    async fn journal(
        &self,
        account: Option<AccountId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        self.reads().journal(account, after, limit).await
    }
    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StorageError> {
        self.reads().outbox(limit).await
    }
}

#[tokio::test]
async fn it_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let count = core::cell::Cell::new(0);
    let path = |n: u32| folder.path().join(format!("{n}.log"));
    let fresh = async || {
        count.set(count.get() + 1);
        LogStore::open(&path(count.get()))
    };
    let reopen = async |store: LogStore| {
        drop(store);
        LogStore::open(&path(count.get()))
    };
    conformance::suite(fresh, reopen).await;
}
