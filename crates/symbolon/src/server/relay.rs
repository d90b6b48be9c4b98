//! Several processes of one server over one database: requests about a pad go to the process that has it (X2).
//!
//! What is relayed is authenticated under the pad, or carries the voucher that paid for it: the process between needs
//! no trust of either end, and adds none.

use core::time::Duration;

use symbolon_agreement::net;
use symbolon_keys::Secret;
use symbolon_ledger::frame::Frame;
use symbolon_ledger::{LedgerStore, PadId, WitnessLink};
use tokio::time::{Instant, timeout};

use super::cluster::Away;
use super::connection::{Connection, End, Link};
use super::exchange::{Exchange, unavailable};
use crate::client::ClientError;
use crate::client::link::{Asked, Link as Uplink, Wire};
use crate::protocol::{Refusal, RefusalCode, Reply, Request, ToClient};
use crate::voucher::Voucher;

/// How long the other process may take to take a session: it is near.
const REACH: Duration = Duration::from_secs(5);

/// How long the other process may take for an answer: longer than it gives a service, and less than a client waits.
const PATIENCE: Duration = Duration::from_secs(75);

/// How long a session with another process is kept for the next request: less than that process lets it be silent.
const IDLE: Duration = Duration::from_secs(120);

/// A session with another process of this server, for one client.
pub(super) struct Relay {
    to: Away,
    wire: Wire,
    used: Instant,
}

impl Relay {
    /// Whether it leads there, and still does.
    fn is_to(&self, away: Away) -> bool {
        self.to == away && self.used.elapsed() < IDLE
    }
}

/// Which of the two sessions failed.
enum Broken {
    Client(End),
    Process(ClientError),
}

impl From<End> for Broken {
    fn from(end: End) -> Self {
        Self::Client(end)
    }
}

impl From<ClientError> for Broken {
    fn from(error: ClientError) -> Self {
        Self::Process(error)
    }
}

impl Exchange {
    /// Where to take a request, if it is about a pad that another process of this server may have: first to the one that
    /// leased it, then, where its file is not here, to the others: one that was started anew has another name, and its
    /// pads still.
    async fn whereabouts(&self, request: &Request) -> Result<Vec<Away>, Refusal> {
        let Some(cluster) = &self.cluster else { return Ok(Vec::new()) };
        let Some(pad) = self.pad_of(request).await?.filter(|pad| !self.pads.has(*pad)) else {
            return Ok(Vec::new());
        };
        let Some(row) = LedgerStore::pad(&self.store, pad).await.map_err(unavailable)? else {
            return Ok(Vec::new());
        };
        let mut others = cluster.others().await.map_err(unavailable)?;
        others.sort_by_key(|other| Some(other.process) != row.lease.owner);
        if self.pads.folder().path(pad).exists() {
            others.retain(|other| Some(other.process) == row.lease.owner);
        }
        Ok(others)
    }

    async fn pad_of(&self, request: &Request) -> Result<Option<PadId>, Refusal> {
        Ok(match request {
            Request::Frame(frame) => Frame::parse(frame).ok().map(|frame| frame.header().lane.pad),
            Request::Witness(pad, _) | Request::ClosePad(_, pad) => Some(PadId::new(pad.0)),
            Request::BuyPad(voucher, purchase, _) => {
                self.sold(&Voucher::from(Secret::from(*voucher)), *purchase).await?
            }
            _ => None,
        })
    }
}

