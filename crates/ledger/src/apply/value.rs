//! Accounts and transfers: double entry, no balance below zero, every id applied once.

use super::{Copy, Judged, Tables};
use crate::{
    AccountId, AccountRow, Amount, Event, Outcome, Refusal, Side, Transfer, TransferKind, TransferRow,
};

impl<T: Tables> Copy<'_, T> {
    pub(super) fn open_account(&mut self, id: AccountId, side: Side) -> Judged<T, Outcome> {
        match self.accounts.get(id, || self.tables.account(id)).map_err(super::Stop::Tables)? {
            None => {}
            Some(row) if row.side == side => return Ok(Outcome::AlreadyExists),
            Some(_) => return Err(Refusal::Conflict(*id.as_bytes()).into()),
        }
        self.accounts.put(AccountRow::new(id, side));
        self.record(Event::Account { id, side })?;
        Ok(Outcome::Created)
    }

    pub(super) fn transfer(&mut self, transfer: &Transfer) -> Judged<T, Outcome> {
        match self.transfer_row(transfer.id)? {
            None => {}
            Some(row) if row.transfer == *transfer => return Ok(Outcome::AlreadyExists),
            Some(_) => return Err(Refusal::Conflict(*transfer.id.as_bytes()).into()),
        }
        if !well_formed(transfer) {
            return Err(Refusal::InvalidTransfer(transfer.id).into());
        }
        if transfer.from == transfer.to {
            return Err(Refusal::SameAccount(transfer.from).into());
        }
        match transfer.kind {
            TransferKind::Post => {
                self.open_accounts(transfer)?;
                self.post(transfer)?;
            }
            TransferKind::Hold => {
                self.open_accounts(transfer)?;
                self.set_aside(transfer)?;
            }
            TransferKind::Capture | TransferKind::Release | TransferKind::Expire => self.resolve(transfer)?,
        }
        self.transfers.put(TransferRow { transfer: transfer.clone(), at: self.now, resolved_by: None });
        self.record(Event::Transfer(transfer.clone()))?;
        Ok(Outcome::Created)
    }

    fn open_accounts(&mut self, transfer: &Transfer) -> Judged<T, ()> {
        for id in [transfer.from, transfer.to] {
            if self.account(id)?.closed {
                return Err(Refusal::AccountClosed(id).into());
            }
        }
        Ok(())
    }

    /// Debits one account and credits the other.
    pub(super) fn post(&mut self, transfer: &Transfer) -> Judged<T, ()> {
        let from = self.account(transfer.from)?;
        self.accounts.put(moved(from, Side::Debit, transfer.amount)?);
        let to = self.account(transfer.to)?;
        self.accounts.put(moved(to, Side::Credit, transfer.amount)?);
        Ok(())
    }

    fn set_aside(&mut self, hold: &Transfer) -> Judged<T, ()> {
        for (id, entry) in [(hold.from, Side::Debit), (hold.to, Side::Credit)] {
            let mut account = self.account(id)?;
            if account.side != entry {
                payable(&account, hold.amount)?;
                account.held = account.held.checked_add(hold.amount).ok_or(Refusal::Overflow(id))?;
                self.accounts.put(account);
            }
        }
        Ok(())
    }

    fn resolve(&mut self, transfer: &Transfer) -> Judged<T, ()> {
        let id = transfer.hold.unwrap_or(transfer.id);
        let row = self.transfer_row(id)?.filter(|row| row.transfer.kind == TransferKind::Hold);
        let mut row = row.ok_or(Refusal::NoSuchHold(id))?;
        let hold = row.transfer.clone();
        if (hold.from, hold.to) != (transfer.from, transfer.to) {
            return Err(Refusal::InvalidTransfer(transfer.id).into());
        }
        if let Some(by) = row.resolved_by {
            return Err(Refusal::Resolved(by).into());
        }
        match transfer.kind {
            TransferKind::Capture => {
                if let Some(at) = hold.expires.filter(|at| self.now >= *at) {
                    return Err(Refusal::Expired { at }.into());
                }
                if let Some(at) = hold.matures.filter(|at| self.now < *at) {
                    return Err(Refusal::TooEarly { at }.into());
                }
                if transfer.amount > hold.amount {
                    return Err(Refusal::AboveHold { held: hold.amount }.into());
                }
            }
            TransferKind::Expire => {
                let at = hold.expires.ok_or(Refusal::InvalidTransfer(transfer.id))?;
                if self.now < at {
                    return Err(Refusal::TooEarly { at }.into());
                }
            }
            _ if hold.matures.is_some() => return Err(Refusal::Deposit(hold.id).into()),
            _ => {}
        }
        for (id, entry) in [(hold.from, Side::Debit), (hold.to, Side::Credit)] {
            let mut account = self.account(id)?;
            if account.side != entry {
                account.held = account.held.saturating_sub(hold.amount);
                self.accounts.put(account);
            }
        }
        row.resolved_by = Some(transfer.id);
        self.transfers.put(row);
        if transfer.kind == TransferKind::Capture { self.post(transfer) } else { Ok(()) }
    }
}

/// Whether a transfer says all that its kind needs, and nothing that it has no use for.
fn well_formed(transfer: &Transfer) -> bool {
    let Transfer { id, kind, from: _, to: _, amount, hold, matures, expires, reference: _ } = transfer;
    match kind {
        TransferKind::Post => !amount.is_zero() && hold.is_none() && matures.is_none() && expires.is_none(),
        // A deposit does not expire: what is owed stays owed.
        TransferKind::Hold => !amount.is_zero() && hold.is_none() && (matures.is_none() || expires.is_none()),
        TransferKind::Capture => {
            !amount.is_zero() && resolves(*hold, *id) && matures.is_none() && expires.is_none()
        }
        TransferKind::Release | TransferKind::Expire => {
            amount.is_zero() && resolves(*hold, *id) && matures.is_none() && expires.is_none()
        }
    }
}

fn resolves(hold: Option<crate::TransferId>, id: crate::TransferId) -> bool {
    hold.is_some_and(|hold| hold != id)
}

/// The account after an entry on one side of the books.
fn moved(mut account: AccountRow, entry: Side, amount: Amount) -> Result<AccountRow, Refusal> {
    account.balance = if account.side == entry {
        account.balance.checked_add(amount).ok_or(Refusal::Overflow(account.id))?
    } else {
        payable(&account, amount)?;
        account.balance.saturating_sub(amount)
    };
    Ok(account)
}

fn payable(account: &AccountRow, amount: Amount) -> Result<(), Refusal> {
    let available = account.available();
    if amount > available {
        return Err(Refusal::Insufficient { account: account.id, available });
    }
    Ok(())
}
