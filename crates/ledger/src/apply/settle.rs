//! Whichever of value and pad ends first closes the other, in the same commit (L3).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use symbolon_keys::label;

use super::{Copy, Judged, Tables};
use crate::{
    AccountId, Amount, Event, Outcome, PadId, PadRow, PadStatus, Refusal, Transfer, TransferId, TransferRow,
};

impl<T: Tables> Copy<'_, T> {
    pub(super) fn settle(&mut self, outcomes: &mut Vec<Outcome>) -> Judged<T, ()> {
        let with_value = self.pads.changed().filter(|row| row.account.is_some()).map(|row| row.id);
        let by_account = self.accounts.changed().filter_map(|row| row.pad);
        let mut pads: Vec<PadId> = with_value.chain(by_account).collect();
        pads.sort_unstable();
        pads.dedup();
        pads = self.payers_first(pads)?;
        pads.reverse();
        // A refund account may have become the value of another pad, which comes next then, unless it waits for others
        // as well. That pad is younger, so that this ends.
        while let Some(id) = pads.pop() {
            let Some(mut row) = self.pad(id)? else { continue };
            let Some(account) = row.account else { continue };
            if row.status == PadStatus::Open && self.account(account)?.balance.is_zero() {
                row.status = PadStatus::ValueSpent;
                self.pads.put(row.clone());
                self.record(Event::Status { pad: id, status: row.status })?;
            }
            if row.status.is_closed() {
                let next = self.refund(&row)?.filter(|next| !pads.contains(next));
                pads.extend(next);
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

    /// The pads that have a value, each after those of them that refund to its account: whatever their ids are, what is
    /// paid back to a pad that ends in the same batch goes on with its own refund. In the order of their ids otherwise.
    fn payers_first(&mut self, ids: Vec<PadId>) -> Judged<T, Vec<PadId>> {
        let mut rest = Vec::with_capacity(ids.len());
        let mut payers: BTreeMap<AccountId, usize> = BTreeMap::new();
        for id in ids {
            let accounts = self.pad(id)?.and_then(|row| row.account.zip(row.refund));
            let Some((account, refund)) = accounts else { continue };
            rest.push((id, account, refund));
            let number = payers.entry(refund).or_default();
            *number = number.saturating_add(1);
        }
        let mut ordered = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let unpaid = |account| payers.get(account).is_none_or(|number| *number == 0);
            // Refunds lead from older pads to younger ones, so that there is one.
            let first = rest.iter().position(|(_, account, _)| unpaid(account)).unwrap_or_default();
            let (id, _, refund) = rest.remove(first);
            ordered.push(id);
            if let Some(number) = payers.get_mut(&refund) {
                *number = number.saturating_sub(1);
            }
        }
        Ok(ordered)
    }

    /// Moves what is available in the account of an ended pad to its refund account, and closes it. If that account
    /// cannot take it, the value stays where it is, and its account open: no value is ever stuck or lost.
    ///
    /// Gives the pad, if there is one, whose value it has become.
    fn refund(&mut self, row: &PadRow) -> Judged<T, Option<PadId>> {
        let (Some(account), Some(refund)) = (row.account, row.refund) else { return Ok(None) };
        let left = self.account(account)?.available();
        let paid = left.is_zero() || self.pay_back(row.id, account, refund, left)?;
        let mut from = self.account(account)?;
        if from.closed != paid {
            from.closed = paid;
            self.accounts.put(from);
        }
        Ok(if left.is_zero() || !paid { None } else { self.account(refund)?.pad })
    }

    /// Whether the refund account could take it.
    fn pay_back(
        &mut self,
        pad: PadId,
        account: AccountId,
        refund: AccountId,
        left: Amount,
    ) -> Judged<T, bool> {
        let target = self.account(refund)?;
        let cause = [&pad.as_bytes()[..], &self.next_number()?.to_be_bytes()];
        let id = TransferId::derived(label::SETTLEMENT, &cause);
        let fits = !target.closed && target.balance.checked_add(left).is_some();
        if !fits || self.transfer_row(id)?.is_some() {
            return Ok(false);
        }
        let transfer = Transfer::post(id, account, refund, left);
        self.post(&transfer)?;
        self.transfers.put(TransferRow { transfer: transfer.clone(), at: self.now, resolved_by: None });
        self.record(Event::Transfer(transfer))?;
        Ok(true)
    }

    fn next_number(&mut self) -> Judged<T, u64> {
        let head = match self.head {
            Some(head) => head,
            None => self.tables.head().map_err(super::Stop::Tables)?,
        };
        Ok(head.entries.checked_add(1).ok_or(Refusal::JournalFull)?)
    }
}
