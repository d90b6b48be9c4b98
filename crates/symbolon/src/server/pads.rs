//! Requests under pads: quote, perform, balance; value and keystream in one commit (L10, L14 to L16, L18, L28).

use alloc::sync::Arc;
use core::time::Duration;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex as Lock, MutexGuard, PoisonError};

use symbolon_keys::{OsRng, UnixTime};
use symbolon_ledger::frame::Frame;
use symbolon_ledger::material::FileHalf;
use symbolon_ledger::witness::WitnessSession;
use symbolon_ledger::{
    Amount, CommitError, Folder, LedgerStore, Message, OutboxEntry, OutboxId, Pad, PadError, PadId,
    PadStatus, Policy, Refusal as Why, Refused, RequestId, Transfer, TransferId, TransferKind, WitnessLink,
};
use symbolon_store::AnyStore;
use tokio::sync::Mutex;

use super::exchange::{Exchange, unavailable};
use super::operator::REVENUE;
use crate::protocol::{
    PadRef, PadReply, PadRequest, QuoteRef, Refusal, RefusalCode, Reply, Units, decode, encode,
};
use crate::service::{Performed, ServiceError};

/// How long what a quote set aside stays set aside.
const QUOTE_TTL: Duration = Duration::from_secs(300);

/// The most pads attached at once: each has an open file and up to 128 KiB of keystream in memory. One more makes the one
/// that was idle the longest go; what that had reserved and not used is burnt, so this is not to be small.
const MAX_ATTACHED: usize = 1024;

type Half = Pad<AnyStore, FileHalf>;

/// The pads that this process owns, attached when they are first asked for.
pub(super) struct Pads {
    store: AnyStore,
    path: PathBuf,
    folder: Folder,
    attached: Lock<Attached>,
    /// One is attached at a time, so that none is attached twice.
    attaching: Mutex<()>,
}

#[derive(Default)]
struct Attached {
    pads: HashMap<PadId, Place>,
    /// Counts uses, to know what was used last.
    clock: u64,
}

/// A pad, in which one request at a time works.
struct Place {
    pad: Arc<Mutex<Half>>,
    used: u64,
}

impl Attached {
    fn find(&mut self, id: PadId) -> Option<Arc<Mutex<Half>>> {
        self.clock = self.clock.saturating_add(1);
        let place = self.pads.get_mut(&id)?;
        place.used = self.clock;
        Some(Arc::clone(&place.pad))
    }

    /// Takes in a pad; false if there is no room because every pad is at work.
    fn insert(&mut self, id: PadId, pad: &Arc<Mutex<Half>>) -> bool {
        if self.pads.len() >= MAX_ATTACHED {
            let idle = self.pads.iter().filter(|(_, place)| Arc::strong_count(&place.pad) == 1);
            let Some(longest) = idle.min_by_key(|(_, place)| place.used).map(|(id, _)| *id) else {
                return false;
            };
            self.pads.remove(&longest);
        }
        self.pads.insert(id, Place { pad: Arc::clone(pad), used: self.clock });
        true
    }
}

impl Pads {
    pub(super) fn new(store: AnyStore, path: PathBuf) -> Self {
        let folder = Folder::new(&path);
        Self { store, path, folder, attached: Lock::default(), attaching: Mutex::default() }
    }

    pub(super) const fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The pad of this name. A name that nobody sold a pad under leaves nothing behind.
    async fn find(&self, id: PadId) -> Result<Arc<Mutex<Half>>, Refusal> {
        if let Some(pad) = self.lock().find(id) {
            return Ok(pad);
        }
        let _alone = self.attaching.lock().await;
        if let Some(pad) = self.lock().find(id) {
            return Ok(pad);
        }
        let policy = Policy::default().income(REVENUE);
        let pad = Pad::attach_with(&self.store, &self.folder, id, policy).await.map_err(refused)?;
        let pad = Arc::new(Mutex::new(pad));
        if self.lock().insert(id, &pad) {
            return Ok(pad);
        }
        Err(Refusal::new(RefusalCode::Unavailable, "too many pads are at work: ask again"))
    }

