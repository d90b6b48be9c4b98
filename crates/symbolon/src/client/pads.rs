//! Services under a pad (L10, L14): each request and each answer a frame, value and pad going down together.

use alloc::sync::Arc;
use core::fmt;
use std::io;

use symbolon_ledger::witness::WitnessSession;
use symbolon_ledger::{Amount, LedgerStore, Pad, PadHalf, PadId, Remaining, WitnessLink};
use tokio::sync::Mutex;

use super::link::{Asked, Link, unexpected};
use super::{Client, ClientError};
use crate::protocol::{
    PadRef, PadReply, PadRequest, QuoteRef, Refusal, RefusalCode, Reply, Request, Units, decode, encode,
};
use crate::service::{Ask, ServiceError};

impl Client {
    /// Sends a frame under a pad and gets the frame that answers it, as they are. [`PadClient`] does more.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the frame is not authentic, or there is no such pad; nothing was burnt then.
    pub async fn frame(&self, frame: &[u8]) -> Result<Vec<u8>, ClientError> {
        match self.link.ask(Request::Frame(frame.to_vec())).await? {
            Reply::Frame(answer) => Ok(answer),
            other => unexpected(&other),
        }
    }

    /// Uses `pad` over this session: whichever user is logged in, or nobody. The server knows the pad alone (L17).
    #[must_use]
    pub fn with_pad<S, H>(&self, pad: Pad<S, H>) -> PadClient<S, H> {
        PadClient { link: Arc::clone(&self.link), pad }
    }
}

/// A client under a pad.
///
/// A request whose answer was lost is asked again with the same bytes, and gets the same answer: nothing is charged
/// twice, and no byte of the pad serves twice.
#[derive(Debug)]
pub struct PadClient<S, H> {
    link: Arc<Link>,
    pad: Pad<S, H>,
}

/// What a service will cost at most. That much is set aside at the server for five minutes.
///
/// It lives in this process alone. If it is lost, what was set aside lapses, and nothing is charged; unless it was
/// performed at the server already: then its fee is charged, once, and its answer is lost with the quote.
#[must_use = "what is set aside is used by `perform`"]
pub struct Quote<A> {
    ask: A,
    id: QuoteRef,
    price: Amount,
    asked: Mutex<Performance>,
}

/// How far the performance of a quote has come.
enum Performance {
    NotAsked,
    /// The sealed request: repeated as it is, never sealed again.
    Sealed(Vec<u8>),
    /// The service's answer, its fee, and the value that was left.
    Answered(Vec<u8>, Amount, Amount),
    /// The server refused under the pad, once and for all.
    Refused(Refusal),
}

/// A service that was performed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer<T> {
    /// The service's answer.
    pub answer: T,
    /// What it cost.
    pub fee: Amount,
    /// The value that is left.
    pub left: Amount,
}

impl<A> Quote<A> {
    /// The most that the service will cost.
    pub const fn price(&self) -> Amount {
        self.price
    }
}

impl<S: LedgerStore, H: PadHalf> PadClient<S, H> {
    /// Asks what a service will cost.
    ///
    /// # Errors
    /// [`PadError::Refused`] with [`Exhausted`](crate::RefusalCode::Exhausted) if the value does not reach that far;
    /// [`PadError::Pad`] if this end of the pad has no room left.
    pub async fn quote<A: Ask>(&self, ask: A) -> Result<Quote<A>, PadError> {
        let frame = self.seal(&PadRequest::Quote(A::SERVICE.into(), ask.request())).await?;
        match self.exchange(&frame).await? {
            PadReply::Quoted(id, price) => {
                Ok(Quote { ask, id, price: amount(price), asked: Mutex::new(Performance::NotAsked) })
            }
            other => Err(other.into()),
        }
    }

