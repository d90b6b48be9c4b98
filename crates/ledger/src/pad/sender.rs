use alloc::vec::Vec;
use core::ops::Range;

use rand_core::Rng;
use symbolon_keys::{Backend, BufferedRng, UnixTime};
use zeroize::Zeroizing;

use super::Pad;
use super::keys::SendKeys;
use crate::frame::{LaneCipher, LaneId};
use crate::lane::{Reservation, SendLane, Short};
use crate::material::{Erased, MaterialError, PadHalf};
use crate::sequence::KEY_LEN;
use crate::witness::Reserved;
use crate::{BatchId, CommitError, LedgerStore, Op, PadError, PadMode, Refusal, Refused, SendRow};

/// A block of a pad file.
const PROBE_STEP: u64 = 4096;

/// How many blocks are looked at when a pad is attached: 64 MiB of them, some milliseconds.
const MAX_PROBES: u32 = 1 << 14;

/// Our lane, its cipher, and what of it is still to be destroyed.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) cipher: LaneCipher,
    pub(super) lane: SendLane,
    pub(super) random: BufferedRng,
    /// The last reservation, as the ledger has it.
    pub(super) last: Reserved,
    /// Whether the witness has stored it, as far as this process knows.
    pub(super) acknowledged: bool,
    /// It, while it waits for the witness.
    pub(super) pending: Option<Reservation>,
    /// Of a key sequence: the key in use.
    pub(super) keys: SendKeys,
    pub(super) destroyed: u64,
}

impl Sender {
    pub(super) fn new(cipher: LaneCipher, row: &SendRow, backend: Backend) -> Self {
        // What an earlier owner left of its reservation is burnt. What it had not destroyed yet, at most two maximal
        // batches, is destroyed with the first of ours.
        let unit = cipher.lane().mode.unit();
        let lane = SendLane::new(row.len.saturating_mul(unit), row.reserved.saturating_mul(unit));
        let lag = cipher.lane().mode.max_batch().saturating_mul(2);
        let destroyed = row.from.saturating_sub(lag).saturating_mul(unit);
        Self {
            cipher,
            lane,
            random: BufferedRng::new(),
            last: row.last(),
            acknowledged: false,
            pending: None,
            keys: SendKeys::new(backend),
            destroyed,
        }
    }

    /// What is left of the lane, in bytes or keys.
    pub(super) fn left(&self) -> u64 {
        self.lane.left().checked_div(self.cipher.lane().mode.unit()).unwrap_or_default()
    }

    /// Looks for what an earlier owner used and did not destroy: it destroyed from below, so that everything below a
    /// place that is gone is gone too.
    pub(super) fn find_undestroyed<H: PadHalf>(&mut self, half: &H) {
        for _ in 0..MAX_PROBES {
            if self.destroyed == 0 {
                break;
            }
            self.destroyed = self.destroyed.saturating_sub(PROBE_STEP);
            if half.read(self.cipher.lane().lane, self.destroyed, &mut *Zeroizing::new([0; 32])).is_err() {
                break;
            }
        }
    }

    pub(super) fn destroy<H: PadHalf>(&mut self, half: &H) -> Result<Erased, MaterialError> {
        destroy(half, self.cipher.lane().lane, &mut self.destroyed, self.lane.cursor())
    }

    /// Nothing of the lane will be used any more.
    pub(super) fn end(&mut self, len: u64) {
        self.lane.burn_to(len);
        self.keys.end();
        self.pending = None;
    }

    /// What of the lane a message takes: nothing, if it goes under a key that is in use.
    pub(super) fn cost(&self, len: usize, now: UnixTime) -> Result<u64, PadError> {
        let mode = self.cipher.lane().mode;
        let cost = mode.cost(len).map_err(|_| PadError::TooLong)?;
        Ok(if mode == PadMode::KeySequence && !self.keys.is_due(len, now) { 0 } else { cost })
    }

    /// Seals a message with the bytes that [`cost`](Self::cost) named, which are ready.
    pub(super) fn seal(
        &mut self,
        cost: u64,
        message: &[u8],
        now: UnixTime,
        out: &mut Vec<u8>,
    ) -> Result<(), PadError> {
        let Self { cipher, lane, random, keys, .. } = self;
        if cipher.lane().mode == PadMode::KeySequence {
            if cost > 0 {
                let index = lane.cursor() / KEY_LEN;
                keys.begin(*cipher.lane(), index, lane.take(KEY_LEN).ok_or(PadError::Dead)?, now)?;
            }
            return keys.seal(message, out);
        }
        let mut salt = [0; 32];
        random.fill_bytes(&mut salt);
        let chunk = lane.take(cost).ok_or(PadError::Dead)?;
        cipher.seal(chunk, &salt, message, out).map_err(|_| PadError::TooLong)
    }
}

