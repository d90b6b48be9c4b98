//! The rows of the ledger, each read in one place.

use alloc::vec::Vec;

use symbolon_keys::UnixTime;
use symbolon_ledger::{
    AccountId, AccountRow, Entry, Event, Head, Lease, OutboxEntry, PadId, PadMode, PadRow, PadStatus,
    ReceiveRow, RequestId, RequestRow, SendRow, Side, Transfer, TransferId, TransferKind, TransferRow,
};

use super::numeric::Numeric;
use crate::StoreError;
use crate::postgres::session::Session;
use crate::postgres::sql::{Columns, bound, corrupt, count};

pub(super) type Result<T> = core::result::Result<T, StoreError>;

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

macro_rules! select_account {
    ($rest:literal) => {
        concat!("SELECT id, side, balance, held, pad, closed FROM accounts ", $rest)
    };
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

pub(super) use {select_account, select_pad, select_transfer};

pub(super) async fn pad(db: &Session, id: PadId) -> Result<Option<PadRow>> {
    db.first(select_pad!("WHERE id = $1"), &[&id.as_bytes().as_slice()], read_pad).await
}

pub(super) async fn pads(db: &Session, after: Option<PadId>, limit: usize) -> Result<Vec<PadRow>> {
    // The empty bytes sort before every id.
    let after = after.as_ref().map_or(&[][..], |id| id.as_bytes());
    db.all(select_pad!("WHERE id > $1 ORDER BY id LIMIT $2"), &[&after, &count(limit)], read_pad).await
}

pub(super) fn read_pad(c: &mut Columns<'_>) -> Result<PadRow> {
    Ok(PadRow {
        id: c.random()?,
        instance: c.random()?,
        mode: c.code(PadMode::from_code)?,
        witnessed: c.get()?,
        account: c.random_option()?,
        refund: c.random_option()?,
        status: c.code(PadStatus::from_code)?,
        lease: Lease { epoch: c.number()?, owner: c.random_option()?, until: c.time()? },
        send: SendRow {
            lane: c.code(Some)?,
            generation: c.random()?,
            len: c.number()?,
            from: c.number()?,
            reserved: c.number()?,
            batch: c.random()?,
        },
        receive: ReceiveRow {
            lane: c.code(Some)?,
            generation: c.random()?,
            len: c.number()?,
            position: c.number()?,
            seq: c.number()?,
            ceiling_from: c.number()?,
            ceiling: c.number()?,
            batch: c.random()?,
        },
    })
}

pub(super) async fn account(db: &Session, id: AccountId) -> Result<Option<AccountRow>> {
    db.first(select_account!("WHERE id = $1"), &[&id.as_bytes().as_slice()], read_account).await
}

pub(super) fn read_account(c: &mut Columns<'_>) -> Result<AccountRow> {
    Ok(AccountRow {
        id: c.random()?,
        side: c.code(Side::from_code)?,
        balance: c.get::<Numeric>()?.0,
        held: c.get::<Numeric>()?.0,
        pad: c.random_option()?,
        closed: c.get()?,
    })
}

pub(super) async fn transfer(db: &Session, id: TransferId) -> Result<Option<TransferRow>> {
    db.first(select_transfer!("WHERE id = $1"), &[&id.as_bytes().as_slice()], read_transfer).await
}

pub(super) async fn due(db: &Session, now: UnixTime, limit: usize) -> Result<Vec<TransferRow>> {
    let sql = select_transfer!(
        "WHERE kind = 2 AND resolved_by IS NULL AND coalesce(expires, matures) IS NOT NULL
         AND coalesce(expires, matures) BETWEEN 0 AND $1 ORDER BY coalesce(expires, matures) LIMIT $2"
    );
    db.all(sql, &[&bound(now.as_secs()), &count(limit)], read_transfer).await
}

pub(super) fn read_transfer(c: &mut Columns<'_>) -> Result<TransferRow> {
    let transfer = Transfer {
        id: c.random()?,
        kind: c.code(TransferKind::from_code)?,
        from: c.random()?,
        to: c.random()?,
        amount: c.get::<Numeric>()?.0,
        hold: c.random_option()?,
        matures: c.time_option()?,
        expires: c.time_option()?,
        reference: c.array()?,
    };
    Ok(TransferRow { transfer, at: c.time()?, resolved_by: c.random_option()? })
}

pub(super) async fn request(db: &Session, pad: PadId, id: RequestId) -> Result<Option<RequestRow>> {
    let sql = "SELECT pad, id, frame_end, reply FROM requests WHERE pad = $1 AND id = $2";
    db.first(sql, &[&pad.as_bytes().as_slice(), &id.as_bytes().as_slice()], read_request).await
}

pub(super) async fn unanswered(
    db: &Session,
    pad: PadId,
    after: Option<(u64, RequestId)>,
    limit: usize,
) -> Result<Vec<RequestRow>> {
    // The empty bytes sort before every id.
    let (end, id) = after.as_ref().map_or((0, &[][..]), |(end, id)| (bound(*end), id.as_bytes()));
    let sql = "SELECT pad, id, frame_end, reply FROM requests
               WHERE pad = $1 AND (frame_end, id) > ($2, $3) AND reply IS NULL ORDER BY frame_end, id LIMIT $4";
    db.all(sql, &[&pad.as_bytes().as_slice(), &end, &id, &count(limit)], read_request).await
}

pub(super) fn read_request(c: &mut Columns<'_>) -> Result<RequestRow> {
    Ok(RequestRow { pad: c.random()?, id: c.random()?, end: c.number()?, reply: c.get()? })
}

pub(super) async fn head(db: &Session) -> Result<Head> {
    let sql = "SELECT number, hash FROM journal ORDER BY number DESC LIMIT 1";
    let last = db.first(sql, &[], |c| Ok(Head { entries: c.number()?, hash: c.array()? })).await?;
    Ok(last.unwrap_or_default())
}

pub(super) async fn journal(
    db: &Session,
    account: Option<AccountId>,
    after: u64,
    limit: usize,
) -> Result<Vec<Entry>> {
    let (after, limit) = (bound(after), count(limit));
    match account {
        None => {
            let sql = select_entry!(
                "journal j LEFT JOIN transfers t ON t.id = j.transfer WHERE j.number > $1 ORDER BY j.number LIMIT $2"
            );
            db.all(sql, &[&after, &limit], read_entry).await
        }
        Some(account) => {
            let sql = select_entry!(
                "statements s JOIN journal j USING (number) LEFT JOIN transfers t ON t.id = j.transfer
                 WHERE s.account = $3 AND s.number > $1 ORDER BY s.number LIMIT $2"
            );
            db.all(sql, &[&after, &limit, &account.as_bytes().as_slice()], read_entry).await
        }
    }
}

fn read_entry(c: &mut Columns<'_>) -> Result<Entry> {
    let (number, at) = (c.number()?, c.time()?);
    let (event, hash) = (c.get::<Option<&[u8]>>()?, c.array()?);
    let event = match event {
        Some(bytes) => Event::from_bytes(bytes).map_err(|_| corrupt("a journal entry"))?,
        None => Event::Transfer(read_transfer(c)?.transfer),
    };
    Ok(Entry { number, at, event, hash })
}

pub(super) async fn outbox(db: &Session, limit: usize) -> Result<Vec<OutboxEntry>> {
    db.all("SELECT id, payload FROM outbox ORDER BY number LIMIT $1", &[&count(limit)], read_outbox).await
}

pub(super) fn read_outbox(c: &mut Columns<'_>) -> Result<OutboxEntry> {
    Ok(OutboxEntry { id: c.random()?, payload: c.get()? })
}
