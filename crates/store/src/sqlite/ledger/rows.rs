//! The rows of the ledger, each read and written in one place.

use alloc::vec::Vec;

use rusqlite::{Connection, params};
use symbolon_keys::UnixTime;
use symbolon_ledger::apply::Tables;
use symbolon_ledger::{
    AccountId, AccountRow, Amount, Entry, Event, Head, Lease, OutboxEntry, OutboxId, PadId, PadMode, PadRow,
    PadStatus, ReceiveRow, RequestId, RequestRow, SendRow, Side, Transfer, TransferId, TransferKind,
    TransferRow,
};

use crate::StoreError;
use crate::sqlite::sql::{Columns, all, bound, corrupt, count, execute, first, time};

type Result<T> = core::result::Result<T, StoreError>;

/// The ledger inside one transaction, for the function that judges a batch.
pub(super) struct Rows<'t>(pub(super) &'t Connection);

impl Tables for Rows<'_> {
    type Error = StoreError;

    fn pad(&mut self, id: PadId) -> Result<Option<PadRow>> {
        pad(self.0, id)
    }

    fn put_pad(&mut self, row: &PadRow) -> Result<()> {
        put_pad(self.0, row)
    }

    fn account(&mut self, id: AccountId) -> Result<Option<AccountRow>> {
        account(self.0, id)
    }

    fn put_account(&mut self, row: &AccountRow) -> Result<()> {
        let AccountRow { id, side, balance, held, pad, closed } = row;
        let sql =
            "INSERT INTO accounts (id, side, balance, held, pad, closed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (id) DO UPDATE SET balance = ?3, held = ?4, pad = ?5, closed = ?6";
        let pad = pad.as_ref().map(PadId::as_bytes);
        let row = params![id.as_bytes(), side.code(), balance.to_bytes(), held.to_bytes(), pad, closed];
        execute(self.0, sql, row).map(drop)
    }

    fn transfer(&mut self, id: TransferId) -> Result<Option<TransferRow>> {
        transfer(self.0, id)
    }

    fn put_transfer(&mut self, row: &TransferRow) -> Result<()> {
        put_transfer(self.0, row)
    }

    fn request(&mut self, pad: PadId, id: RequestId) -> Result<Option<RequestRow>> {
        request(self.0, pad, id)
    }

    fn put_request(&mut self, row: &RequestRow) -> Result<()> {
        let RequestRow { pad, id, end, reply } = row;
        let sql = "INSERT INTO requests (pad, id, frame_end, reply) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (pad, id) DO UPDATE SET frame_end = ?3, reply = ?4";
        execute(self.0, sql, params![pad.as_bytes(), id.as_bytes(), end, reply]).map(drop)
    }

    fn requests_below(&mut self, pad: PadId, end: u64, limit: usize) -> Result<Vec<RequestId>> {
        let sql = "SELECT id FROM requests WHERE pad = ?1 AND frame_end < ?2 ORDER BY frame_end, id LIMIT ?3";
        all(self.0, sql, params![pad.as_bytes(), bound(end), count(limit)], |c| c.random())
    }

    fn remove_request(&mut self, pad: PadId, id: RequestId) -> Result<()> {
        let sql = "DELETE FROM requests WHERE pad = ?1 AND id = ?2";
        execute(self.0, sql, params![pad.as_bytes(), id.as_bytes()]).map(drop)
    }

    fn head(&mut self) -> Result<Head> {
        head(self.0)
    }

    fn append(&mut self, entry: &Entry) -> Result<()> {
        append(self.0, entry)
    }

    fn outbox(&mut self, id: OutboxId) -> Result<Option<OutboxEntry>> {
        first(self.0, "SELECT id, payload FROM outbox WHERE id = ?1", [id.as_bytes()], read_outbox)
    }

    fn enqueue(&mut self, entry: &OutboxEntry) -> Result<()> {
        let OutboxEntry { id, payload } = entry;
        execute(self.0, "INSERT INTO outbox (id, payload) VALUES (?1, ?2)", params![id.as_bytes(), payload])
            .map(drop)
    }

    fn dequeue(&mut self, id: OutboxId) -> Result<()> {
        execute(self.0, "DELETE FROM outbox WHERE id = ?1", [id.as_bytes()]).map(drop)
    }
}

macro_rules! select_pad {
    ($rest:literal) => {
        concat!(
            "SELECT id, instance, mode, witnessed, account, refund, status, lease_epoch, lease_owner, lease_until,
             send_lane, send_generation, send_len, send_from, send_reserved, send_batch,
             receive_lane, receive_generation, receive_len, receive_position, receive_seq, receive_ceiling_from,
             receive_ceiling, receive_batch FROM pads ",
            $rest
        )
    };
}

pub(super) fn pad(db: &Connection, id: PadId) -> Result<Option<PadRow>> {
    first(db, select_pad!("WHERE id = ?1"), [id.as_bytes()], read_pad)
}

