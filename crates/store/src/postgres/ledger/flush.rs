//! Writes what a group of batches changed: a statement for each table, whatever the number of rows.

use alloc::vec::Vec;

use futures_util::future::try_join_all;
use symbolon_ledger::{AccountRow, Entry, Event, OutboxEntry, PadRow, RequestRow, TransferId, TransferRow};

use super::loaded::Loaded;
use super::numeric::Numeric;
use super::rows::Result;
use crate::StoreError;
use crate::postgres::session::Session;
use crate::postgres::sql::{Param, number, time};

const INSERT_ACCOUNTS: &str = "INSERT INTO accounts (id, side, balance, held, pad, closed)
    SELECT * FROM unnest($1::bytea[], $2::smallint[], $3::numeric[], $4::numeric[], $5::bytea[], $6::boolean[])";
const UPDATE_ACCOUNTS: &str =
    "UPDATE accounts a SET balance = n.balance, held = n.held, pad = n.pad, closed = n.closed
    FROM unnest($1::bytea[], $2::numeric[], $3::numeric[], $4::bytea[], $5::boolean[])
    AS n (id, balance, held, pad, closed) WHERE a.id = n.id";
/// Pads are written one by one: there are few in a group, and they have many columns.
const PUT_PAD: &str = "INSERT INTO pads VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
        $17, $18, $19, $20, $21, $22, $23, $24)
    ON CONFLICT (id) DO UPDATE SET
        instance = $2, mode = $3, witnessed = $4, account = $5, refund = $6, status = $7,
        lease_epoch = $8, lease_owner = $9, lease_until = $10,
        send_lane = $11, send_generation = $12, send_len = $13, send_from = $14, send_reserved = $15, send_batch = $16,
        receive_lane = $17, receive_generation = $18, receive_len = $19, receive_position = $20, receive_seq = $21,
        receive_ceiling_from = $22, receive_ceiling = $23, receive_batch = $24";
const INSERT_TRANSFERS: &str = "INSERT INTO transfers
    SELECT * FROM unnest($1::bytea[], $2::smallint[], $3::bytea[], $4::bytea[], $5::numeric[], $6::bytea[],
        $7::bigint[], $8::bigint[], $9::bytea[], $10::bigint[], $11::bytea[])";
const RESOLVE_TRANSFERS: &str = "UPDATE transfers t SET resolved_by = n.resolved_by
    FROM unnest($1::bytea[], $2::bytea[]) AS n (id, resolved_by) WHERE t.id = n.id";
const INSERT_REQUESTS: &str = "INSERT INTO requests (pad, id, frame_end, reply)
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bytea[])";
const UPDATE_REQUESTS: &str = "UPDATE requests r SET frame_end = n.frame_end, reply = n.reply
    FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bytea[]) AS n (pad, id, frame_end, reply)
    WHERE r.pad = n.pad AND r.id = n.id";
const DELETE_REQUESTS: &str = "DELETE FROM requests r
    USING unnest($1::bytea[], $2::bytea[]) AS n (pad, id) WHERE r.pad = n.pad AND r.id = n.id";
const INSERT_ENTRIES: &str = "INSERT INTO journal (number, at, transfer, event, hash)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[])";
const INSERT_STATEMENTS: &str = "INSERT INTO statements (account, number)
    SELECT * FROM unnest($1::bytea[], $2::bigint[])";
const DELETE_OUTBOX: &str = "DELETE FROM outbox WHERE id = ANY($1)";
const INSERT_OUTBOX: &str = "INSERT INTO outbox (id, payload)
    SELECT id, payload FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS n (id, payload, place) ORDER BY place";

const ALL: [&str; 12] = [
    INSERT_ACCOUNTS,
    UPDATE_ACCOUNTS,
    PUT_PAD,
    INSERT_TRANSFERS,
    RESOLVE_TRANSFERS,
    INSERT_REQUESTS,
    UPDATE_REQUESTS,
    DELETE_REQUESTS,
    INSERT_ENTRIES,
    INSERT_STATEMENTS,
    DELETE_OUTBOX,
    INSERT_OUTBOX,
];