    /// Has the service performed. Safe to repeat with the same quote, also over another session: what was answered or
    /// refused once is the same every time.
    ///
    /// # Errors
    /// [`PadError::Refused`] if the service refuses or the quote has lapsed: then nothing was charged, and what was set
    /// aside is free again.
    pub async fn perform<A: Ask>(&self, quote: &Quote<A>) -> Result<Answer<A::Answer>, PadError> {
        let mut asked = quote.asked.lock().await;
        let mut again = true;
        loop {
            let frame = match &*asked {
                Performance::Answered(answer, fee, left) => {
                    let answer = quote.ask.answer(answer).map_err(PadError::Service)?;
                    return Ok(Answer { answer, fee: *fee, left: *left });
                }
                Performance::Refused(refusal) => return Err(PadError::Refused(refusal.clone())),
                Performance::Sealed(frame) => frame,
                Performance::NotAsked => {
                    let request = PadRequest::Perform(A::SERVICE.into(), quote.ask.request(), quote.id);
                    *asked = Performance::Sealed(self.seal(&request).await?);
                    continue;
                }
            };
            match self.exchange(frame).await {
                Ok(PadReply::Performed(answer, fee, left)) => {
                    *asked = Performance::Answered(answer, amount(fee), amount(left));
                }
                Ok(PadReply::Refused(refusal)) => *asked = Performance::Refused(refusal),
                Ok(other) => return Err(other.into()),
                // The server received it and died before it answered: nothing was charged, and it wants a new frame.
                Err(PadError::Client(ClientError::Refused(refusal)))
                    if again && refusal.code() == RefusalCode::Conflict =>
                {
                    again = false;
                    *asked = Performance::NotAsked;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The value that is left at the server.
    ///
    /// # Errors
    /// As for [`Self::quote`].
    pub async fn balance(&self) -> Result<Amount, PadError> {
        let frame = self.seal(&PadRequest::Balance).await?;
        match self.exchange(&frame).await? {
            PadReply::Balance(value, ..) => Ok(amount(value)),
            other => Err(other.into()),
        }
    }

    /// The name of the pad: all that the server knows of its holder.
    #[must_use]
    pub fn id(&self) -> PadId {
        self.pad.id()
    }

    /// What is left of the pad at this end.
    #[must_use]
    pub fn remaining(&self) -> Remaining {
        self.pad.remaining()
    }

    /// The pad, for use over another session.
    #[must_use]
    pub fn into_pad(self) -> Pad<S, H> {
        self.pad
    }

    async fn seal(&self, request: &PadRequest) -> Result<Vec<u8>, PadError> {
        let request = encode(request);
        match self.pad.seal(&request).commit().await {
            Err(symbolon_ledger::PadError::Unwitnessed) => {
                let cost = self.pad.header().mode.cost(request.len());
                let cost = cost.map_err(|_| symbolon_ledger::PadError::TooLong)?;
                self.pad.secure(&mut Witness { link: &self.link, pad: self.id() }, cost).await?;
                Ok(self.pad.seal(&request).commit().await?)
            }
            sealed => Ok(sealed?),
        }
    }

    /// Sends a frame and opens its answer. In between the server may ask this end to witness its lane.
    async fn exchange(&self, frame: &[u8]) -> Result<PadReply, PadError> {
        let mut wire = self.link.begin().await?;
        let answered = async {
            let number = wire.request(Request::Frame(frame.to_vec())).await?;
            let mut session = WitnessSession::new();
            loop {
                match wire.reply_or_witness(number).await? {
                    Asked::Reply(Reply::Frame(frame)) => return Ok(frame),
                    Asked::Reply(other) => return Ok(unexpected(&other)?),
                    Asked::Witness(message) => {
                        let answer = self.pad.attest(&mut session, &message).await?;
                        wire.witness(number, answer).await?;
                    }
                }
            }
        }
        .await;
        let reply = match answered {
            Ok(frame) => wire.done(Ok(frame))?,
            Err(PadError::Client(error)) => wire.done(Err(error))?,
            Err(error) => {
                drop(wire.done::<()>(Err(ClientError::Interrupted)));
                return Err(error);
            }
        };
        drop(wire);
        let message = self.pad.open(&reply).await?;
        Ok(decode(&message).map_err(ClientError::Refused)?)
    }
}

/// The way to the server as the witness of the client's lane.
struct Witness<'a> {
    link: &'a Link,
    pad: PadId,
}

impl WitnessLink for Witness<'_> {
    async fn exchange(&mut self, message: Vec<u8>) -> io::Result<Vec<u8>> {
        let request = Request::Witness(PadRef(*self.pad.as_bytes()), message);
        match self.link.ask(request).await.map_err(io::Error::other)? {
            Reply::Witness(answer) => Ok(answer),
            _ => Err(io::Error::other("not the answer of a witness")),
        }
    }
}

fn amount(units: Units) -> Amount {
    Amount::from_bytes(units.0)
}

/// Why a request under a pad failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum PadError {
    /// This end of the pad: exhausted, halted, or its ledger failed.
    Pad(symbolon_ledger::PadError),
    /// The session, or a refusal outside of the pad.
    Client(ClientError),
    /// Refused under the pad; nothing was charged.
    Refused(Refusal),
    /// The answer is not one of the service.
    Service(ServiceError),
}

impl PadError {
    /// The server's refusal, whichever way it came: under the pad, outside of it, or instead of witnessing a reservation.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::Client(ClientError::Refused(refusal)) => Some(refusal),
            Self::Pad(symbolon_ledger::PadError::Link(error)) => match error.get_ref()?.downcast_ref()? {
                ClientError::Refused(refusal) => Some(refusal),
                _ => None,
            },
            _ => None,
        }
    }
}

impl From<PadReply> for PadError {
    fn from(reply: PadReply) -> Self {
        match reply {
            PadReply::Refused(refusal) => Self::Refused(refusal),
            _ => Self::Client(ClientError::Protocol("an answer of another kind, under the pad")),
        }
    }
}

impl From<symbolon_ledger::PadError> for PadError {
    fn from(error: symbolon_ledger::PadError) -> Self {
        Self::Pad(error)
    }
}

impl From<ClientError> for PadError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl fmt::Display for PadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pad(error) => error.fmt(f),
            Self::Client(error) => error.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Service(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PadError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Pad(error) => Some(error),
            Self::Client(error) => Some(error),
            Self::Refused(refusal) => Some(refusal),
            Self::Service(error) => Some(error),
        }
    }
}

impl<A> fmt::Debug for Quote<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ask: _, id: _, price, asked: _ } = self;
        write!(f, "Quote({price})")
    }
}
