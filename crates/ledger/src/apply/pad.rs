//! Pads: who owns one, what of it is used, and how it ends or begins anew.

use alloc::boxed::Box;
use core::ops::Range;

use symbolon_keys::UnixTime;

use super::{Copy, Judged, Tables};
use crate::{
    BatchId, Event, Fence, Generation, Instance, Outcome, OwnerId, PadId, PadRow, PadStatus, Refusal, Side,
};

impl<T: Tables> Copy<'_, T> {
    pub(super) fn provision(&mut self, row: &PadRow) -> Judged<T, Outcome> {
        if self.pad(row.id)?.is_some() {
            return Err(Refusal::PadExists(row.id).into());
        }
        if !is_new(row) {
            return Err(Refusal::InvalidPad.into());
        }
        let accounts = row.account.zip(row.refund);
        if let Some((account, refund)) = accounts {
            let mut value = self.account(account)?;
            let back = self.account(refund)?;
            if value.side != Side::Credit || value.pad.is_some() || value.closed || value.balance.is_zero() {
                return Err(Refusal::AccountUnfit(account).into());
            }
            if back.side != Side::Credit || back.pad.is_some() || back.closed {
                return Err(Refusal::AccountUnfit(refund).into());
            }
            value.pad = Some(row.id);
            self.accounts.put(value);
        }
        self.pads.put(row.clone());
        self.record(Event::Provisioned { pad: row.id, instance: row.instance, accounts })?;
        Ok(Outcome::Created)
    }

    pub(super) fn attach(
        &mut self,
        pad: PadId,
        instance: Instance,
        owner: OwnerId,
        until: UnixTime,
        takeover: bool,
    ) -> Judged<T, Outcome> {
        let mut row = self.pad(pad)?.ok_or(Refusal::NoSuchPad(pad))?;
        if row.instance != instance {
            return Err(Refusal::OtherInstance.into());
        }
        let others = row.lease.owner.is_some_and(|other| other != owner);
        if others && self.now < row.lease.until && !takeover {
            return Err(Refusal::Leased { until: row.lease.until }.into());
        }
        row.lease.epoch = row.lease.epoch.checked_add(1).ok_or(Refusal::InvalidPad)?;
        row.lease.owner = Some(owner);
        row.lease.until = until;
        self.pads.put(row.clone());
        Ok(Outcome::Attached(Box::new(row)))
    }

    pub(super) fn renew(&mut self, fence: Fence, until: UnixTime) -> Judged<T, Outcome> {
        let mut row = self.owned(fence)?;
        row.lease.until = until;
        self.pads.put(row);
        Ok(Outcome::Created)
    }

    pub(super) fn detach(&mut self, fence: Fence) -> Judged<T, Outcome> {
        let mut row = self.owned(fence)?;
        row.lease.owner = None;
        row.lease.until = UnixTime::default();
        self.pads.put(row);
        Ok(Outcome::Created)
    }

    pub(super) fn reserve(
        &mut self,
        fence: Fence,
        generation: Generation,
        range: Range<u64>,
        batch: BatchId,
    ) -> Judged<T, Outcome> {
        let mut row = self.open(fence)?;
        let lane = &mut row.send;
        if lane.generation != generation {
            return Err(Refusal::OtherGeneration.into());
        }
        next_piece(&range, lane.reserved, lane.len)?;
        lane.from = range.start;
        lane.reserved = range.end;
        lane.batch = batch;
        self.pads.put(row);
        Ok(Outcome::Created)
    }

    pub(super) fn ceiling(
        &mut self,
        fence: Fence,
        generation: Generation,
        range: Range<u64>,
        batch: BatchId,
    ) -> Judged<T, Outcome> {
        let mut row = self.owned(fence)?;
        let lane = &mut row.receive;
        if lane.generation != generation {
            return Err(Refusal::OtherGeneration.into());
        }
        if (lane.ceiling_from..lane.ceiling, lane.batch) == (range.clone(), batch) {
            return Ok(Outcome::AlreadyExists);
        }
        next_piece(&range, lane.ceiling, lane.len)?;
        lane.ceiling_from = range.start;
        lane.ceiling = range.end;
        lane.batch = batch;
        self.pads.put(row);
        Ok(Outcome::Created)
    }

    pub(super) fn close(&mut self, fence: Fence, status: PadStatus) -> Judged<T, Outcome> {
        let mut row = self.owned(fence)?;
        if row.status == status {
            return Ok(Outcome::AlreadyExists);
        }
        if status == PadStatus::Open {
            return Err(Refusal::InvalidPad.into());
        }
        if row.status.is_closed() {
            return Err(Refusal::NotOpen(row.status).into());
        }
        row.status = status;
        self.pads.put(row);
        self.record(Event::Status { pad: fence.pad, status })?;
        Ok(Outcome::Created)
    }

    pub(super) fn recover(
        &mut self,
        fence: Fence,
        (generation, instance): (Generation, Instance),
        skipped: Range<u64>,
        batch: BatchId,
    ) -> Judged<T, Outcome> {
        let mut row = self.owned(fence)?;
        if row.status.is_closed() {
            return Err(Refusal::NotOpen(row.status).into());
        }
        let lane = &mut row.send;
        // What either end knows as used stays used.
        let reserved = lane.reserved.max(skipped.start).max(skipped.end);
        if generation == lane.generation || reserved > lane.len {
            return Err(Refusal::InvalidPad.into());
        }
        lane.generation = generation;
        lane.from = skipped.start;
        lane.reserved = reserved;
        lane.batch = batch;
        // What we acknowledged may have been received since the copy was made, and no session key survives.
        let lane = &mut row.receive;
        (lane.position, lane.seq) = (lane.end().max(lane.ceiling), 0);
        row.instance = instance;
        row.status = PadStatus::Open;
        let (pad, lane) = (row.id, row.send.lane);
        self.pads.put(row.clone());
        self.record(Event::Recovered { pad, lane, generation })?;
        Ok(Outcome::Attached(Box::new(row)))
    }

    pub(super) fn resync(&mut self, fence: Fence, position: u64) -> Judged<T, Outcome> {
        let mut row = self.owned(fence)?;
        if row.status.is_closed() {
            return Err(Refusal::NotOpen(row.status).into());
        }
        if position > row.receive.len {
            return Err(Refusal::TooFarAhead { limit: row.receive.len }.into());
        }
        if position > row.receive.position {
            row.receive.position = position;
            row.receive.seq = 0;
        }
        self.pads.put(row);
        Ok(Outcome::Created)
    }

    /// Where there is a witness, nobody's word stands for its: such a pad is recovered.
    pub(super) fn reopen(&mut self, fence: Fence) -> Judged<T, Outcome> {
        let mut row = self.owned(fence)?;
        match row.status {
            PadStatus::Open => return Ok(Outcome::AlreadyExists),
            PadStatus::RollbackSuspected if !row.witnessed => row.status = PadStatus::Open,
            status => return Err(Refusal::NotOpen(status).into()),
        }
        self.pads.put(row);
        self.record(Event::Status { pad: fence.pad, status: PadStatus::Open })?;
        Ok(Outcome::Created)
    }

    pub(super) fn adopt(
        &mut self,
        fence: Fence,
        old: Generation,
        new: Generation,
        from: u64,
    ) -> Judged<T, Outcome> {
        let mut row = self.owned(fence)?;
        let lane = &mut row.receive;
        if lane.generation == new && lane.ceiling == from {
            return Ok(Outcome::AlreadyExists);
        }
        if lane.generation != old || new == old {
            return Err(Refusal::OtherGeneration.into());
        }
        if lane.ceiling != from {
            return Err(Refusal::NotNext { reserved: lane.ceiling }.into());
        }
        lane.generation = new;
        let (pad, lane) = (row.id, row.receive.lane);
        self.pads.put(row);
        self.record(Event::Recovered { pad, lane, generation: new })?;
        Ok(Outcome::Created)
    }

    pub(super) fn owned(&mut self, fence: Fence) -> Judged<T, PadRow> {
        let row = self.pad(fence.pad)?.ok_or(Refusal::NoSuchPad(fence.pad))?;
        if row.lease.epoch != fence.epoch || row.lease.owner.is_none() {
            return Err(Refusal::Fenced { epoch: row.lease.epoch }.into());
        }
        Ok(row)
    }

    pub(super) fn open(&mut self, fence: Fence) -> Judged<T, PadRow> {
        let row = self.owned(fence)?;
        if row.status != PadStatus::Open {
            return Err(Refusal::NotOpen(row.status).into());
        }
        Ok(row)
    }
}

/// A reservation begins where the last one ended, and stays inside its lane.
fn next_piece(range: &Range<u64>, reserved: u64, len: u64) -> Result<(), Refusal> {
    if range.start != reserved || range.is_empty() || range.end > len {
        return Err(Refusal::NotNext { reserved });
    }
    Ok(())
}

fn is_new(row: &PadRow) -> bool {
    let lanes = matches!((row.send.lane, row.receive.lane), (0, 1) | (1, 0));
    let fits = row.send.len <= row.mode.max_lane() && row.receive.len <= row.mode.max_lane();
    let untouched = [row.send.from, row.send.reserved, row.receive.position, row.receive.ceiling_from]
        .iter()
        .all(|place| *place == 0)
        && row.receive.ceiling == 0
        && row.receive.seq == 0;
    let unowned = row.lease.epoch == 0 && row.lease.owner.is_none();
    let accounts =
        row.account.is_some() == row.refund.is_some() && (row.account.is_none() || row.account != row.refund);
    lanes && fits && untouched && unowned && accounts && row.status == PadStatus::Open
}
