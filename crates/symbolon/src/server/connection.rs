//! One session of a server: requests in, answers out, in order.

use alloc::sync::Arc;
use core::time::Duration;
use std::io;

use symbolon_agreement::Source;
use symbolon_agreement::net::{Session, SessionError};
use symbolon_keys::{Id, Secret};
use symbolon_ledger::WitnessLink;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use super::exchange::Exchange;
use super::frames::Witness;
use super::gate::Who;
use super::limits::Limits;
use super::relay::Relay;
use crate::protocol::{
    MAX_MESSAGE, Refusal, RefusalCode, Reply, Request, ToClient, ToServer, decode, encode,
};
use crate::voucher::Voucher;

mod push;
mod transfer;

/// When a client of a source that has its share may try again: sessions end all the time.
const COME_BACK: Duration = Duration::from_secs(10);

pub(super) struct Connection {
    pub(super) exchange: Arc<Exchange>,
    pub(super) session: Session,
    user: Option<Id>,
    witness: Witness,
    /// A session with another process of this server, which has the pad that this client uses.
    pub(super) relay: Option<Relay>,
}

/// Why a session ends early.
pub(super) enum End {
    /// The connection or its authentication failed.
    Session(SessionError),
    /// The client does not follow the protocol, or was refused for good; it has been told.
    Told,
    /// The client was silent for too long.
    Silent,
}

impl From<SessionError> for End {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl Connection {
    pub(super) fn new(exchange: Arc<Exchange>, mut session: Session) -> Self {
        session.set_max_message(MAX_MESSAGE);
        Self { exchange, session, user: None, witness: Witness::default(), relay: None }
    }

    /// Serves the session until its end, or until the server stops: then the request at hand is finished.
    pub(super) async fn serve(mut self, mut stop: watch::Receiver<bool>) {
        let exchange = Arc::clone(&self.exchange);
        let _present = exchange.gate.present();
        let peer = self.session.peer_addr();
        let Limits { idle, piece, .. } = self.exchange.gate.limits;
        let outcome = loop {
            let message = tokio::select! {
                biased;
                () = stopped(&mut stop) => break Ok(()),
                message = timeout(idle, self.session.recv()) => message,
            };
            let step = match message {
                Err(_) => Err(End::Silent),
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(None)) => break Ok(()),
                Ok(Ok(Some(message))) => self.handle(&message, &mut stop).await,
            };
            if let Err(end) = step {
                break Err(end);
            }
        };
        match outcome {
            Err(End::Session(error)) => tracing::debug!(%peer, %error, "session failed"),
            Err(End::Silent) => tracing::debug!(%peer, "session was silent for too long"),
            Ok(()) | Err(End::Told) => {}
        }
        // Whatever the outcome, an orderly end lets the client tell "finished" from "cut off".
        let _ = timeout(piece, self.session.close()).await;
    }

    /// Tells a client that there is no room for it, and ends the session.
    pub(super) async fn turn_away(mut self) {
        let Limits { piece, .. } = self.exchange.gate.limits;
        let refusal = Refusal::later("too many sessions from your address", COME_BACK);
        let _ = self.send(&ToClient::Refused(u64::MAX, refusal)).await;
        let _ = timeout(piece, self.session.close()).await;
    }

    async fn handle(&mut self, message: &[u8], stop: &mut watch::Receiver<bool>) -> Result<(), End> {
        let (number, request) = match decode::<ToServer>(message) {
            Ok(ToServer::Request(number, request)) => (number, request),
            Ok(ToServer::Pong) => return Ok(()),
            Ok(ToServer::Data(number, _) | ToServer::End(number) | ToServer::Witness(number, _)) => {
                let refusal = Refusal::new(RefusalCode::Malformed, "nothing was announced or asked");
                return self.end(number, refusal).await;
            }
            Err(refusal) => return self.end(u64::MAX, refusal).await,
        };
        let (kind, start) = (request.kind(), Instant::now());
        let span = tracing::debug_span!("request", kind, number);
        let served = self.admit(number, request, stop).instrument(span).await;
        metrics::counter!("symbolon_requests_total", "request" => kind).increment(1);
        metrics::histogram!("symbolon_request_seconds", "request" => kind).record(start.elapsed());
        served
    }

    /// Serves a request if there is room for it.
    async fn admit(
        &mut self,
        number: u64,
        request: Request,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), End> {
        let exchange = Arc::clone(&self.exchange);
        let source = Source::from(self.session.peer_addr().ip());
        let turn = match exchange.gate.admit(&request, self.who(), source).await {
            Ok(turn) => turn,
            // A document follows, which nobody reads.
            Err(refusal) if matches!(request, Request::Put(..)) => return self.end(number, refusal).await,
            Err(refusal) => return self.answer(number, Err(refusal)).await,
        };
        match request {
            Request::Subscribe(cursor) => {
                // It lasts, and is no work.
                drop(turn);
                self.push(number, &cursor, stop).await
            }
            request => match self.relay(number, request).await? {
                Some(request) => self.serve_one(number, request, stop).await,
                None => Ok(()),
            },
        }
    }