impl Connection {
    /// Takes a request to the process that has its pad, if that is another one, and brings the answer back. Gives the
    /// request back if it is to be answered here.
    ///
    /// A failure on the way is no answer, and the same bytes are asked elsewhere: whoever has the pad gives one answer to
    /// them, however often they come.
    pub(super) async fn relay(&mut self, number: u64, request: Request) -> Result<Option<Request>, End> {
        // What another process brings is not taken further.
        if self.is_process() {
            return Ok(Some(request));
        }
        let others = match self.exchange.whereabouts(&request).await {
            Ok(others) => others,
            Err(refusal) => return self.answer(number, Err(refusal)).await.map(|()| None),
        };
        let mut unavailable = None;
        for away in others {
            let mut kept = self.relay.take().filter(|relay| relay.is_to(away));
            loop {
                let stale = kept.is_some();
                let relay = match kept.take() {
                    Some(relay) => relay,
                    None => match self.exchange.reach(away).await {
                        Ok(wire) => Relay { to: away, wire, used: Instant::now() },
                        // It may be gone, and its last word still fresh. If it is not, its lock on the pad says so.
                        Err(error) => {
                            tracing::warn!(process = %away.process, addr = %away.addr, %error, "not reached");
                            break;
                        }
                    },
                };
                match self.relayed(number, request.clone(), relay).await {
                    Ok(()) => return Ok(None),
                    Err(Broken::Client(end)) => return Err(end),
                    Err(Broken::Process(ClientError::Refused(refusal))) => {
                        // The owner's word comes first.
                        unavailable.get_or_insert(refusal);
                        break;
                    }
                    // Asked again, whoever has the pad by then gives the answer that was given, or the first.
                    Err(Broken::Process(error)) => {
                        tracing::debug!(process = %away.process, addr = %away.addr, %error, "not relayed");
                        if !stale {
                            break;
                        }
                    }
                }
            }
        }
        match unavailable {
            Some(refusal) => self.answer(number, Err(refusal)).await.map(|()| None),
            None => Ok(Some(request)),
        }
    }

    /// The whole of one request there, and of its answer here. A process that does not have the pad refuses, and
    /// nothing is told to the client yet.
    async fn relayed(&mut self, number: u64, request: Request, mut relay: Relay) -> Result<(), Broken> {
        let there = relay.wire.request(request).await?;
        let reply = loop {
            match relay.wire.reply_or_witness(there).await {
                Ok(Asked::Reply(reply)) => break Ok(reply),
                Ok(Asked::Witness(message)) => {
                    let piece = self.exchange.gate.limits.piece;
                    let mut client = Link { session: &mut self.session, number, piece, broken: false };
                    let answer = client.exchange(message).await.map_err(|_| End::Silent)?;
                    relay.wire.witness(there, answer).await?;
                }
                Err(ClientError::Refused(refusal)) if refusal.code() == RefusalCode::Unavailable => {
                    return Err(ClientError::Refused(refusal).into());
                }
                Err(ClientError::Refused(refusal)) => break Err(refusal),
                Err(error) => return Err(error.into()),
            }
        };
        let follows = matches!(reply, Ok(Reply::Follows(_)));
        self.answer(number, reply).await?;
        if !follows || self.pass(number, &mut relay.wire, there).await? {
            relay.used = Instant::now();
            self.relay = Some(relay);
        }
        Ok(())
    }

    /// What the answer announced, piece by piece; whether it came to its end.
    async fn pass(&mut self, number: u64, wire: &mut Wire, there: u64) -> Result<bool, End> {
        loop {
            match wire.piece(there).await {
                Ok(Some(piece)) => self.send(&ToClient::Data(number, piece.to_vec())).await?,
                Ok(None) => return self.send(&ToClient::End(number)).await.map(|()| true),
                Err(error) => {
                    tracing::warn!(%error, "not relayed to the end");
                    let why = "the process of the server that has this pad broke off: ask again";
                    let refusal = Refusal::new(RefusalCode::Unavailable, why);
                    return self.answer(number, Err(refusal)).await.map(|()| false);
                }
            }
        }
    }
}

impl Exchange {
    /// A session with another process of this server: both hold the server's identity.
    async fn reach(&self, away: Away) -> Result<Wire, ClientError> {
        let (mine, ours) = (self.identity.noise_key(), *self.identity.public().noise_key());
        let reached = net::connect(away.addr, &mine, ours);
        let session = timeout(REACH, reached).await.map_err(|_| ClientError::TimedOut(REACH))??;
        let link = Uplink::new(session);
        link.set_patience(PATIENCE).await;
        Ok(link.into_wire())
    }
}