pub(super) async fn changes(db: &Session, loaded: &Loaded) -> Result<()> {
    // Prepared before: so that they are sent in this order, each without waiting for the answer to the one before.
    for sql in ALL {
        db.prepare(sql).await?;
    }
    let (new_accounts, accounts) = loaded.accounts.changes();
    let (new_pads, pads) = loaded.pads.changes();
    let (new_transfers, transfers) = loaded.transfers.changes();
    let (new_requests, requests) = loaded.requests.changes();
    tokio::try_join!(
        biased;
        insert_accounts(db, &new_accounts),
        update_accounts(db, &accounts),
        // A pad's row refers to its accounts.
        try_join_all(new_pads.into_iter().chain(pads).map(|row| put_pad(db, row))),
        insert_transfers(db, &new_transfers),
        resolve_transfers(db, &transfers),
        put_requests(db, INSERT_REQUESTS, &new_requests),
        put_requests(db, UPDATE_REQUESTS, &requests),
        delete_requests(db, loaded),
        insert_entries(db, &loaded.entries),
        insert_statements(db, &loaded.entries),
        dequeue(db, loaded),
        enqueue(db, &loaded.enqueued),
    )
    .map(drop)
}

/// One column of many rows.
fn column<'r, R, T>(rows: &[&'r R], value: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(|row| value(row)).collect()
}

fn numbers<'r, R>(rows: &[&'r R], value: impl Fn(&'r R) -> u64) -> Result<Vec<i64>> {
    rows.iter().map(|row| number(value(row))).collect()
}

fn code(code: u8) -> i16 {
    code.into()
}

/// Checks that a statement changed as many rows as there were: one that is missing was not there, although it was read.
fn all_of(rows: usize, changed: u64) -> Result<()> {
    match u64::try_from(rows) == Ok(changed) {
        true => Ok(()),
        false => Err(StoreError::Corrupt("a row that was read is gone".into())),
    }
}

