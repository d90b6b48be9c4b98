use symbolon_keys::{OsRng, UnixTime};

use super::attach::{floor, lease, same_pad};
use super::provision::new_row;
use super::witness::{WitnessLink, exchange};
use super::{Pad, PadError, Policy};
use crate::material::{MaterialError, PadHalf, PadMaterial, Stage};
use crate::witness::{Body, OwnerSession};
use crate::{
    Batch, BatchId, CommitError, Fence, Generation, Instance, LedgerStore, Op, Outcome, PadId, PadRow,
    PadStatus, Refusal, Refused,
};

/// What an operator knows about a pad whose ledger, half or machine was restored from a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restored {
    /// The peer is a witness. Its ceiling is asked before anything is sent; of its own lane, all that this copy of the
    /// ledger had acknowledged counts as received: what was acknowledged after the copy was made, nobody here knows.
    Witnessed,
    /// There is no witness, so the operator vouches: nothing at or beyond these places was ever used.
    Untouched {
        /// Of the lane that we send on.
        send: u64,
        /// Of the lane that the peer sends on.
        receive: u64,
    },
}

impl<S: LedgerStore + Clone, H: PadHalf> Pad<S, H> {
    /// Starts using a pad whose ledger may be an old copy, beyond everything that may have been used since. If it has
    /// ended since, it is closed in that ledger too, and what was restored of its value goes to the refund account.
    ///
    /// # Errors
    /// As [`attach`](Self::attach), but for [`PadError::LedgerBehind`], which this is for.
    /// [`PadError::OtherInstance`] if the ledger is from before a recovery: [recover](Self::recover) then.
    ///
    /// # Security
    /// Without a witness, two-time pads are one wrong number away. Take the last offset that the *peer* has seen, and add
    /// what may have been lost on the way; better, issue a new pad.
    pub async fn attach_after_restore<M: PadMaterial<Half = H>>(
        store: &S,
        material: &M,
        id: PadId,
        policy: Policy,
        restored: Restored,
    ) -> Result<Self, PadError> {
        let half = material.take(id)?;
        let row = store.pad(id).await?.ok_or(PadError::LedgerMissing(id))?;
        let instance = half.instance().ok_or(PadError::NotProvisioned(id))?;
        if instance != row.instance {
            return Err(PadError::OtherInstance { half: instance, ledger: row.instance });
        }
        same_pad(&row, &half)?;
        if half.stage() > Stage::InUse || row.status.is_closed() {
            return Self::close_again(store, half, row, policy).await;
        }
        let (send, receive) = match restored {
            Restored::Witnessed if row.witnessed => (row.send.reserved, row.receive.ceiling),
            Restored::Witnessed => return Err(PadError::Mismatch("the witness")),
            Restored::Untouched { send, receive } => (send, receive),
        };
        let row = lease(store, &row, &policy).await?;
        let fence = Fence { pad: id, epoch: row.lease.epoch };
        let send = send.max(floor(&half, row.send.lane));
        let receive = receive.max(floor(&half, row.receive.lane)).max(row.receive.end());
        let (generation, from) = (row.send.generation, row.send.reserved);
        let mut batch = Batch::new(UnixTime::now()).with(Op::Resync { fence, position: receive });
        if row.status == PadStatus::RollbackSuspected && !row.witnessed {
            batch.push(Op::Reopen { fence });
        }
        if send > from {
            let batch_id = BatchId::generate(&mut OsRng);
            batch.push(Op::Reserve { fence, generation, from, to: send, batch: batch_id });
        }
        store.commit(batch).await?;
        let row = store.pad(id).await?.ok_or(PadError::LedgerMissing(id))?;
        if row.lease.epoch != fence.epoch {
            // Another has taken it since: its right is not ours.
            return Err(PadError::Dead);
        }
        Self::going_on(store, half, &row, policy).await
    }

    /// The pad as it goes on: but if what was skipped used it up.
    async fn going_on(store: &S, half: H, row: &PadRow, policy: Policy) -> Result<Self, PadError> {
        let pad = Self::new(store.clone(), half, row, policy);
        pad.close_if_spent().await?;
        pad.end_if_closed().await;
        Ok(pad)
    }