pub(super) fn pads(db: &Connection, after: Option<PadId>, limit: usize) -> Result<Vec<PadRow>> {
    // The empty blob sorts before every id.
    let after = after.as_ref().map_or(&[][..], |id| id.as_bytes());
    all(db, select_pad!("WHERE id > ?1 ORDER BY id LIMIT ?2"), params![after, count(limit)], read_pad)
}

fn read_pad(c: &mut Columns<'_, '_>) -> Result<PadRow> {
    Ok(PadRow {
        id: c.random()?,
        instance: c.random()?,
        mode: c.code(PadMode::from_code)?,
        witnessed: c.get()?,
        account: c.random_option()?,
        refund: c.random_option()?,
        status: c.code(PadStatus::from_code)?,
        lease: Lease { epoch: c.get()?, owner: c.random_option()?, until: c.time()? },
        send: SendRow {
            lane: c.get()?,
            generation: c.random()?,
            len: c.get()?,
            from: c.get()?,
            reserved: c.get()?,
            batch: c.random()?,
        },
        receive: ReceiveRow {
            lane: c.get()?,
            generation: c.random()?,
            len: c.get()?,
            position: c.get()?,
            seq: c.get()?,
            ceiling_from: c.get()?,
            ceiling: c.get()?,
            batch: c.random()?,
        },
    })
}

fn put_pad(db: &Connection, row: &PadRow) -> Result<()> {
    let PadRow { id, instance, mode, witnessed, account, refund, status, lease, send, receive } = row;
    let sql = "INSERT INTO pads VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                                        ?19, ?20, ?21, ?22, ?23, ?24)
               ON CONFLICT (id) DO UPDATE SET
               instance = ?2, mode = ?3, witnessed = ?4, account = ?5, refund = ?6, status = ?7,
               lease_epoch = ?8, lease_owner = ?9, lease_until = ?10,
               send_lane = ?11, send_generation = ?12, send_len = ?13, send_from = ?14, send_reserved = ?15,
               send_batch = ?16,
               receive_lane = ?17, receive_generation = ?18, receive_len = ?19, receive_position = ?20,
               receive_seq = ?21, receive_ceiling_from = ?22, receive_ceiling = ?23, receive_batch = ?24";
    let row = params![
        id.as_bytes(),
        instance.as_bytes(),
        mode.code(),
        witnessed,
        account.as_ref().map(AccountId::as_bytes),
        refund.as_ref().map(AccountId::as_bytes),
        status.code(),
        lease.epoch,
        lease.owner.as_ref().map(|owner| owner.as_bytes()),
        time(lease.until),
        send.lane,
        send.generation.as_bytes(),
        send.len,
        send.from,
        send.reserved,
        send.batch.as_bytes(),
        receive.lane,
        receive.generation.as_bytes(),
        receive.len,
        receive.position,
        receive.seq,
        receive.ceiling_from,
        receive.ceiling,
        receive.batch.as_bytes(),
    ];
    execute(db, sql, row).map(drop)
}

pub(super) fn account(db: &Connection, id: AccountId) -> Result<Option<AccountRow>> {
    let sql = "SELECT id, side, balance, held, pad, closed FROM accounts WHERE id = ?1";
    first(db, sql, [id.as_bytes()], |c| {
        Ok(AccountRow {
            id: c.random()?,
            side: c.code(Side::from_code)?,
            balance: Amount::from_bytes(c.get()?),
            held: Amount::from_bytes(c.get()?),
            pad: c.random_option()?,
            closed: c.get()?,
        })
    })
}

macro_rules! select_transfer {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, debited, credited, amount, hold, matures, expires, reference, at, resolved_by
             FROM transfers ",
            $rest
        )
    };
}

pub(super) fn transfer(db: &Connection, id: TransferId) -> Result<Option<TransferRow>> {
    first(db, select_transfer!("WHERE id = ?1"), [id.as_bytes()], read_transfer)
}

pub(super) fn due(db: &Connection, now: UnixTime, limit: usize) -> Result<Vec<TransferRow>> {
    let sql = select_transfer!(
        "WHERE kind = 2 AND resolved_by IS NULL AND coalesce(expires, matures) IS NOT NULL
         AND coalesce(expires, matures) BETWEEN 0 AND ?1 ORDER BY coalesce(expires, matures) LIMIT ?2"
    );
    all(db, sql, params![bound(now.as_secs()), count(limit)], read_transfer)
}

fn read_transfer(c: &mut Columns<'_, '_>) -> Result<TransferRow> {
    let transfer = Transfer {
        id: c.random()?,
        kind: c.code(TransferKind::from_code)?,
        from: c.random()?,
        to: c.random()?,
        amount: Amount::from_bytes(c.get()?),
        hold: c.random_option()?,
        matures: c.time_option()?,
        expires: c.time_option()?,
        reference: c.get()?,
    };
    Ok(TransferRow { transfer, at: c.time()?, resolved_by: c.random_option()? })
}

