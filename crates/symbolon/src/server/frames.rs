//! Requests under pads: quote, perform, balance; value and keystream in one commit (L10, L14 to L16, L18, L28).

use core::time::Duration;

use symbolon_keys::wire::put_lp;
use symbolon_keys::{OsRng, UnixTime, extract, label};
use symbolon_ledger::frame::Frame;
use symbolon_ledger::material::MaterialError;
use symbolon_ledger::witness::WitnessSession;
use symbolon_ledger::{
    AccountId, Amount, CommitError, LedgerStore, Message, OutboxEntry, OutboxId, PadError, PadId, PadStatus,
    Refusal as Why, Refused, RequestId, Transfer, TransferId, TransferKind, WitnessLink,
};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::exchange::{Exchange, unavailable};
use super::gate::WAIT;
use super::operator::REVENUE;
use super::pads::Half;
use crate::protocol::{
    PadRef, PadReply, PadRequest, QuoteRef, Refusal, RefusalCode, Reply, Units, decode, encode,
};
use crate::service::{Performed, ServiceError};
use crate::voucher::Voucher;

/// How long a service may take, while its pad waits.
const PERFORMANCE: Duration = Duration::from_secs(60);

impl Exchange {
    /// Answers a frame under the pad that it names (L18). `link` leads to the witness of the server's lane.
    pub(super) async fn frame(&self, frame: &[u8], link: &mut impl WitnessLink) -> Result<Reply, Refusal> {
        let id = Frame::parse(frame)
            .map_err(|_| Refusal::new(RefusalCode::Malformed, "the bytes are no frame of a pad"))?
            .header()
            .lane
            .pad;
        let place = self.pads.find(id).await?;
        let pad = turn(&place).await?;
        let answer = match pad.open(frame).await {
            Ok(message) => {
                self.pads.delivered(id).await;
                self.answer_under(&mut Answering { pad: &pad, request: message.id(), link }, &message).await
            }
            // It was asked and answered before: the same bytes again.
            Err(PadError::Answered(stored)) => Ok(stored),
            Err(error) => Err(error),
        };
        answer.map(Reply::Frame).map_err(|error| {
            if matches!(error, PadError::Dead | PadError::Forked | PadError::Material(_)) {
                self.pads.forget(id, &place);
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
        let pad = turn(&place).await?;
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
        let id = TransferId::new(*under.request.as_bytes());
        let reply = PadReply::Quoted(QuoteRef(*id.as_bytes()), units(price));
        if price.is_zero() {
            return under.answer(&reply, &[]).await;
        }
        let hold = Transfer::hold(id, account, REVENUE, price)
            .expiring(UnixTime::now().saturating_add(self.quote_ttl))
            .referring_to(quoted(service, body));
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
        let id = TransferId::new(*under.request.as_bytes());
        let hold = self.hold_of(under.pad, quote, quoted(service, body)).await?;
        // What costs nothing was quoted without a hold.
        let free = hold.is_none() && self.services.quote(service, body).is_ok_and(|price| price.is_zero());
        if hold.is_none() && !free {
            let why = "the quote is used, has expired, or was given for something else: ask for another";
            return under.refuse(Refusal::new(RefusalCode::Denied, why), None).await;
        }
        let performed = timeout(PERFORMANCE, self.services.perform(service, body)).await;
        let Performed { answer, fee, outbox } = match performed {
            Ok(Ok(performed)) => performed,
            failed => {
                let late = || ServiceError::Refused("it took too long".into());
                let error = failed.map_or_else(|_| late(), |failed| failed.err().unwrap_or_else(late));
                let release = hold.map(|hold| Transfer::release(id, &hold));
                return under.refuse(refusal_of(&error), release).await;
            }
        };
        let fee = hold.as_ref().map_or(Amount::ZERO, |hold| fee.min(hold.amount));
        let left = self.value_of(under.pad).await?.saturating_sub(fee);
        let mut steps = Vec::new();
        if let Some(hold) = hold {
            steps.push(Step::Transfer(match fee.is_zero() {
                true => Transfer::release(id, &hold),
                false => Transfer::capture(id, &hold, fee),
            }));
        }
        for payload in outbox {
            steps.push(Step::Enqueue(OutboxEntry { id: OutboxId::generate(&mut OsRng), payload }));
        }
        under.answer(&PadReply::Performed(answer, units(fee), units(left)), &steps).await
    }

    /// What a quote set aside, if it is this pad's, for just this, and not used or expired.
    async fn hold_of(
        &self,
        pad: &Half,
        quote: QuoteRef,
        reference: [u8; 16],
    ) -> Result<Option<Transfer>, PadError> {
        let account = self.account_of(pad).await?;
        let row = self.store.transfer(TransferId::new(quote.0)).await?;
        let row = row.filter(|row| {
            row.transfer.kind == TransferKind::Hold
                && Some(row.transfer.from) == account
                && row.transfer.reference == reference
                && row.resolved_by.is_none()
                && row.transfer.expires.is_none_or(|end| UnixTime::now() < end)
        });
        Ok(row.map(|row| row.transfer))
    }

    /// Closes a pad for whoever holds the voucher that paid for it; what is left of its value goes back there.
    pub(super) async fn close_pad(&self, voucher: &Voucher, pad: PadRef) -> Result<Reply, Refusal> {
        let id = PadId::new(pad.0);
        let row = self.store.pad(id).await.map_err(unavailable)?;
        let row = row.filter(|row| row.refund == Some(voucher.account()));
        let row =
            row.ok_or_else(|| Refusal::new(RefusalCode::Denied, "no pad was paid with this voucher"))?;
        if !row.status.is_closed() {
            let place = self.pads.find(id).await?;
            turn(&place).await?.close().await.map_err(refused)?;
        }
        // Nobody uses the buyer's half any more.
        self.pads.delivered(id).await;
        Ok(Reply::Done)
    }

    async fn account_of(&self, pad: &Half) -> Result<Option<AccountId>, PadError> {
        Ok(self.store.pad(pad.id()).await?.and_then(|row| row.account))
    }

    async fn value_of(&self, pad: &Half) -> Result<Amount, PadError> {
        let Some(account) = self.account_of(pad).await? else { return Ok(Amount::ZERO) };
        Ok(self.store.account(account).await?.map_or(Amount::ZERO, |row| row.balance))
    }
}

/// The pad, when it is free. Who waits has proven nothing yet, and may not wait for long.
async fn turn(place: &Mutex<Half>) -> Result<MutexGuard<'_, Half>, Refusal> {
    timeout(WAIT, place.lock()).await.map_err(|_| Refusal::later("the pad is at work", WAIT))
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

/// Names what a quote is for: a service and a request.
fn quoted(service: &str, body: &[u8]) -> [u8; 16] {
    let mut what = Vec::with_capacity(body.len().saturating_add(256));
    // A name that is too long for its prefix reaches no service.
    let _ = put_lp(&mut what, service.as_bytes());
    what.extend_from_slice(body);
    let digest = extract(label::QUOTE, &what);
    digest.expose().first_chunk().copied().unwrap_or_default()
}

fn refusal_of(error: &ServiceError) -> Refusal {
    let code = match error {
        ServiceError::Malformed(_) => RefusalCode::Malformed,
        ServiceError::Unknown(_) | ServiceError::Refused(_) => RefusalCode::Service,
    };
    Refusal::new(code, error)
}

/// What is said outside of the pad, because nothing can be said under it.
pub(super) fn refused(error: PadError) -> Refusal {
    let code = match &error {
        PadError::Malformed => RefusalCode::Malformed,
        PadError::Exhausted { .. } => RefusalCode::Exhausted,
        PadError::NotOpen(status) if status.is_closed() => RefusalCode::Exhausted,
        PadError::NotOpen(PadStatus::RollbackSuspected | PadStatus::WitnessRolledBack) => {
            RefusalCode::Unavailable
        }
        PadError::Unanswered(_) => RefusalCode::Conflict,
        PadError::TooLong => RefusalCode::Service,
        // Whether there is such a pad is told to nobody who cannot write a frame for it.
        PadError::Rejected
        | PadError::OtherLane
        | PadError::Refused(_)
        | PadError::NotProvisioned(_)
        | PadError::Material(MaterialError::NotFound(_)) => {
            return Refusal::new(RefusalCode::Denied, "no such pad, or the frame is not authentic");
        }
        _ => return unavailable(error),
    };
    Refusal::new(code, error)
}

const fn units(amount: Amount) -> Units {
    Units(amount.to_bytes())
}
