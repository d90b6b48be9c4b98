use alloc::vec::Vec;

use super::Pad;
use super::sender::Sender;
use crate::material::PadHalf;
use crate::{Batch, LedgerStore, Op, Outcome, PadError, PadStatus, RequestId, RequestRow};

impl<S: LedgerStore, H: PadHalf> Pad<S, H> {
    /// The requests that were received and not answered, in the order they came, after the one at `after` if that is
    /// given, at most `limit`. A crash loses the messages of requests, not that they were received: whoever kept
    /// one can still [answer](super::Seal::answering) it, and the pad does not end before.
    ///
    /// # Errors
    /// [`PadError::Storage`].
    pub async fn unanswered(
        &self,
        after: Option<&RequestRow>,
        limit: usize,
    ) -> Result<Vec<RequestRow>, PadError> {
        let after = after.map(|row| (row.end, row.id));
        Ok(self.store.unanswered(self.fence.pad, after, limit).await?)
    }

    /// Gives up requests that will get no answer. If nothing else kept the pad from its end, it ends.
    ///
    /// # Errors
    /// [`PadError::Commit`] if one of them was answered: then some before it may be given up.
    pub async fn dismiss(&self, requests: &[RequestId]) -> Result<(), PadError> {
        self.alive()?;
        // No answer is sealed meanwhile.
        let sender = self.sender.lock().await;
        for some in requests.chunks(Batch::MAX_OPS) {
            let fence = self.fence;
            self.commit(some.iter().map(|request| Op::Dismiss { fence, request: *request })).await?;
        }
        self.close_if_spent().await?;
        drop(sender);
        self.end_if_closed().await;
        Ok(())
    }

    /// Gives up all requests that wait for an answer, and says how many: of messages that nobody answers, or after a
    /// restart that lost them.
    ///
    /// # Errors
    /// As [`dismiss`](Self::dismiss).
    pub async fn dismiss_all(&self) -> Result<usize, PadError> {
        let mut all = 0_usize;
        loop {
            let waiting = self.unanswered(None, Batch::MAX_OPS).await?;
            if waiting.is_empty() {
                return Ok(all);
            }
            let ids: Vec<_> = waiting.iter().map(|request| request.id).collect();
            self.dismiss(&ids).await?;
            all = all.saturating_add(ids.len());
        }
    }

    /// Forgets requests and their answers that need not be remembered any more, and gives how many: of a pad in use those
    /// that lie too far back ([`PadMode::max_repeat`](crate::PadMode::max_repeat)), which a handle also does by itself as
    /// it receives; of a pad that was closed all of them. Call it for those when the peer has had time to ask again.
    ///
    /// # Errors
    /// [`PadError::Commit`]; so many are forgotten as were until then.
    pub async fn forget_requests(&self) -> Result<u64, PadError> {
        self.alive()?;
        let mut all = 0_u64;
        loop {
            let outcomes = self.commit([Op::Forget { fence: self.fence }]).await?;
            let Some(Outcome::Forgotten { requests }) = outcomes.first() else { return Ok(all) };
            all = all.saturating_add(crate::frame::widen(*requests));
            if *requests < Batch::MAX_FORGOTTEN {
                return Ok(all);
            }
        }
    }

    /// Gives up what the peer sends below `position` of its lane (or, of a key sequence, under the keys before it), so
    /// that what lies too far ahead can be received: an operator's call, after frames were lost.
    ///
    /// # Errors
    /// [`PadError::Commit`] beyond the lane.
    pub async fn resync(&self, position: u64) -> Result<(), PadError> {
        self.usable_now()?;
        let mut receiver = self.receiver.lock().await;
        self.commit([Op::Resync { fence: self.fence, position }]).await?;
        receiver.skip_to(position);
        let receive = self.usable(receiver.left());
        self.set_life(|life| life.left.receive = receive);
        drop(receiver);
        // Nothing is sealed meanwhile.
        let sender = self.sender.lock().await;
        self.close_if_spent().await?;
        drop(sender);
        self.end_if_closed().await;
        Ok(())
    }

    /// Whether all that was received under the pad has its answer, but for `request`: or none can be sealed any more.
    pub(super) async fn owes_nothing(&self, request: Option<RequestId>) -> Result<bool, PadError> {
        if self.remaining().send == 0 {
            return Ok(true);
        }
        let waiting = self.store.unanswered(self.fence.pad, None, 2).await?;
        Ok(waiting.iter().all(|row| Some(row.id) == request))
    }

    /// Our lane has no room for a message: if not for any, the pad comes to its end, which the commit that used up the
    /// lane may have failed to bring. A message that is merely too long changes nothing.
    pub(super) async fn lane_ended(&self, sender: &Sender, error: PadError) -> PadError {
        if matches!(error, PadError::Exhausted { .. }) {
            let send = self.usable(sender.left());
            self.set_life(|life| life.left.send = send);
            if let Err(failed) = self.close_if_spent().await {
                return failed;
            }
        }
        error
    }

    /// What a lane has left may be of no use, after a crash or because nothing waits for an answer any more.
    pub(super) async fn close_if_spent(&self) -> Result<(), PadError> {
        let left = self.remaining();
        // Of a key sequence no key survives a restart; without a value, it ends when both lanes have none left.
        let no_key = self.life().keys_over && left.send == 0 && left.receive == 0;
        if self.status() == PadStatus::Open
            && (no_key || self.is_spent(left))
            && self.owes_nothing(None).await?
        {
            self.close_spent().await?;
        }
        Ok(())
    }

    pub(super) async fn close_spent(&self) -> Result<(), PadError> {
        let status = PadStatus::PadSpent;
        self.commit([Op::Close { fence: self.fence, status }]).await?;
        // The outcome does not tell, if an earlier attempt was applied and never heard of.
        self.set_life(|life| life.status = status);
        Ok(())
    }
}
