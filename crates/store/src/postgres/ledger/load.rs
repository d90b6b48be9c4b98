//! Loads what a group of batches asks for: one statement for each table, rows locked in the order of their ids.

use alloc::vec::Vec;

use symbolon_ledger::{AccountId, OutboxId, PadId, RequestId, TransferId};

use super::loaded::{Below, Loaded};
use super::rows::{
    self, Result, read_account, read_outbox, read_pad, read_request, read_transfer, select_account,
    select_pad, select_transfer,
};
use crate::postgres::session::Session;
use crate::postgres::sql::{bound, count};

/// The rows that are asked for, and how far the journal goes.
pub(super) async fn wanted(db: &Session, loaded: &mut Loaded) -> Result<()> {
    let (pads, accounts) = (loaded.pads.wanted(), loaded.accounts.wanted());
    let (transfers, requests) = (loaded.transfers.wanted(), loaded.requests.wanted());
    let outbox = loaded.outbox.wanted();
    // One after the other, without waiting for the answers between.
    let (head, pads, accounts, transfers, requests, outbox) = tokio::try_join!(
        biased;
        rows::head(db),
        locked_pads(db, &pads),
        locked_accounts(db, &accounts),
        locked_transfers(db, &transfers),
        found_requests(db, &requests),
        found_outbox(db, &outbox),
    )?;
    loaded.set_head(head);
    loaded.pads.found(pads.into_iter().map(|row| (row.id, row)));
    loaded.accounts.found(accounts.into_iter().map(|row| (row.id, row)));
    loaded.transfers.found(transfers.into_iter().map(|row| (row.transfer.id, row)));
    loaded.requests.found(requests.into_iter().map(|row| ((row.pad, row.id), row)));
    loaded.outbox.found(outbox.into_iter().map(|row| (row.id, row)));
    for below in loaded.below.wanted() {
        let found = found_below(db, below).await?;
        loaded.below.found_one(below, found);
    }
    Ok(())
}

async fn found_below(db: &Session, below: Below) -> Result<Vec<(u64, RequestId)>> {
    let Below { pad, end, limit } = below;
    let sql = "SELECT frame_end, id FROM requests WHERE pad = $1 AND frame_end < $2 ORDER BY frame_end, id LIMIT $3";
    let params = (pad.as_bytes().as_slice(), bound(end), count(limit));
    db.all(sql, &[&params.0, &params.1, &params.2], |c| Ok((c.number()?, c.random()?))).await
}

async fn locked_pads(db: &Session, ids: &[PadId]) -> Result<Vec<symbolon_ledger::PadRow>> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    db.all(select_pad!("WHERE id = ANY($1) ORDER BY id FOR UPDATE"), &[&ids], read_pad).await
}

async fn locked_accounts(db: &Session, ids: &[AccountId]) -> Result<Vec<symbolon_ledger::AccountRow>> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    db.all(select_account!("WHERE id = ANY($1) ORDER BY id FOR UPDATE"), &[&ids], read_account).await
}

async fn locked_transfers(db: &Session, ids: &[TransferId]) -> Result<Vec<symbolon_ledger::TransferRow>> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    db.all(select_transfer!("WHERE id = ANY($1) ORDER BY id FOR UPDATE"), &[&ids], read_transfer).await
}

async fn found_requests(
    db: &Session,
    ids: &[(PadId, RequestId)],
) -> Result<Vec<symbolon_ledger::RequestRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let pads: Vec<&[u8]> = ids.iter().map(|(pad, _)| pad.as_bytes().as_slice()).collect();
    let names: Vec<&[u8]> = ids.iter().map(|(_, id)| id.as_bytes().as_slice()).collect();
    let sql = "SELECT r.pad, r.id, r.frame_end, r.reply
               FROM unnest($1::bytea[], $2::bytea[]) AS wanted (pad, id) JOIN requests r USING (pad, id)";
    db.all(sql, &[&pads, &names], read_request).await
}

async fn found_outbox(db: &Session, ids: &[OutboxId]) -> Result<Vec<symbolon_ledger::OutboxEntry>> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    db.all("SELECT id, payload FROM outbox WHERE id = ANY($1)", &[&ids], read_outbox).await
}