/// Destroys a lane from `done` up to `end`, in bytes.
pub(super) fn destroy<H: PadHalf>(
    half: &H,
    lane: u8,
    done: &mut u64,
    end: u64,
) -> Result<Erased, MaterialError> {
    let erased = half.destroy(lane, *done..end.max(*done))?;
    *done = end.max(*done);
    Ok(erased)
}

impl<S: LedgerStore, H: PadHalf> Pad<S, H> {
    /// Makes `needed` bytes ready, or says that the witness must be asked first.
    pub(super) async fn ready(&self, sender: &mut Sender, needed: u64) -> Result<(), PadError> {
        if self.half.header().witnessed {
            let unit = self.half.header().unit();
            let missing = sender.lane.reservation(needed.saturating_mul(unit), 0);
            return match missing.map_err(|short| exhausted(short, unit))? {
                None => Ok(()),
                Some(_) => Err(PadError::Unwitnessed),
            };
        }
        match self.reserve(sender, needed).await? {
            None => Ok(()),
            Some(reservation) => self.grant(sender, reservation),
        }
    }

    /// Makes the next reservation durable, if `needed` is more than is ready.
    pub(super) async fn reserve(
        &self,
        sender: &mut Sender,
        needed: u64,
    ) -> Result<Option<Reservation>, PadError> {
        let header = self.half.header();
        let unit = header.unit();
        let batch_size = self.policy.batch(header.mode, header.lane_len(header.lane)).saturating_mul(unit);
        let short = |short| exhausted(short, unit);
        let needed = needed.saturating_mul(unit);
        let Some(reservation) = sender.lane.reservation(needed, batch_size).map_err(short)? else {
            return Ok(None);
        };
        match self.reserve_range(sender, reservation.range()).await {
            Ok(()) => Ok(Some(reservation)),
            Err(PadError::Commit(CommitError::Refused(Refused {
                why: Refusal::NotNext { reserved },
                ..
            }))) => {
                // We hold the lease, so it was we who reserved further, and never heard of it: that is burnt.
                self.burn_unheard(sender, reserved).await?;
                if header.witnessed {
                    // The witness must hear of that one first.
                    return Err(PadError::Unwitnessed);
                }
                let again = sender.lane.reservation(needed, batch_size).map_err(short)?;
                if let Some(reservation) = &again {
                    self.reserve_range(sender, reservation.range()).await?;
                }
                Ok(again)
            }
            Err(error) => Err(error),
        }
    }

    async fn reserve_range(&self, sender: &mut Sender, range: &Range<u64>) -> Result<(), PadError> {
        let fence = self.fence;
        let LaneId { generation, lane, .. } = *sender.cipher.lane();
        let batch = BatchId::generate(&mut sender.random);
        let unit = self.half.header().unit();
        let place = |at: u64| at.checked_div(unit).unwrap_or_default();
        let (from, to) = (place(range.start), place(range.end));
        let reserve = Op::Reserve { fence, generation, from, to, batch };
        let until = UnixTime::now().saturating_add(self.policy.lease);
        let renew = (!self.policy.takeover).then_some(Op::Renew { fence, until });
        self.commit([Some(reserve), renew].into_iter().flatten()).await?;
        (sender.last, sender.acknowledged) = (Reserved { generation, lane, from, to, batch }, false);
        Ok(())
    }

    async fn burn_unheard(&self, sender: &mut Sender, reserved: u64) -> Result<(), PadError> {
        let row = self.store.pad(self.fence.pad).await?.ok_or(PadError::LedgerMissing(self.fence.pad))?;
        if row.send.reserved != reserved || reserved <= sender.last.to {
            // The ledger went backwards under us, or has another owner.
            self.set_life(|life| life.dead = true);
            return Err(PadError::Dead);
        }
        sender.lane.burn_to(reserved.saturating_mul(self.half.header().unit()));
        (sender.last, sender.acknowledged) = (row.send.last(), false);
        Ok(())
    }

    /// Takes a reservation into use that is durable, and witnessed if it must be.
    pub(super) fn grant(&self, sender: &mut Sender, reservation: Reservation) -> Result<(), PadError> {
        let lane = sender.cipher.lane().lane;
        let Range { start, end } = *reservation.range();
        if let Err(error) = self.half.raise(lane, end) {
            sender.lane.burn_to(end);
            return Err(error.into());
        }
        sender.lane.granted(reservation, |out| self.half.read(lane, start, out))?;
        if sender.lane.cursor().saturating_sub(sender.destroyed) >= self.policy.destroy {
            // It is tried again; `destroy` and `detach` tell if it keeps failing.
            let _ = sender.destroy(&self.half);
        }
        Ok(())
    }
}

/// In what the lane counts: bytes, or keys.
fn exhausted(Short { left, needed }: Short, unit: u64) -> PadError {
    let count = |bytes: u64| bytes.checked_div(unit).unwrap_or_default();
    PadError::Exhausted { left: count(left), needed: count(needed) }
}