fn put_transfer(db: &Connection, row: &TransferRow) -> Result<()> {
    let TransferRow { transfer, at, resolved_by } = row;
    let Transfer { id, kind, from, to, amount, hold, matures, expires, reference } = transfer;
    let sql = "INSERT INTO transfers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
               ON CONFLICT (id) DO UPDATE SET resolved_by = ?11";
    let row = params![
        id.as_bytes(),
        kind.code(),
        from.as_bytes(),
        to.as_bytes(),
        amount.to_bytes(),
        hold.as_ref().map(TransferId::as_bytes),
        matures.map(time),
        expires.map(time),
        reference,
        time(*at),
        resolved_by.as_ref().map(TransferId::as_bytes),
    ];
    execute(db, sql, row).map(drop)
}

pub(super) fn request(db: &Connection, pad: PadId, id: RequestId) -> Result<Option<RequestRow>> {
    let sql = "SELECT pad, id, frame_end, reply FROM requests WHERE pad = ?1 AND id = ?2";
    first(db, sql, params![pad.as_bytes(), id.as_bytes()], read_request)
}

pub(super) fn unanswered(
    db: &Connection,
    pad: PadId,
    after: Option<(u64, RequestId)>,
    limit: usize,
) -> Result<Vec<RequestRow>> {
    // The empty blob sorts before every id.
    let (end, id) = after.as_ref().map_or((0, &[][..]), |(end, id)| (bound(*end), id.as_bytes()));
    let sql = "SELECT pad, id, frame_end, reply FROM requests
               WHERE pad = ?1 AND (frame_end, id) > (?2, ?3) AND reply IS NULL ORDER BY frame_end, id LIMIT ?4";
    all(db, sql, params![pad.as_bytes(), end, id, count(limit)], read_request)
}

fn read_request(c: &mut Columns<'_, '_>) -> Result<RequestRow> {
    Ok(RequestRow { pad: c.random()?, id: c.random()?, end: c.get()?, reply: c.get()? })
}

pub(super) fn head(db: &Connection) -> Result<Head> {
    let sql = "SELECT number, hash FROM journal ORDER BY number DESC LIMIT 1";
    let last = first(db, sql, [], |c| Ok(Head { entries: c.get()?, hash: c.get()? }))?;
    Ok(last.unwrap_or_default())
}

fn append(db: &Connection, entry: &Entry) -> Result<()> {
    let Entry { number, at, event, hash } = entry;
    let sql = "INSERT INTO journal (number, at, transfer, event, hash) VALUES (?1, ?2, ?3, ?4, ?5)";
    let (transfer, other) = match event {
        Event::Transfer(transfer) => (Some(transfer.id.as_bytes()), None),
        other => (None, Some(other.to_bytes())),
    };
    execute(db, sql, params![number, time(*at), transfer, other, hash])?;
    for account in event.accounts() {
        let sql = "INSERT INTO statements (account, number) VALUES (?1, ?2)";
        execute(db, sql, params![account.as_bytes(), number])?;
    }
    Ok(())
}

macro_rules! select_entry {
    ($from:literal) => {
        concat!(
            "SELECT j.number, j.at, j.event, j.hash,
             t.id, t.kind, t.debited, t.credited, t.amount, t.hold, t.matures, t.expires, t.reference, t.at,
             t.resolved_by FROM ",
            $from
        )
    };
}

pub(super) fn journal(
    db: &Connection,
    account: Option<AccountId>,
    after: u64,
    limit: usize,
) -> Result<Vec<Entry>> {
    match account {
        None => {
            let sql = select_entry!(
                "journal j LEFT JOIN transfers t ON t.id = j.transfer WHERE j.number > ?1 ORDER BY j.number LIMIT ?2"
            );
            all(db, sql, params![bound(after), count(limit)], read_entry)
        }
        Some(account) => {
            let sql = select_entry!(
                "statements s JOIN journal j USING (number) LEFT JOIN transfers t ON t.id = j.transfer
                 WHERE s.account = ?3 AND s.number > ?1 ORDER BY s.number LIMIT ?2"
            );
            all(db, sql, params![bound(after), count(limit), account.as_bytes()], read_entry)
        }
    }
}

fn read_entry(c: &mut Columns<'_, '_>) -> Result<Entry> {
    let (number, at) = (c.get()?, c.time()?);
    let (event, hash) = (c.get::<Option<Vec<u8>>>()?, c.get()?);
    let event = match event {
        Some(bytes) => Event::from_bytes(&bytes).map_err(|_| corrupt("a journal entry"))?,
        None => Event::Transfer(read_transfer(c)?.transfer),
    };
    Ok(Entry { number, at, event, hash })
}

pub(super) fn outbox(db: &Connection, limit: usize) -> Result<Vec<OutboxEntry>> {
    all(db, "SELECT id, payload FROM outbox ORDER BY number LIMIT ?1", [count(limit)], read_outbox)
}

fn read_outbox(c: &mut Columns<'_, '_>) -> Result<OutboxEntry> {
    Ok(OutboxEntry { id: c.random()?, payload: c.get()? })
}