    /// The pad had ended, and the half knows it: a ledger that does not is brought to its end as well.
    async fn close_again(store: &S, half: H, row: PadRow, policy: Policy) -> Result<Self, PadError> {
        let row = lease(store, &row, &policy).await?;
        let pad = Self::new(store.clone(), half, &row, policy);
        if pad.status().is_closed() {
            pad.destroy().await?;
        } else {
            pad.close().await?;
        }
        Ok(pad)
    }

    /// Begins a new life of our lane beyond everything that either end knows as used, after the two contradicted each
    /// other, or our ledger was lost. An operator's decision: it cuts off every other copy of this end for good.
    ///
    /// A ledger that has lost the pad altogether gets a new row without accounts; the peer will have to recover its own
    /// lane then, as we have forgotten what we acknowledged.
    ///
    /// # Errors
    /// [`PadError::Material`] with [`MaterialError::Ended`] if the pad had ended: [close](Self::attach_after_restore) it.
    /// [`PadError::Link`] or [`PadError::Rejected`] if the witness does not answer: then nothing has changed, or it is
    /// done again. [`PadError::Mismatch`] if the pad has no witness.
    pub async fn recover<M: PadMaterial<Half = H>, L: WitnessLink>(
        store: &S,
        material: &M,
        id: PadId,
        policy: Policy,
        link: &mut L,
    ) -> Result<Self, PadError> {
        let half = material.take(id)?;
        if !half.header().witnessed {
            return Err(PadError::Mismatch("the witness: this pad has none"));
        }
        if half.stage() > Stage::InUse {
            return Err(MaterialError::Ended(id).into());
        }
        let row = match store.pad(id).await? {
            Some(row) => row,
            None if half.instance().is_none() => return Err(PadError::NotProvisioned(id)),
            None => {
                let mut row = new_row(half.header(), Instance::generate(&mut OsRng), None);
                // What we received is forgotten: nothing of the peer's lane is taken before its own new life.
                row.receive.generation = Generation::generate(&mut OsRng);
                store.commit(Batch::new(UnixTime::now()).with(Op::Provision(row.clone()))).await?;
                row
            }
        };
        same_pad(&row, &half)?;
        let row = lease(store, &row, &policy).await?;
        let mut session = OwnerSession::new(half.keys().witness(), id, row.send.lane, &mut OsRng);
        let state = exchange(link, &mut session, None).await?;
        let (row, adopt) = new_life(store, &row, &half, &state).await?;
        half.bind(row.instance)?;
        match exchange(link, &mut session, Some(&adopt)).await? {
            Body::State { generation, .. } if generation == row.send.generation => {}
            _ => return Err(PadError::Rejected),
        }
        Self::going_on(store, half, &row, policy).await
    }
}

/// Commits the new life, and gives what the peer is to be told.
async fn new_life<S: LedgerStore, H: PadHalf>(
    store: &S,
    row: &PadRow,
    half: &H,
    state: &Body,
) -> Result<(PadRow, Body), PadError> {
    let Body::State { generation: old, lane, ceiling, batch: acknowledged } = *state else {
        return Err(PadError::Rejected);
    };
    if lane != row.send.lane {
        return Err(PadError::OtherLane);
    }
    let reserved = row.send.reserved.max(ceiling).max(floor(half, lane));
    let new = Generation::generate(&mut OsRng);
    // The peer knows the reservation up to its ceiling; anything beyond is a new one.
    let batch = if reserved > ceiling { BatchId::generate(&mut OsRng) } else { acknowledged };
    let fence = Fence { pad: row.id, epoch: row.lease.epoch };
    let recover = Op::Recover {
        fence,
        generation: new,
        instance: Instance::generate(&mut OsRng),
        ceiling,
        reserved,
        batch,
    };
    // Of the peer's lane, what is destroyed cannot be received again, whatever this ledger knows of it.
    let destroyed = Op::Resync { fence, position: floor(half, row.receive.lane) };
    let outcomes = store.commit(Batch::new(UnixTime::now()).with(destroyed).with(recover)).await?;
    match outcomes.into_iter().nth(1) {
        Some(Outcome::Attached(row)) => Ok((*row, Body::Adopt { lane, old, new, from: ceiling })),
        _ => Err(CommitError::Refused(Refused { op: 0, why: Refusal::InvalidPad }).into()),
    }
}
