use alloc::vec::Vec;
use std::io;

use symbolon_keys::OsRng;

use super::receiver::Receiver;
use super::sender::Sender;
use super::{Pad, PadError};
use crate::material::PadHalf;
use crate::witness::{Advice, Body, OwnerSession, Reserved, WitnessSession};
use crate::{BatchId, CommitError, Generation, LedgerStore, Op, PadStatus, Refusal, Refused};

/// Carries messages of the witness to the peer and its answers back, over whatever connects the two.
pub trait WitnessLink: Send {
    /// Sends one message, and waits for its answer.
    ///
    /// # Errors
    /// Whatever keeps the answer away. The message may have arrived even so.
    fn exchange(&mut self, message: Vec<u8>) -> impl Future<Output = io::Result<Vec<u8>>> + Send;
}

impl<S: LedgerStore, H: PadHalf> Pad<S, H> {
    /// Makes at least `bytes` (or keys) of our lane ready to be used, and lets the peer witness what is reserved for it.
    ///
    /// A pad that was issued with a witness seals only from what is ready; it says [`PadError::Unwitnessed`] when that
    /// is not enough. Without a witness this only reserves.
    ///
    /// # Errors
    /// [`PadError::TooMuch`] above [`PadMode::max_batch`](crate::PadMode::max_batch).
    /// [`PadError::NotOpen`] with [`PadStatus::RollbackSuspected`] or [`PadStatus::WitnessRolledBack`] if the two ends
    /// contradict each other: the lane is halted, durably, until an operator [recovers](Self::recover) it.
    /// [`PadError::Link`] and [`PadError::Rejected`] if the answer does not come, or is not the peer's: nothing is lost
    /// by trying again.
    pub async fn secure<L: WitnessLink>(&self, link: &mut L, bytes: u64) -> Result<(), PadError> {
        self.usable_now()?;
        let most = self.half.header().mode.max_batch();
        if bytes > most {
            // A crash would put the lane further ahead than the peer follows.
            return Err(PadError::TooMuch { most });
        }
        let mut sender = self.sender.lock().await;
        let secured = match self.secure_lane(&mut sender, link, bytes).await {
            Err(error) => Err(self.lane_ended(&sender, error).await),
            secured => secured,
        };
        drop(sender);
        self.end_if_closed().await;
        secured
    }

