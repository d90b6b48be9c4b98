//! One session of a server: requests in, answers out, in order.

use alloc::sync::Arc;
use core::time::Duration;
use std::io;

use symbolon_agreement::net::{Session, SessionError};
use symbolon_envelope::RecordId;
use symbolon_keys::{Id, Secret, UnixTime};
use symbolon_ledger::WitnessLink;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::documents::refused;
use super::exchange::{Exchange, unavailable};
use super::frames::Witness;
use super::mail::{cursor_of, refused_poll};
use crate::protocol::{
    Letter, MAX_CHUNK, MAX_MESSAGE, PurchaseRef, RecordRef, Refusal, RefusalCode, Reply, Request, ToClient,
    ToServer, decode, encode,
};
use crate::voucher::Voucher;

/// How long a session may be silent: long enough for a person to think, short enough to free what it holds.
const IDLE: Duration = Duration::from_secs(300);

/// How long the next piece of a document may take.
const PIECE: Duration = Duration::from_secs(30);

pub(super) struct Connection {
    exchange: Arc<Exchange>,
    session: Session,
    user: Option<Id>,
    witness: Witness,
}

/// Why a session ends early.
enum End {
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
        Self { exchange, session, user: None, witness: Witness::default() }
    }

    /// Serves the session until its end, or until the server stops: then the request at hand is finished.
    pub(super) async fn serve(mut self, mut stop: watch::Receiver<bool>) {
        let peer = self.session.peer_addr();
        let outcome = loop {
            let message = tokio::select! {
                biased;
                () = stopped(&mut stop) => break Ok(()),
                message = timeout(IDLE, self.session.recv()) => message,
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
        let _ = timeout(PIECE, self.session.close()).await;
    }

    /// Tells a client that there is no room for it, and ends the session.
    pub(super) async fn turn_away(mut self) {
        let refusal =
            Refusal::new(RefusalCode::Unavailable, "too many sessions from your address: come back later");
        let _ = self.send(&ToClient::Refused(u64::MAX, refusal)).await;
        let _ = timeout(PIECE, self.session.close()).await;
    }

    async fn handle(&mut self, message: &[u8], stop: &mut watch::Receiver<bool>) -> Result<(), End> {
        let (number, request) = match decode::<ToServer>(message) {
            Ok(ToServer::Request(number, request)) => (number, request),
            Ok(ToServer::Data(number, _) | ToServer::End(number) | ToServer::Witness(number, _)) => {
                let refusal = Refusal::new(RefusalCode::Malformed, "nothing was announced or asked");
                return self.end(number, refusal).await;
            }
            Err(refusal) => return self.end(u64::MAX, refusal).await,
        };
        match request {
            Request::Frame(frame) => {
                let exchange = Arc::clone(&self.exchange);
                let mut link = Link { session: &mut self.session, number };
                let answer = exchange.frame(&frame, &mut link).await;
                self.answer(number, answer).await
            }
            Request::Put(record, replaces) => self.put(number, record, replaces, stop).await,
            Request::Get(record) => self.get(number, record).await,
            Request::Process(record, name, instruction, to) => {
                let exchange = Arc::clone(&self.exchange);
                let result = match self.user().await {
                    Ok(user) => exchange.process(record, user, (&name, instruction), to).await,
                    Err(refusal) => Err(refusal),
                };
                match result {
                    // The turn ends when the result is gone: until then it is in memory.
                    Ok((sealed, _turn)) => self.deliver(number, &sealed).await,
                    Err(refusal) => self.answer(number, Err(refusal)).await,
                }
            }
            Request::BuyPad(voucher, purchase, bytes) => {
                self.sell(number, Voucher::from(Secret::from(voucher)), purchase, bytes).await
            }
            Request::Subscribe(cursor) => self.push(number, &cursor, stop).await,
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

    /// Who is logged in. A key that was changed since logs nobody in any more.
    async fn user(&self) -> Result<Id, Refusal> {
        let user = self.user.ok_or_else(|| Refusal::new(RefusalCode::NotLoggedIn, "log in first"))?;
        self.exchange.login(user, self.session.peer()).await
    }

    async fn put(
        &mut self,
        number: u64,
        record: RecordRef,
        replaces: Option<u64>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), End> {
        let exchange = Arc::clone(&self.exchange);
        let receiving = match self.user().await {
            Ok(user) => exchange.custodian.receive(user).await.map_err(refused),
            Err(refusal) => Err(refusal),
        };
        let receiving = match receiving {
            Ok(receiving) => receiving.record(RecordId::from(record.0)),
            // Nothing of a document is read for somebody who may not store one.
            Err(refusal) => return self.end(number, refusal).await,
        };
        let mut receiving = Ok(match replaces {
            Some(sequence) => receiving.replacing(sequence),
            None => receiving,
        });
        let mut room = exchange.max_document;
        // What was announced is read to its end even when it fails: the client is told once, and in order.
        loop {
            let piece = tokio::select! {
                biased;
                () = stopped(stop) => return Err(End::Silent),
                piece = self.piece(number) => piece?,
            };
            let Some(piece) = piece else { break };
            room = match room.checked_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX)) {
                Some(room) => room,
                None => {
                    return self
                        .end(number, Refusal::new(RefusalCode::Full, "the document is too large"))
                        .await;
                }
            };
            if let Ok(document) = &mut receiving
                && let Err(error) = document.write(&piece).await
            {
                receiving = Err(refused(error));
            }
        }
        let stored = match receiving {
            Ok(receiving) => receiving.finish(UnixTime::now()).await.map_err(refused),
            Err(refusal) => Err(refusal),
        };
        self.answer(number, stored.map(|receipt| Reply::Stored(receipt.sequence))).await
    }

    /// The next piece of the document that request `number` announced; none at its end.
    async fn piece(&mut self, number: u64) -> Result<Option<Vec<u8>>, End> {
        let message = timeout(PIECE, self.session.recv()).await.map_err(|_| End::Silent)??;
        match decode::<ToServer>(&message.ok_or(SessionError::Truncated)?) {
            Ok(ToServer::Data(n, bytes)) if n == number && (1..=MAX_CHUNK).contains(&bytes.len()) => {
                Ok(Some(bytes))
            }
            Ok(ToServer::End(n)) if n == number => Ok(None),
            _ => {
                let refusal =
                    Refusal::new(RefusalCode::Malformed, "expected a piece of the document, or its end");
                self.end(number, refusal).await.map(|()| None)
            }
        }
    }

    async fn get(&mut self, number: u64, record: RecordRef) -> Result<(), End> {
        let exchange = Arc::clone(&self.exchange);
        let delivery = match self.user().await {
            Ok(user) => exchange.deliver(record, user).await,
            Err(refusal) => Err(refusal),
        };
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(refusal) => return self.answer(number, Err(refusal)).await,
        };
        let header_len = u64::try_from(delivery.header.len()).unwrap_or(u64::MAX);
        let len = delivery.payload.len.saturating_add(header_len);
        self.answer(number, Ok(Reply::Follows(len))).await?;
        self.send(&ToClient::Data(number, delivery.header)).await?;
        let mut offset = 0_u64;
        while offset < delivery.payload.len {
            match exchange.custodian.read(&delivery.payload, offset, MAX_CHUNK).await {
                Ok(piece) => {
                    offset = offset.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                    self.send(&ToClient::Data(number, piece)).await?;
                }
                Err(error) => return self.answer(number, Err(refused(error))).await,
            }
        }
        self.send(&ToClient::End(number)).await
    }

    /// Sends an envelope that is in memory.
    async fn deliver(&mut self, number: u64, sealed: &[u8]) -> Result<(), End> {
        self.answer(number, Ok(Reply::Follows(u64::try_from(sealed.len()).unwrap_or(u64::MAX)))).await?;
        for piece in sealed.chunks(MAX_CHUNK) {
            self.send(&ToClient::Data(number, piece.to_vec())).await?;
        }
        self.send(&ToClient::End(number)).await
    }

    async fn sell(
        &mut self,
        number: u64,
        voucher: Voucher,
        purchase: PurchaseRef,
        bytes: u64,
    ) -> Result<(), End> {
        let half = match self.exchange.sell_pad(&voucher, purchase, bytes).await {
            Ok(half) => half,
            Err(refusal) => return self.answer(number, Err(refusal)).await,
        };
        let opened = async {
            let file = File::open(&half).await?;
            let len = file.metadata().await?.len();
            Ok::<_, io::Error>((file, len))
        };
        let (mut file, len) = match opened.await {
            Ok(opened) => opened,
            Err(error) => return self.answer(number, Err(unavailable(error))).await,
        };
        self.answer(number, Ok(Reply::Follows(len))).await?;
        let mut piece = Zeroizing::new(vec![0; MAX_CHUNK]);
        loop {
            match file.read(&mut piece).await {
                Ok(0) => return self.send(&ToClient::End(number)).await,
                Ok(n) => {
                    let bytes = piece.get(..n).unwrap_or_default().to_vec();
                    self.send(&ToClient::Data(number, bytes)).await?;
                }
                Err(error) => return self.answer(number, Err(unavailable(error))).await,
            }
        }
    }

    /// Sends letters as they come (T10). From here on the session is for this alone: the client ends it by closing.
    async fn push(
        &mut self,
        number: u64,
        cursor: &[u8],
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), End> {
        let subscribed = self.user().await.and_then(|user| {
            let cursor = cursor_of(cursor)?;
            self.exchange.mailbox.subscribe(&user, cursor.as_ref()).map_err(refused_poll)
        });
        let mut subscription = match subscribed {
            Ok(subscription) => subscription,
            Err(refusal) => return self.answer(number, Err(refusal)).await,
        };
        self.answer(number, Ok(Reply::Done)).await?;
        loop {
            let next = tokio::select! {
                biased;
                () = stopped(stop) => return Ok(()),
                message = self.session.recv() => match message? {
                    None => return Ok(()),
                    Some(_) => {
                        let refusal = Refusal::new(RefusalCode::Malformed, "this session is for push alone");
                        return self.end(number, refusal).await;
                    }
                },
                next = subscription.next() => next,
            };
            match next {
                Ok(delivery) => {
                    let message = delivery.letter.into_message();
                    self.send(&ToClient::Pushed(Letter { sequence: delivery.sequence, message })).await?;
                }
                Err(error) => return self.answer(number, Err(unavailable(error))).await,
            }
        }
    }

    async fn answer(&mut self, number: u64, answer: Result<Reply, Refusal>) -> Result<(), End> {
        self.send(&match answer {
            Ok(reply) => ToClient::Reply(number, reply),
            Err(refusal) => ToClient::Refused(number, refusal),
        })
        .await
    }

    /// Refuses, and ends the session.
    async fn end(&mut self, number: u64, refusal: Refusal) -> Result<(), End> {
        self.send(&ToClient::Refused(number, refusal)).await?;
        Err(End::Told)
    }

    async fn send(&mut self, message: &ToClient) -> Result<(), End> {
        // A client that does not read must not hold the server.
        timeout(PIECE, self.session.send(&encode(message))).await.map_err(|_| End::Silent)??;
        Ok(())
    }
}

/// The way to the client as the witness of the server's lane, while its frame waits for an answer.
struct Link<'a> {
    session: &'a mut Session,
    number: u64,
}

impl WitnessLink for Link<'_> {
    async fn exchange(&mut self, message: Vec<u8>) -> io::Result<Vec<u8>> {
        let asked = async {
            self.session
                .send(&encode(&ToClient::Witness(self.number, message)))
                .await
                .map_err(io::Error::other)?;
            self.session.recv().await.map_err(io::Error::other)
        };
        let answer = timeout(PIECE, asked).await??;
        match decode(&answer.ok_or(io::ErrorKind::UnexpectedEof)?) {
            Ok(ToServer::Witness(number, answer)) if number == self.number => Ok(answer),
            _ => Err(io::Error::other("not the answer of the witness")),
        }
    }
}

/// Waits until the server stops, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await.map(drop);
}
