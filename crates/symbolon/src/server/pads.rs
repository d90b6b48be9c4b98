//! Requests under pads: quote, perform, balance; value and keystream in one commit (L10, L14 to L16, L18, L28).

use alloc::sync::Arc;
use core::time::Duration;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex as Lock, PoisonError};

use symbolon_keys::{OsRng, UnixTime};
use symbolon_ledger::frame::Frame;
use symbolon_ledger::material::FileHalf;
use symbolon_ledger::{
    Amount, CommitError, Folder, LedgerStore, Message, OutboxEntry, OutboxId, Pad, PadError, PadId,
    PadStatus, Policy, Refusal as Why, Refused, RequestId, Transfer, TransferId, TransferKind,
};
use symbolon_store::AnyStore;
use tokio::sync::Mutex;

use super::exchange::{Exchange, unavailable};
use super::operator::REVENUE;
use crate::protocol::{PadReply, PadRequest, QuoteRef, Refusal, RefusalCode, Reply, Units, decode, encode};
use crate::service::{Performed, ServiceError};

/// How long what a quote set aside stays set aside.
const QUOTE_TTL: Duration = Duration::from_secs(300);

/// The most pads attached at once: each has an open file and up to 128 KiB of keystream in memory.
const MAX_ATTACHED: usize = 1024;

type Half = Pad<AnyStore, FileHalf>;

/// The pads that this process owns, attached when they are first asked for.
pub(super) struct Pads {
    store: AnyStore,
    path: PathBuf,
    folder: Folder,
    attached: Lock<HashMap<PadId, Arc<Mutex<Option<Half>>>>>,
}

impl Pads {
    pub(super) fn new(store: AnyStore, path: PathBuf) -> Self {
        Self { store, folder: Folder::new(&path), path, attached: Lock::default() }
    }

    pub(super) const fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The place of a pad, in which one request at a time works.
    fn place(&self, pad: PadId) -> Result<Arc<Mutex<Option<Half>>>, Refusal> {
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = attached.get(&pad) {
            return Ok(Arc::clone(place));
        }
        if attached.len() >= MAX_ATTACHED {
            // Dropping a pad burns what it had reserved and not used, and nothing else.
            attached.retain(|_, place| Arc::strong_count(place) > 1);
        }
        if attached.len() >= MAX_ATTACHED {
            return Err(Refusal::new(RefusalCode::Unavailable, "too many pads are in use: ask again"));
        }
        Ok(Arc::clone(attached.entry(pad).or_default()))
    }

    /// Gives every pad back, for another process to attach.
    pub(super) async fn detach(&self) {
        let places = core::mem::take(&mut *self.attached.lock().unwrap_or_else(PoisonError::into_inner));
        for (id, place) in places {
            if let Some(pad) = place.lock().await.take()
                && let Err(error) = pad.detach().await
            {
                tracing::warn!(pad = %id, %error, "not detached");
            }
        }
    }
}

impl Exchange {
    /// Answers a frame under the pad that it names (L18).
    pub(super) async fn frame(&self, frame: &[u8]) -> Result<Reply, Refusal> {
        let id = Frame::parse(frame)
            .map_err(|_| Refusal::new(RefusalCode::Malformed, "the bytes are no frame of a pad"))?
            .header()
            .lane
            .pad;
        let place = self.pads.place(id)?;
        let mut slot = place.lock().await;
        let pad = match slot.take() {
            Some(pad) => slot.insert(pad),
            None => slot.insert(self.attach(id).await?),
        };
        let answer = match pad.open(frame).await {
            Ok(message) => {
                self.pads.delivered(id);
                self.answer_under(pad, &message).await
            }
            // It was asked and answered before: the same bytes again.
            Err(PadError::Answered(stored)) => Ok(stored),
            Err(error) => Err(error),
        };
        answer.map(Reply::Frame).map_err(|error| {
            if matches!(error, PadError::Dead | PadError::Forked | PadError::Material(_)) {
                *slot = None;
            }
            refused(error)
        })
    }

    async fn attach(&self, id: PadId) -> Result<Half, Refusal> {
        let policy = Policy::default().income(REVENUE);
        Pad::attach_with(&self.pads.store, &self.pads.folder, id, policy).await.map_err(refused)
    }

    async fn answer_under(&self, pad: &Half, message: &Message) -> Result<Vec<u8>, PadError> {
        match decode::<PadRequest>(message) {
            Ok(PadRequest::Quote(service, request)) => {
                self.quote_under(pad, message.id(), &service, &request).await
            }
            Ok(PadRequest::Perform(service, request, quote)) => {
                self.perform_under(pad, message.id(), &service, &request, quote).await
            }
            Ok(PadRequest::Balance) => {
                let (value, left) = (self.value_of(pad).await?, pad.remaining());
                // What the server receives on is what the user sends on.
                let reply = PadReply::Balance(units(value), left.receive, left.send);
                pad.seal(&encode(&reply)).answering(message.id()).commit().await
            }
            Err(refusal) => refuse_under(pad, message.id(), refusal, None).await,
        }
    }