async fn insert_accounts(db: &Session, rows: &[&AccountRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let params = (
        column(rows, |row| row.id.as_bytes().as_slice()),
        column(rows, |row| code(row.side.code())),
        column(rows, |row| Numeric(row.balance)),
        column(rows, |row| Numeric(row.held)),
        column(rows, |row| row.pad.as_ref().map(|pad| pad.as_bytes().as_slice())),
        column(rows, |row| row.closed),
    );
    let row: &[Param<'_>] = &[&params.0, &params.1, &params.2, &params.3, &params.4, &params.5];
    db.execute(INSERT_ACCOUNTS, row).await.map(drop)
}

async fn update_accounts(db: &Session, rows: &[&AccountRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let params = (
        column(rows, |row| row.id.as_bytes().as_slice()),
        column(rows, |row| Numeric(row.balance)),
        column(rows, |row| Numeric(row.held)),
        column(rows, |row| row.pad.as_ref().map(|pad| pad.as_bytes().as_slice())),
        column(rows, |row| row.closed),
    );
    let row: &[Param<'_>] = &[&params.0, &params.1, &params.2, &params.3, &params.4];
    all_of(rows.len(), db.execute(UPDATE_ACCOUNTS, row).await?)
}

async fn put_pad(db: &Session, row: &PadRow) -> Result<()> {
    let PadRow { id, instance, mode, witnessed, account, refund, status, lease, send, receive } = row;
    let numbers = [
        lease.epoch,
        send.len,
        send.from,
        send.reserved,
        receive.len,
        receive.position,
        receive.seq.into(),
        receive.ceiling_from,
        receive.ceiling,
    ];
    let mut n = [0_i64; 9];
    for (column, value) in n.iter_mut().zip(numbers) {
        *column = number(value)?;
    }
    let [epoch, send_len, send_from, reserved, receive_len, position, seq, ceiling_from, ceiling] = n;
    let params: &[Param<'_>] = &[
        &id.as_bytes().as_slice(),
        &instance.as_bytes().as_slice(),
        &code(mode.code()),
        witnessed,
        &account.as_ref().map(|id| id.as_bytes().as_slice()),
        &refund.as_ref().map(|id| id.as_bytes().as_slice()),
        &code(status.code()),
        &epoch,
        &lease.owner.as_ref().map(|owner| owner.as_bytes().as_slice()),
        &time(lease.until),
        &code(send.lane),
        &send.generation.as_bytes().as_slice(),
        &send_len,
        &send_from,
        &reserved,
        &send.batch.as_bytes().as_slice(),
        &code(receive.lane),
        &receive.generation.as_bytes().as_slice(),
        &receive_len,
        &position,
        &seq,
        &ceiling_from,
        &ceiling,
        &receive.batch.as_bytes().as_slice(),
    ];
    db.execute(PUT_PAD, params).await.map(drop)
}

async fn insert_transfers(db: &Session, rows: &[&TransferRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let params = (
        column(rows, |row| row.transfer.id.as_bytes().as_slice()),
        column(rows, |row| code(row.transfer.kind.code())),
        column(rows, |row| row.transfer.from.as_bytes().as_slice()),
        column(rows, |row| row.transfer.to.as_bytes().as_slice()),
        column(rows, |row| Numeric(row.transfer.amount)),
        column(rows, |row| row.transfer.hold.as_ref().map(bytes_of)),
        column(rows, |row| row.transfer.matures.map(time)),
        column(rows, |row| row.transfer.expires.map(time)),
        column(rows, |row| row.transfer.reference.as_slice()),
        column(rows, |row| time(row.at)),
        column(rows, |row| row.resolved_by.as_ref().map(bytes_of)),
    );
    let row: &[Param<'_>] = &[
        &params.0, &params.1, &params.2, &params.3, &params.4, &params.5, &params.6, &params.7, &params.8,
        &params.9, &params.10,
    ];
    db.execute(INSERT_TRANSFERS, row).await.map(drop)
}

fn bytes_of(id: &TransferId) -> &[u8] {
    id.as_bytes()
}

async fn resolve_transfers(db: &Session, rows: &[&TransferRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let ids = column(rows, |row| bytes_of(&row.transfer.id));
    let by = column(rows, |row| row.resolved_by.as_ref().map(bytes_of));
    all_of(rows.len(), db.execute(RESOLVE_TRANSFERS, &[&ids, &by]).await?)
}

async fn put_requests(db: &Session, sql: &'static str, rows: &[&RequestRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let params = (
        column(rows, |row| row.pad.as_bytes().as_slice()),
        column(rows, |row| row.id.as_bytes().as_slice()),
        numbers(rows, |row| row.end)?,
        column(rows, |row| row.reply.as_deref()),
    );
    all_of(rows.len(), db.execute(sql, &[&params.0, &params.1, &params.2, &params.3]).await?)
}

async fn delete_requests(db: &Session, loaded: &Loaded) -> Result<()> {
    let pads: Vec<&[u8]> = loaded.requests.removed().map(|(pad, _)| pad.as_bytes().as_slice()).collect();
    let ids: Vec<&[u8]> = loaded.requests.removed().map(|(_, id)| id.as_bytes().as_slice()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    db.execute(DELETE_REQUESTS, &[&pads, &ids]).await.map(drop)
}

async fn insert_entries(db: &Session, entries: &[Entry]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let rows: Vec<&Entry> = entries.iter().collect();
    let transfer = |row: &Entry| match &row.event {
        Event::Transfer(transfer) => Some(transfer.id.as_bytes().to_vec()),
        _ => None,
    };
    let event = |row: &Entry| match &row.event {
        Event::Transfer(_) => None,
        other => Some(other.to_bytes()),
    };
    let params = (
        numbers(&rows, |row| row.number)?,
        column(&rows, |row| time(row.at)),
        column(&rows, transfer),
        column(&rows, event),
        column(&rows, |row| row.hash.as_slice()),
    );
    let row: &[Param<'_>] = &[&params.0, &params.1, &params.2, &params.3, &params.4];
    db.execute(INSERT_ENTRIES, row).await.map(drop)
}

async fn insert_statements(db: &Session, entries: &[Entry]) -> Result<()> {
    let mut accounts = Vec::new();
    let mut entry_numbers = Vec::new();
    for entry in entries {
        for account in entry.event.accounts() {
            accounts.push(account.as_bytes().to_vec());
            entry_numbers.push(number(entry.number)?);
        }
    }
    if accounts.is_empty() {
        return Ok(());
    }
    db.execute(INSERT_STATEMENTS, &[&accounts, &entry_numbers]).await.map(drop)
}

async fn dequeue(db: &Session, loaded: &Loaded) -> Result<()> {
    let ids: Vec<&[u8]> = loaded.dequeued.iter().map(|id| id.as_bytes().as_slice()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    db.execute(DELETE_OUTBOX, &[&ids]).await.map(drop)
}

async fn enqueue(db: &Session, entries: &[OutboxEntry]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let ids: Vec<&[u8]> = entries.iter().map(|entry| entry.id.as_bytes().as_slice()).collect();
    let payloads: Vec<&[u8]> = entries.iter().map(|entry| entry.payload.as_slice()).collect();
    db.execute(INSERT_OUTBOX, &[&ids, &payloads]).await.map(drop)
}