    async fn serve_one(
        &mut self,
        number: u64,
        request: Request,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), End> {
        match request {
            Request::Frame(frame) => {
                let exchange = Arc::clone(&self.exchange);
                let piece = exchange.gate.limits.piece;
                let mut link = Link { session: &mut self.session, number, piece, broken: false };
                let answer = exchange.frame(&frame, &mut link).await;
                match (link.broken, answer) {
                    // What comes next may be the answer that came too late.
                    (true, Err(refusal)) => self.end(number, refusal).await,
                    (_, answer) => self.answer(number, answer).await,
                }
            }
            Request::Put(record, replaces) => self.put(number, record, replaces, stop).await,
            Request::Get(record) => self.get(number, record).await,
            Request::Process(record, name, instruction, to) => {
                self.process(number, record, (&name, instruction), to).await
            }
            Request::BuyPad(voucher, purchase, bytes) => {
                self.sell(number, Voucher::from(Secret::from(voucher)), purchase, bytes).await
            }
            Request::VerifyProfile(profile) => {
                let verified = match self.user().await {
                    Ok(user) => self.exchange.verify_profile(user, &profile).await,
                    Err(refusal) => Err(refusal),
                };
                match verified {
                    // A7: a mismatch ends the session.
                    Err(refusal) if refusal.code() == RefusalCode::Denied => self.end(number, refusal).await,
                    answer => self.answer(number, answer).await,
                }
            }
            request => {
                let answer = self.simple(request).await;
                self.answer(number, answer).await
            }
        }
    }

    /// Requests with one answer and nothing around it.
    async fn simple(&mut self, request: Request) -> Result<Reply, Refusal> {
        let exchange = &self.exchange;
        match request {
            Request::Login(id) => {
                self.user = Some(exchange.login(id, self.session.peer()).await?);
                Ok(Reply::Done)
            }
            Request::BeginRegistration(id) => exchange.begin_registration(id).await,
            Request::Register(registration) => {
                exchange.register(&registration, self.session.peer_addr().ip().into()).await
            }
            Request::LookUp(ids) => exchange.look_up(&ids.0).await,
            Request::History(id, from) => exchange.history(id, from).await,
            Request::Deposit(message) => exchange.deposit(self.user().await?, message).await,
            Request::Poll(cursor, limit) => exchange.poll(self.user().await?, &cursor, limit).await,
            Request::Acknowledge(sequences) => exchange.acknowledge(self.user().await?, &sequences).await,
            Request::Witness(pad, message) => exchange.attest(&mut self.witness, pad, &message).await,
            Request::ClosePad(voucher, pad) => {
                exchange.close_pad(&Voucher::from(Secret::from(voucher)), pad).await
            }
            Request::KeyParameters(user) => exchange.key_parameters(user).await,
            Request::Grant(record, to) => exchange.grant(record, self.user().await?, to).await,
            Request::Revoke(record, from) => exchange.revoke(record, self.user().await?, from).await,
            Request::VerifyProfile(_)
            | Request::Frame(_)
            | Request::Process(..)
            | Request::Put(..)
            | Request::Get(_)
            | Request::BuyPad(..)
            | Request::Subscribe(_) => Err(Refusal::new(RefusalCode::Malformed, "not a simple request")),
        }
    }

    /// Whether another process of this server is at the other end, for a client of its own.
    pub(super) fn is_process(&self) -> bool {
        self.session.peer() == Some(self.exchange.identity.public().noise_key())
    }

    /// Whose requests these are, for the limits.
    fn who(&self) -> Who {
        if self.is_process() {
            return Who::Process;
        }
        self.user.map_or_else(|| Who::Source(Source::from(self.session.peer_addr().ip())), Who::User)
    }

    /// Who is logged in. A key that was changed since logs nobody in any more.
    async fn user(&self) -> Result<Id, Refusal> {
        let user = self.user.ok_or_else(|| Refusal::new(RefusalCode::NotLoggedIn, "log in first"))?;
        self.exchange.login(user, self.session.peer()).await
    }

    pub(super) async fn answer(&mut self, number: u64, answer: Result<Reply, Refusal>) -> Result<(), End> {
        answer.as_ref().err().inspect(|refusal| count(refusal));
        self.send(&match answer {
            Ok(reply) => ToClient::Reply(number, reply),
            Err(refusal) => ToClient::Refused(number, refusal),
        })
        .await
    }

    /// Refuses, and ends the session.
    async fn end(&mut self, number: u64, refusal: Refusal) -> Result<(), End> {
        count(&refusal);
        self.send(&ToClient::Refused(number, refusal)).await?;
        Err(End::Told)
    }

    pub(super) async fn send(&mut self, message: &ToClient) -> Result<(), End> {
        // A client that does not read must not hold the server.
        let Limits { piece, .. } = self.exchange.gate.limits;
        timeout(piece, self.session.send(&encode(message))).await.map_err(|_| End::Silent)??;
        Ok(())
    }
}

/// The way to the client as the witness of the server's lane, while its frame waits for an answer.
pub(super) struct Link<'a> {
    pub(super) session: &'a mut Session,
    pub(super) number: u64,
    pub(super) piece: Duration,
    /// The witness did not answer, or not in time.
    pub(super) broken: bool,
}

impl WitnessLink for Link<'_> {
    async fn exchange(&mut self, message: Vec<u8>) -> io::Result<Vec<u8>> {
        self.broken = true;
        let asked = async {
            self.session
                .send(&encode(&ToClient::Witness(self.number, message)))
                .await
                .map_err(io::Error::other)?;
            self.session.recv().await.map_err(io::Error::other)
        };
        let answer = timeout(self.piece, asked).await??;
        match decode(&answer.ok_or(io::ErrorKind::UnexpectedEof)?) {
            Ok(ToServer::Witness(number, answer)) if number == self.number => {
                self.broken = false;
                Ok(answer)
            }
            _ => Err(io::Error::other("not the answer of the witness")),
        }
    }
}

fn count(refusal: &Refusal) {
    metrics::counter!("symbolon_refusals_total", "code" => refusal.code().name()).increment(1);
}

/// Waits until the server stops, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await.map(drop);
}