    /// Sets aside what the service will cost at most, under the id of the request.
    async fn quote_under(
        &self,
        pad: &Half,
        request: RequestId,
        service: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, PadError> {
        let price = match self.services.quote(service, body) {
            Ok(price) => price,
            Err(error) => return refuse_under(pad, request, refusal_of(&error), None).await,
        };
        let Some(account) = self.account_of(pad).await? else { return Err(PadError::NoAccount) };
        let hold = TransferId::from(*request.as_bytes());
        let reply = PadReply::Quoted(QuoteRef(*hold.as_bytes()), units(price));
        let hold =
            Transfer::hold(hold, account, REVENUE, price).expiring(UnixTime::now().saturating_add(QUOTE_TTL));
        match pad.seal(&encode(&reply)).answering(request).transfer(hold).commit().await {
            Err(PadError::Commit(CommitError::Refused(Refused {
                why: Why::Insufficient { available, .. },
                ..
            }))) => {
                let refusal = Refusal::new(
                    RefusalCode::Exhausted,
                    format!("the service costs up to {price} and the pad has {available} left: buy another"),
                );
                refuse_under(pad, request, refusal, None).await
            }
            sealed => sealed,
        }
    }

    /// Performs within the quote: answer, fee and what is enqueued are one commit.
    async fn perform_under(
        &self,
        pad: &Half,
        request: RequestId,
        service: &str,
        body: &[u8],
        quote: QuoteRef,
    ) -> Result<Vec<u8>, PadError> {
        let account = self.account_of(pad).await?;
        let row = self.store.transfer(TransferId::from(quote.0)).await?;
        let hold = row.filter(|row| {
            row.transfer.kind == TransferKind::Hold
                && Some(row.transfer.from) == account
                && row.resolved_by.is_none()
                && row.transfer.expires.is_none_or(|end| UnixTime::now() < end)
        });
        let Some(hold) = hold.map(|row| row.transfer) else {
            let refusal =
                Refusal::new(RefusalCode::Denied, "the quote is used or has expired: ask for another");
            return refuse_under(pad, request, refusal, None).await;
        };
        let id = TransferId::from(*request.as_bytes());
        let Performed { answer, fee, outbox } = match self.services.perform(service, body).await {
            Ok(performed) => performed,
            Err(error) => {
                let release = Transfer::release(id, &hold);
                return refuse_under(pad, request, refusal_of(&error), Some(release)).await;
            }
        };
        let fee = fee.min(hold.amount);
        let left = self.value_of(pad).await?.saturating_sub(fee);
        let reply = encode(&PadReply::Performed(answer, units(fee), units(left)));
        let mut seal = pad.seal(&reply).answering(request).transfer(Transfer::capture(id, &hold, fee));
        for payload in outbox {
            seal = seal.enqueue(OutboxEntry { id: OutboxId::generate(&mut OsRng), payload });
        }
        seal.commit().await
    }

    async fn account_of(&self, pad: &Half) -> Result<Option<symbolon_ledger::AccountId>, PadError> {
        Ok(self.store.pad(pad.id()).await?.and_then(|row| row.account))
    }

    async fn value_of(&self, pad: &Half) -> Result<Amount, PadError> {
        let Some(account) = self.account_of(pad).await? else { return Ok(Amount::ZERO) };
        Ok(self.store.account(account).await?.map_or(Amount::ZERO, |row| row.balance))
    }
}

/// A refusal under the pad: an answer like any other, for which nothing is charged.
async fn refuse_under(
    pad: &Half,
    request: RequestId,
    refusal: Refusal,
    release: Option<Transfer>,
) -> Result<Vec<u8>, PadError> {
    let reply = encode(&PadReply::Refused(refusal));
    let seal = pad.seal(&reply).answering(request);
    match release {
        Some(release) => seal.transfer(release),
        None => seal,
    }
    .commit()
    .await
}

fn refusal_of(error: &ServiceError) -> Refusal {
    let code = match error {
        ServiceError::Malformed(_) => RefusalCode::Malformed,
        ServiceError::Unknown(_) | ServiceError::Refused(_) => RefusalCode::Service,
    };
    Refusal::new(code, error)
}

/// What is said outside of the pad, because nothing can be said under it.
fn refused(error: PadError) -> Refusal {
    let code = match &error {
        PadError::Malformed => RefusalCode::Malformed,
        PadError::Exhausted { .. } => RefusalCode::Exhausted,
        PadError::NotOpen(status) if status.is_closed() => RefusalCode::Exhausted,
        PadError::NotOpen(PadStatus::RollbackSuspected | PadStatus::WitnessRolledBack) => {
            RefusalCode::Unavailable
        }
        PadError::Unanswered(_) => RefusalCode::Conflict,
        PadError::Commit(_) | PadError::Storage(_) | PadError::Dead => return unavailable(error),
        // Whether there is such a pad is told to nobody who cannot write a frame for it.
        _ => return Refusal::new(RefusalCode::Denied, "no such pad, or the frame is not authentic"),
    };
    Refusal::new(code, error)
}

const fn units(amount: Amount) -> Units {
    Units(amount.to_bytes())
}