    async fn secure_lane<L: WitnessLink>(
        &self,
        sender: &mut Sender,
        link: &mut L,
        bytes: u64,
    ) -> Result<(), PadError> {
        if !self.half.header().witnessed {
            if let Some(reservation) = self.reserve(sender, bytes).await? {
                self.grant(sender, reservation)?;
            }
            return Ok(());
        }
        let keys = self.half.keys();
        let mut session = OwnerSession::new(keys.witness(), self.fence.pad, sender.last.lane, &mut OsRng);
        let mut state = stated(&exchange(link, &mut session, None).await?)?;
        loop {
            match Advice::of(&sender.last, sender.acknowledged, state) {
                Advice::Halt(status) => return Err(self.halt(status).await),
                Advice::SendAgain => {
                    let ceiling = Body::Ceiling(sender.last);
                    let answer = exchange(link, &mut session, Some(&ceiling)).await?;
                    if answer == Body::Ack(sender.last) {
                        let Reserved { generation, to, batch, .. } = sender.last;
                        state = (generation, to, batch);
                        continue;
                    }
                    state = stated(&answer)?;
                    if Advice::of(&sender.last, sender.acknowledged, state) == Advice::SendAgain {
                        // It neither stores the reservation nor says why.
                        return Err(PadError::Rejected);
                    }
                }
                Advice::GoOn => {
                    sender.acknowledged = true;
                    if let Some(reservation) = sender.pending.take() {
                        self.grant(sender, reservation)?;
                    }
                    match self.reserve(sender, bytes).await {
                        Ok(None) => return Ok(()),
                        Ok(pending) => sender.pending = pending,
                        // An earlier reservation of ours came to light, and goes first.
                        Err(PadError::Unwitnessed) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    async fn halt(&self, status: PadStatus) -> PadError {
        match self.commit([Op::Close { fence: self.fence, status }]).await {
            Ok(_) => PadError::NotOpen(status),
            Err(error) => error,
        }
    }

    /// Answers a message of the peer's [`secure`](Self::secure) or [`recover`](Self::recover), as the witness of its
    /// lane: what it acknowledges is durable. `session` belongs to the connection that the message came over.
    ///
    /// # Errors
    /// [`PadError::Rejected`] if the message is not the peer's, or not of this session; [`PadError::NotOpen`] if the pad
    /// was closed: its key is destroyed, and nothing that the peer sends would be received.
    pub async fn attest(&self, session: &mut WitnessSession, message: &[u8]) -> Result<Vec<u8>, PadError> {
        self.alive()?;
        let (key, pad, fence) = (self.half.keys().witness(), self.fence.pad, self.fence);
        let mut receiver = self.receiver.lock().await;
        if self.status().is_closed() {
            return Err(PadError::NotOpen(self.status()));
        }
        let rejected = |_| PadError::Rejected;
        if matches!(Body::parse(message), Ok(Body::Hello(_))) {
            let state = receiver.row.receive.state();
            return session.hello(key, pad, message, &state, &mut OsRng).map_err(rejected);
        }
        let asked = session.receive(key, pad, message).map_err(rejected)?;
        let (op, lane) = match asked {
            Body::Ceiling(Reserved { generation, lane, from, to, batch }) => {
                (Op::Ceiling { fence, generation, from, to, batch }, lane)
            }
            Body::Adopt { lane, old, new, from } => (Op::Adopt { fence, old, new, from }, lane),
            _ => return Err(PadError::Rejected),
        };
        if lane != receiver.row.receive.lane {
            return Err(PadError::OtherLane);
        }
        let committed = match self.commit([op]).await {
            Ok(_) => true,
            Err(PadError::Commit(CommitError::Refused(Refused {
                why: Refusal::NotNext { .. } | Refusal::OtherGeneration,
                ..
            }))) => {
                self.reload(&mut receiver).await?;
                false
            }
            Err(error) => {
                // It may be stored even so.
                self.reload(&mut receiver).await?;
                return Err(error);
            }
        };
        let row = &mut receiver.row.receive;
        let answer = match asked {
            Body::Ceiling(reserved) if committed => {
                (row.ceiling_from, row.ceiling, row.batch) = (reserved.from, reserved.to, reserved.batch);
                Body::Ack(reserved)
            }
            Body::Adopt { new, .. } if committed => {
                row.generation = new;
                receiver.cipher.enter(new);
                receiver.row.receive.state()
            }
            _ => row.state(),
        };
        session.seal(key, pad, &answer).map_err(rejected)
    }
}

impl<S: LedgerStore, H: PadHalf> Pad<S, H> {
    /// What is stored of the peer's reservations. Where the lane stands stays as it is: a claim that is in doubt is asked
    /// for again from there.
    async fn reload(&self, receiver: &mut Receiver) -> Result<(), PadError> {
        let stored = self.store.pad(self.fence.pad).await?.ok_or(PadError::LedgerMissing(self.fence.pad))?;
        let (row, stored) = (&mut receiver.row.receive, stored.receive);
        if row.generation != stored.generation {
            row.generation = stored.generation;
            receiver.cipher.enter(stored.generation);
        }
        (row.ceiling_from, row.ceiling, row.batch) = (stored.ceiling_from, stored.ceiling, stored.batch);
        Ok(())
    }
}

/// One message and its answer; without a message, the hello.
pub(super) async fn exchange<L: WitnessLink>(
    link: &mut L,
    session: &mut OwnerSession<'_>,
    body: Option<&Body>,
) -> Result<Body, PadError> {
    let message = match body {
        None => session.hello(),
        Some(body) => session.seal(body).map_err(|_| PadError::Rejected)?,
    };
    let answer = link.exchange(message).await.map_err(PadError::Link)?;
    session.receive(&answer).map_err(|_| PadError::Rejected)
}

/// What a State says of our lane. An acknowledgement of anything but our last reservation is none: somebody sent an
/// earlier one again.
const fn stated(answer: &Body) -> Result<(Generation, u64, BatchId), PadError> {
    match *answer {
        Body::State { generation, ceiling, batch, .. } => Ok((generation, ceiling, batch)),
        _ => Err(PadError::Rejected),
    }
}
