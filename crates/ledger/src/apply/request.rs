//! Requests: what was received, what answers it, and how long it is remembered.

use alloc::vec::Vec;
use core::ops::Range;

use super::{Copy, Judged, Stop, Tables};
use crate::{Batch, Fence, Generation, MAX_FRAME, Outcome, PadMode, PadRow, Refusal, RequestId, RequestRow};

impl<T: Tables> Copy<'_, T> {
    pub(super) fn claim(
        &mut self,
        fence: Fence,
        generation: Generation,
        range: Range<u64>,
        seq: Option<u32>,
        request: RequestId,
    ) -> Judged<T, Outcome> {
        let mut row = self.open(fence)?;
        row.receivable(generation, &range, seq)?;
        if self.request_row(fence.pad, request)?.is_some() {
            return Err(Refusal::Replayed { position: row.receive.position }.into());
        }
        row.receive.position = range.end;
        if let Some(seq) = seq {
            row.receive.seq = seq.checked_add(1).ok_or(Refusal::Replayed { position: range.end })?;
        }
        self.requests.put(RequestRow { pad: fence.pad, id: request, end: range.end, reply: None });
        self.pads.put(row);
        Ok(Outcome::Created)
    }

    pub(super) fn answer(&mut self, fence: Fence, request: RequestId, frame: &[u8]) -> Judged<T, Outcome> {
        if frame.len() > MAX_FRAME {
            return Err(Refusal::TooLarge.into());
        }
        self.open(fence)?;
        let mut row = self.request_row(fence.pad, request)?.ok_or(Refusal::NoSuchRequest(request))?;
        match &row.reply {
            None => {}
            Some(reply) if reply == frame => return Ok(Outcome::AlreadyExists),
            Some(_) => return Err(Refusal::Answered(request).into()),
        }
        row.reply = Some(frame.to_vec());
        self.requests.put(row);
        Ok(Outcome::Created)
    }

    pub(super) fn forget(&mut self, fence: Fence) -> Judged<T, Outcome> {
        let below = self.owned(fence)?.remembered();
        let old = self.tables.requests_below(fence.pad, below, Batch::MAX_FORGOTTEN).map_err(Stop::Tables)?;
        let old = old.into_iter().map(|id| (fence.pad, id));
        let new: Vec<_> = old.filter(|key| !self.forgotten.contains(key)).collect();
        new.iter().for_each(|key| self.requests.remove(key));
        let requests = new.len();
        self.forgotten.extend(new);
        Ok(Outcome::Forgotten { requests })
    }

    pub(super) fn dismiss(&mut self, fence: Fence, request: RequestId) -> Judged<T, Outcome> {
        self.owned(fence)?;
        let Some(row) = self.request_row(fence.pad, request)? else { return Ok(Outcome::AlreadyExists) };
        if row.reply.is_some() {
            return Err(Refusal::Answered(request).into());
        }
        self.requests.remove(&(fence.pad, request));
        self.forgotten.push((fence.pad, request));
        Ok(Outcome::Created)
    }
}

impl PadRow {
    /// Below this place of the peer's lane, requests may be forgotten: the peer has gone on by more than
    /// [`PadMode::max_repeat`], or the pad was closed.
    #[must_use]
    pub const fn remembered(&self) -> u64 {
        if self.status.is_closed() {
            return u64::MAX;
        }
        self.receive.position.saturating_sub(self.mode.max_repeat())
    }

    /// Whether a frame at `range` may be received now: the checks of C3 that come before its tag.
    ///
    /// # Errors
    /// [`Refusal`] says which of them fails.
    pub fn receivable(
        &self,
        generation: Generation,
        range: &Range<u64>,
        seq: Option<u32>,
    ) -> Result<(), Refusal> {
        let lane = &self.receive;
        if lane.generation != generation {
            return Err(Refusal::OtherGeneration);
        }
        let replayed = Refusal::Replayed { position: lane.position };
        let end = match (self.mode, seq) {
            (PadMode::KeySequence, Some(seq)) => {
                if (range.start, seq) < (lane.position, lane.seq) || range.start != range.end {
                    return Err(replayed);
                }
                range.start.checked_add(1)
            }
            (PadMode::PadOverAead | PadMode::PadOnly, None) => {
                if range.start < lane.position {
                    return Err(replayed);
                }
                Some(range.end).filter(|_| !range.is_empty())
            }
            _ => None,
        };
        let end = end.ok_or(Refusal::InvalidPad)?;
        let limit = if self.witnessed { lane.ceiling } else { lane.len };
        if end > limit {
            return Err(Refusal::TooFarAhead { limit });
        }
        let farthest = lane.position.saturating_add(self.mode.max_gap());
        if !self.witnessed && range.start > farthest {
            return Err(Refusal::TooFarAhead { limit: farthest });
        }
        Ok(())
    }
}
