//! Whichever of value and pad ends first closes the other, in the same commit (L3).

use alloc::vec::Vec;

use sha2::{Digest, Sha256};
use symbolon_keys::label;

use super::{Copy, Judged, Tables};
use crate::{Event, Outcome, PadId, PadRow, PadStatus, Refusal, Transfer, TransferId, TransferRow};

impl<T: Tables> Copy<'_, T> {
    pub(super) fn settle(&mut self, outcomes: &mut Vec<Outcome>) -> Judged<T, ()> {
        let with_value = self.pads.changed().filter(|row| row.account.is_some()).map(|row| row.id);
        let by_account = self.accounts.changed().filter_map(|row| row.pad);
        let mut pads: Vec<PadId> = with_value.chain(by_account).collect();
        pads.sort_unstable();
        pads.dedup();
        for id in pads {
            let Some(mut row) = self.pad(id)? else { continue };
            let Some(account) = row.account else { continue };
            if row.status == PadStatus::Open && self.account(account)?.balance.is_zero() {
                row.status = PadStatus::ValueSpent;
                self.pads.put(row.clone());
                self.record(Event::Status { pad: id, status: row.status })?;
            }
            if row.status.is_closed() {
                self.refund(&row)?;
            }
        }
        let ended = self.entries.iter().filter_map(|entry| match entry.event {
            Event::Status { pad, status } if status != PadStatus::Open => {
                Some(Outcome::Ended { pad, status })
            }
            _ => None,
        });
        outcomes.extend(ended);
        Ok(())
    }

    /// Moves what is available in the account of an ended pad to its refund account, and closes it. If that account
    /// cannot take it, the value stays where it is, and that account open: no value is ever stuck or lost.
    fn refund(&mut self, row: &PadRow) -> Judged<T, ()> {
        let (Some(account), Some(refund)) = (row.account, row.refund) else { return Ok(()) };
        let left = self.account(account)?.available();
        if !left.is_zero() {
            let target = self.account(refund)?;
            let number = self.next_number()?;
            let transfer = Transfer::post(settlement(row.id, number), account, refund, left);
            let fits = !target.closed && target.balance.checked_add(left).is_some();
            if !fits || self.transfer_row(transfer.id)?.is_some() {
                return Ok(());
            }
            self.post(&transfer)?;
            let paid = TransferRow { transfer: transfer.clone(), at: self.now, resolved_by: None };
            self.transfers.put(paid);
            self.record(Event::Transfer(transfer))?;
        }
        let mut closed = self.account(account)?;
        closed.closed = true;
        self.accounts.put(closed);
        Ok(())
    }

    fn next_number(&mut self) -> Judged<T, u64> {
        let head = match self.head {
            Some(head) => head,
            None => self.tables.head().map_err(super::Stop::Tables)?,
        };
        Ok(head.entries.checked_add(1).ok_or(Refusal::JournalFull)?)
    }
}

/// The id of the transfer that pays back what is left: of the pad and of the entry's number, so that it is unique.
fn settlement(pad: PadId, number: u64) -> TransferId {
    let label = label::SETTLEMENT.as_bytes();
    let hash: [u8; 32] = Sha256::new()
        .chain_update(u16::try_from(label.len()).unwrap_or_default().to_be_bytes())
        .chain_update(label)
        .chain_update(pad.as_bytes())
        .chain_update(number.to_be_bytes())
        .finalize()
        .into();
    let (id, _) = hash.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    TransferId::from(*id)
}
