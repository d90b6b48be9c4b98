use alloc::vec::Vec;

use symbolon_keys::{UnixTime, label};

use super::Pad;
use super::sender::Sender;
use crate::frame::request_id;
use crate::material::PadHalf;
use crate::{
    Amount, CommitError, LedgerStore, Op, OutboxEntry, PadError, PadStatus, Refusal, Refused, RequestId,
    Transfer, TransferId,
};

/// A message to be sealed, and what is to be committed with it. Nothing happens before [`commit`](Self::commit).
#[must_use = "nothing is sealed before `commit`"]
#[derive(Debug)]
pub struct Seal<'a, S, H> {
    pad: &'a Pad<S, H>,
    message: &'a [u8],
    request: Option<RequestId>,
    charge: Option<Amount>,
    credit: Option<Amount>,
    steps: Vec<Op>,
}

impl<S: LedgerStore, H: PadHalf> Pad<S, H> {
    /// Seals a message for the peer.
    pub const fn seal<'a>(&'a self, message: &'a [u8]) -> Seal<'a, S, H> {
        Seal { pad: self, message, request: None, charge: None, credit: None, steps: Vec::new() }
    }
}

impl<S: LedgerStore, H: PadHalf> Seal<'_, S, H> {
    /// It answers this request: a repetition of the request gets these bytes again.
    pub const fn answering(mut self, request: RequestId) -> Self {
        self.request = Some(request);
        self
    }

    /// The value of the pad goes down by `fee`, to the [income account](super::Policy::income). The transfer's id is
    /// that of the request. A message that answers nothing has none that you could ask for: if its outcome may become
    /// unknown, use [`transfer`](Self::transfer) with an id that you keep.
    pub const fn charge(mut self, fee: Amount) -> Self {
        self.charge = Some(fee);
        self
    }

    /// The value of the pad goes up by `fee`, from the income account: the user rendered a service (L30). It counts for a
    /// charge on the same message; the two are two transfers.
    pub const fn credit(mut self, fee: Amount) -> Self {
        self.credit = Some(fee);
        self
    }

    /// This transfer is applied too, such as the capture of what was held when the service was quoted.
    pub fn transfer(mut self, transfer: Transfer) -> Self {
        self.steps.push(Op::Transfer(transfer));
        self
    }

    /// This is to be done elsewhere too.
    pub fn enqueue(mut self, entry: OutboxEntry) -> Self {
        self.steps.push(Op::Enqueue(entry));
        self
    }

    /// Seals the message and commits everything that belongs to it, at once; then gives the frame.
    ///
    /// # Errors
    /// [`PadError::Exhausted`] if the lane has no room; [`PadError::Commit`] if value is lacking, or the outcome is
    /// unknown: then the frame is lost, its bytes are burnt, and the same answer can be committed again.
    pub async fn commit(self) -> Result<Vec<u8>, PadError> {
        let mut frame = Vec::new();
        self.commit_into(&mut frame).await?;
        Ok(frame)
    }

    /// As [`commit`](Self::commit), into a buffer that is cleared first, and used as it is if the frame has room in it.
    /// After an error it is empty.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_into(self, frame: &mut Vec<u8>) -> Result<(), PadError> {
        frame.clear();
        let sealed = self.seal_into(frame).await;
        if sealed.is_err() {
            // Sealed, perhaps, and not committed: nobody may send it.
            frame.clear();
        }
        self.pad.end_if_closed().await;
        sealed
    }

    async fn seal_into(&self, frame: &mut Vec<u8>) -> Result<(), PadError> {
        let Self { pad, message, .. } = self;
        pad.usable_now()?;
        let now = UnixTime::now();
        let mut guard = pad.sender.lock().await;
        let sender = &mut *guard;
        let cost = sender.cost(message.len(), now)?;
        if let Err(error) = pad.ready(sender, cost).await {
            return Err(pad.keys_ended(sender, error).await);
        }
        // Again, as the lock and the reservation took their time.
        pad.usable_now()?;
        sender.seal(cost, message, now, frame)?;
        let send = pad.usable(sender.left());
        pad.set_life(|life| life.left.send = send);
        // A key that may not have been paid for is not used, nor if nobody waits for the outcome.
        let key = sender.keys.take();
        let fee = if cost > 0 { key.as_ref().map(|(key, _)| key.index()) } else { None };
        let committed = self.commit_sealed(sender, frame, fee).await;
        if cost == 0 || matches!(committed, Ok(true)) {
            sender.keys.put_back(key);
        }
        committed.map(drop)
    }

    /// Whether the frame was committed, and not an earlier one in its place. A new session key costs its fee.
    async fn commit_sealed(
        &self,
        sender: &Sender,
        frame: &mut Vec<u8>,
        new_key: Option<u64>,
    ) -> Result<bool, PadError> {
        let pad = self.pad;
        let fence = pad.fence;
        let steps = self.steps(frame)?;
        let spent = pad.is_spent(pad.remaining()) && pad.owes_nothing(self.request).await?;
        let close = spent.then_some(Op::Close { fence, status: PadStatus::PadSpent });
        let fee = match new_key {
            Some(index) => pad.key_fee(sender.cipher.lane(), index)?,
            None => None,
        };
        if steps.is_empty() && close.is_none() && fee.is_none() {
            return Ok(true);
        }
        // An answer names the fence itself, transfers do not: who lost the pad, or whose pad has ended, charges nothing.
        let check = self.request.is_none().then_some(Op::Check { fence });
        match pad.commit(steps.into_iter().chain(check).chain(close).chain(fee)).await {
            Ok(_) => Ok(true),
            Err(error) => {
                *frame = self.answered_before(error).await?;
                Ok(false)
            }
        }
    }

    /// The answer that stands, if it had been committed before and we never heard of it; that may have ended the pad.
    async fn answered_before(&self, error: PadError) -> Result<Vec<u8>, PadError> {
        let refused = matches!(
            error,
            PadError::NotOpen(_)
                | PadError::Commit(CommitError::Refused(Refused { why: Refusal::Answered(_), .. }))
        );
        let Some(request) = self.request.filter(|_| refused) else { return Err(error) };
        let row = self.pad.store.request(self.pad.fence.pad, request).await?;
        row.and_then(|row| row.reply).ok_or(error)
    }

    fn steps(&self, frame: &[u8]) -> Result<Vec<Op>, PadError> {
        let mut steps = Vec::new();
        if let Some(request) = self.request {
            steps.push(Op::Answer { fence: self.pad.fence, request, frame: frame.to_vec() });
        }
        let moved = |amount: &Amount| !amount.is_zero();
        let (charge, credit) = (self.charge.filter(moved), self.credit.filter(moved));
        if charge.or(credit).is_some() {
            let (value, income) = self.pad.value.zip(self.pad.policy.income).ok_or(PadError::NoAccount)?;
            let request = self.request.unwrap_or_else(|| request_id(frame));
            // The credit first: it counts for the charge.
            let back = TransferId::derived(label::CREDIT, &[request.as_bytes()]);
            steps.extend(credit.map(|fee| Op::Transfer(Transfer::post(back, income, value, fee))));
            let paid = TransferId::from(*request.as_bytes());
            steps.extend(charge.map(|fee| Op::Transfer(Transfer::post(paid, value, income, fee))));
        }
        steps.extend(self.steps.iter().cloned());
        Ok(steps)
    }
}