    /// Lets go of a handle that is of no more use.
    fn forget(&self, id: PadId) {
        self.lock().pads.remove(&id);
    }

    /// Gives every pad back, for another process to attach.
    pub(super) async fn detach(&self) {
        let places = core::mem::take(&mut self.lock().pads);
        for (id, place) in places {
            let Some(pad) = Arc::into_inner(place.pad) else { continue };
            if let Err(error) = pad.into_inner().detach().await {
                tracing::warn!(pad = %id, %error, "not detached");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Attached> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchange {
    /// Answers a frame under the pad that it names (L18). `link` leads to the witness of the server's lane.
    pub(super) async fn frame(&self, frame: &[u8], link: &mut impl WitnessLink) -> Result<Reply, Refusal> {
        let id = Frame::parse(frame)
            .map_err(|_| Refusal::new(RefusalCode::Malformed, "the bytes are no frame of a pad"))?
            .header()
            .lane
            .pad;
        let place = self.pads.find(id).await?;
        let pad = place.lock().await;
        let answer = match pad.open(frame).await {
            Ok(message) => {
                self.pads.delivered(id);
                self.answer_under(&mut Answering { pad: &pad, request: message.id(), link }, &message).await
            }
            // It was asked and answered before: the same bytes again.
            Err(PadError::Answered(stored)) => Ok(stored),
            Err(error) => Err(error),
        };
        answer.map(Reply::Frame).map_err(|error| {
            if matches!(error, PadError::Dead | PadError::Forked | PadError::Material(_)) {
                self.pads.forget(id);
            }
            refused(error)
        })
    }

    /// Answers a message to the witness of the client's lane.
    pub(super) async fn attest(
        &self,
        witness: &mut Witness,
        pad: PadRef,
        message: &[u8],
    ) -> Result<Reply, Refusal> {
        let id = PadId::new(pad.0);
        if witness.pad != Some(id) {
            *witness = Witness { pad: Some(id), session: WitnessSession::new() };
        }
        let place = self.pads.find(id).await?;
        let pad = place.lock().await;
        pad.attest(&mut witness.session, message).await.map(Reply::Witness).map_err(refused)
    }

    async fn answer_under<L: WitnessLink>(
        &self,
        under: &mut Answering<'_, L>,
        message: &Message,
    ) -> Result<Vec<u8>, PadError> {
        match decode::<PadRequest>(message) {
            Ok(PadRequest::Quote(service, request)) => self.quote_under(under, &service, &request).await,
            Ok(PadRequest::Perform(service, request, quote)) => {
                self.perform_under(under, &service, &request, quote).await
            }
            Ok(PadRequest::Balance) => {
                let (value, left) = (self.value_of(under.pad).await?, under.pad.remaining());
                // What the server receives on is what the user sends on.
                under.answer(&PadReply::Balance(units(value), left.receive, left.send), &[]).await
            }
            Err(refusal) => under.refuse(refusal, None).await,
        }
    }

    /// Sets aside what the service will cost at most, under the id of the request.
    async fn quote_under<L: WitnessLink>(
        &self,
        under: &mut Answering<'_, L>,
        service: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, PadError> {
        let price = match self.services.quote(service, body) {
            Ok(price) => price,
            Err(error) => return under.refuse(refusal_of(&error), None).await,
        };
        let account = self.account_of(under.pad).await?.ok_or(PadError::NoAccount)?;
        let hold = TransferId::from(*under.request.as_bytes());
        let reply = PadReply::Quoted(QuoteRef(*hold.as_bytes()), units(price));
        let hold =
            Transfer::hold(hold, account, REVENUE, price).expiring(UnixTime::now().saturating_add(QUOTE_TTL));
        match under.answer(&reply, &[Step::Transfer(hold)]).await {
            Err(PadError::Commit(CommitError::Refused(Refused {
                why: Why::Insufficient { available, .. },
                ..
            }))) => {
                let refusal = Refusal::new(
                    RefusalCode::Exhausted,
                    format!("the service costs up to {price} and the pad has {available} left: buy another"),
                );
                under.refuse(refusal, None).await
            }
            sealed => sealed,
        }
    }

    /// Performs within the quote: answer, fee and what is enqueued are one commit.
    async fn perform_under<L: WitnessLink>(
        &self,
        under: &mut Answering<'_, L>,
        service: &str,
        body: &[u8],
        quote: QuoteRef,
    ) -> Result<Vec<u8>, PadError> {
        let account = self.account_of(under.pad).await?;
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
            return under.refuse(refusal, None).await;
        };
        let id = TransferId::from(*under.request.as_bytes());
        let Performed { answer, fee, outbox } = match self.services.perform(service, body).await {
            Ok(performed) => performed,
            Err(error) => return under.refuse(refusal_of(&error), Some(Transfer::release(id, &hold))).await,
        };
        let fee = fee.min(hold.amount);
        let left = self.value_of(under.pad).await?.saturating_sub(fee);
        let mut steps = vec![Step::Transfer(Transfer::capture(id, &hold, fee))];
        for payload in outbox {
            steps.push(Step::Enqueue(OutboxEntry { id: OutboxId::generate(&mut OsRng), payload }));
        }
        under.answer(&PadReply::Performed(answer, units(fee), units(left)), &steps).await
    }

    async fn account_of(&self, pad: &Half) -> Result<Option<symbolon_ledger::AccountId>, PadError> {
        Ok(self.store.pad(pad.id()).await?.and_then(|row| row.account))
    }

    async fn value_of(&self, pad: &Half) -> Result<Amount, PadError> {
        let Some(account) = self.account_of(pad).await? else { return Ok(Amount::ZERO) };
        Ok(self.store.account(account).await?.map_or(Amount::ZERO, |row| row.balance))
    }
}

/// Whose lane a client's session is a witness session about.
#[derive(Default)]
pub(super) struct Witness {
    pad: Option<PadId>,
    session: WitnessSession,
}

/// What is committed together with an answer.
enum Step {
    Transfer(Transfer),
    Enqueue(OutboxEntry),
}

/// A request that waits for its answer under the pad.
struct Answering<'a, L> {
    pad: &'a Half,
    request: RequestId,
    link: &'a mut L,
}

impl<L: WitnessLink> Answering<'_, L> {
    /// Seals an answer and commits it with `steps`. If the server's lane has nothing ready, more of it is reserved and
    /// witnessed first.
    async fn answer(&mut self, reply: &PadReply, steps: &[Step]) -> Result<Vec<u8>, PadError> {
        let reply = encode(reply);
        match self.commit(&reply, steps).await {
            Err(PadError::Unwitnessed) => {
                let cost = self.pad.header().mode.cost(reply.len()).map_err(|_| PadError::TooLong)?;
                self.pad.secure(self.link, cost).await?;
                self.commit(&reply, steps).await
            }
            done => done,
        }
    }

    async fn commit(&self, reply: &[u8], steps: &[Step]) -> Result<Vec<u8>, PadError> {
        let seal = self.pad.seal(reply).answering(self.request);
        let seal = steps.iter().fold(seal, |seal, step| match step {
            Step::Transfer(transfer) => seal.transfer(transfer.clone()),
            Step::Enqueue(entry) => seal.enqueue(entry.clone()),
        });
        seal.commit().await
    }

    /// A refusal under the pad: an answer like any other, for which nothing is charged.
    async fn refuse(&mut self, refusal: Refusal, release: Option<Transfer>) -> Result<Vec<u8>, PadError> {
        let steps: Vec<Step> = release.into_iter().map(Step::Transfer).collect();
        self.answer(&PadReply::Refused(refusal), &steps).await
    }
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
