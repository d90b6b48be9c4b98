//! One session of a client: a request goes out, its answer comes back.

use core::future::Future;
use core::time::Duration;

use symbolon_agreement::net::{RecvHalf, SendHalf, Session, SessionError};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::ClientError;
use crate::protocol::{MAX_CHUNK, MAX_MESSAGE, Reply, Request, ToClient, ToServer, decode, encode};

/// How long a connection that no longer takes anything is listened to: a server that ends it has said why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a server may take for an answer, for the next piece of one, or to take in what is sent to it: longer than
/// the minute that it gives a service, so that its refusal is heard.
const ANSWER: Duration = Duration::from_secs(90);

/// How long a server that pushes may be silent: it asks every minute whether we are there.
const SILENCE: Duration = Duration::from_secs(300);

/// The session, for one request at a time.
#[derive(Debug)]
pub(crate) struct Link(Mutex<Wire>);

/// The session while one request has it.
#[derive(Debug)]
pub(crate) struct Wire {
    out: SendHalf,
    from: RecvHalf,
    next: u64,
    /// How long each answer may take.
    patience: Duration,
    /// A request was begun and not finished: what comes next belongs to it, and nobody waits for it any more.
    dangling: bool,
    /// The server refused in the middle of a document: it ends the session.
    ended: bool,
}

/// What comes after a request.
pub(crate) enum Asked {
    /// Its answer.
    Reply(Reply),
    /// A message for the witness of a pad; the answer comes after it is answered.
    Witness(Vec<u8>),
}

impl Link {
    pub(crate) fn new(mut session: Session) -> Self {
        session.set_max_message(MAX_MESSAGE);
        let (out, from) = session.split();
        Self(Mutex::new(Wire { out, from, next: 0, patience: ANSWER, dangling: false, ended: false }))
    }

    /// Asks, and waits for the one answer.
    pub(crate) async fn ask(&self, request: Request) -> Result<Reply, ClientError> {
        let mut wire = self.begin().await?;
        let number = wire.request(request).await?;
        let reply = wire.reply(number).await;
        wire.done(reply)
    }

    /// Takes the session for a request with data around it. Whoever takes it calls [`Wire::done`].
    pub(crate) async fn begin(&self) -> Result<MutexGuard<'_, Wire>, ClientError> {
        let mut wire = self.0.lock().await;
        if core::mem::replace(&mut wire.dangling, true) {
            return Err(ClientError::Interrupted);
        }
        Ok(wire)
    }

    pub(crate) async fn set_patience(&self, patience: Duration) {
        self.0.lock().await.patience = patience;
    }

    pub(crate) fn into_wire(self) -> Wire {
        self.0.into_inner()
    }
}

impl Wire {
    pub(crate) async fn request(&mut self, request: Request) -> Result<u64, ClientError> {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.send(&ToServer::Request(number, request)).await?;
        Ok(number)
    }

    /// Sends a piece of the document that request `number` announced. A server that refuses it meanwhile is heard.
    pub(crate) async fn data(&mut self, number: u64, bytes: &[u8]) -> Result<(), ClientError> {
        for piece in bytes.chunks(MAX_CHUNK) {
            let message = Zeroizing::new(encode(&ToServer::Data(number, piece.to_vec())));
            let sent = tokio::select! {
                biased;
                early = self.from.recv() => return Err(self.early(number, early?)),
                sent = within(self.patience, self.out.send(&message)) => sent,
            };
            if let Err(error) = sent {
                return Err(self.last_words(number, error).await);
            }
        }
        Ok(())
    }

    /// Why the server takes nothing more, if it says so.
    async fn last_words(&mut self, number: u64, error: ClientError) -> ClientError {
        match timeout(LAST_WORDS, self.from.recv()).await {
            Ok(Ok(Some(words))) => self.early(number, Some(words)),
            _ => error,
        }
    }

    /// What a message means that comes before the document is complete.
    fn early(&mut self, number: u64, message: Option<Vec<u8>>) -> ClientError {
        self.ended = true;
        match read(message) {
            Ok(ToClient::Refused(n, refusal)) if n == number => ClientError::Refused(refusal),
            Ok(_) => ClientError::Protocol("an answer to half a document"),
            Err(error) => error,
        }
    }

    pub(crate) async fn end(&mut self, number: u64) -> Result<(), ClientError> {
        match self.send(&ToServer::End(number)).await {
            Err(error) => Err(self.last_words(number, error).await),
            sent => sent,
        }
    }

    pub(crate) async fn reply(&mut self, number: u64) -> Result<Reply, ClientError> {
        match self.reply_or_witness(number).await? {
            Asked::Reply(reply) => Ok(reply),
            Asked::Witness(_) => Err(ClientError::Protocol("a message for the witness of a pad")),
        }
    }

    /// The answer to `number`, or what the server must be told before it can answer.
    pub(crate) async fn reply_or_witness(&mut self, number: u64) -> Result<Asked, ClientError> {
        match self.answer().await? {
            ToClient::Reply(n, reply) if n == number => Ok(Asked::Reply(reply)),
            ToClient::Witness(n, message) if n == number => Ok(Asked::Witness(message)),
            ToClient::Refused(n, refusal) if n == number || n == u64::MAX => {
                Err(ClientError::Refused(refusal))
            }
            _ => Err(ClientError::Protocol("an answer to something else")),
        }
    }

    /// Answers a message for the witness of a pad.
    pub(crate) async fn witness(&mut self, number: u64, answer: Vec<u8>) -> Result<(), ClientError> {
        self.send(&ToServer::Witness(number, answer)).await
    }

    /// The next piece of what the answer to `number` announced; none at its end.
    pub(crate) async fn piece(&mut self, number: u64) -> Result<Option<Zeroizing<Vec<u8>>>, ClientError> {
        match self.answer().await? {
            ToClient::Data(n, bytes) if n == number && bytes.len() <= MAX_CHUNK => {
                Ok(Some(Zeroizing::new(bytes)))
            }
            ToClient::End(n) if n == number => Ok(None),
            ToClient::Refused(n, refusal) if n == number => Err(ClientError::Refused(refusal)),
            _ => Err(ClientError::Protocol("not the next piece of the document")),
        }
    }

    async fn send(&mut self, message: &ToServer) -> Result<(), ClientError> {
        let bytes = Zeroizing::new(encode(message));
        within(self.patience, self.out.send(&bytes)).await
    }

    /// The next message, within the deadline.
    async fn answer(&mut self) -> Result<ToClient, ClientError> {
        let message = within(self.patience, self.from.recv()).await?;
        read(message)
    }

    /// The next message to one that listens, as long as the server is there at all.
    pub(crate) async fn pushed(&mut self) -> Result<ToClient, ClientError> {
        loop {
            match read(within(SILENCE, self.from.recv()).await?)? {
                ToClient::Ping => self.send(&ToServer::Pong).await?,
                message => return Ok(message),
            }
        }
    }

    /// The request is finished: what it gave, with the session free for the next if nothing is under way on it.
    pub(crate) fn done<T>(&mut self, outcome: Result<T, ClientError>) -> Result<T, ClientError> {
        // A refusal is an answer. After any other failure nobody knows what the next message belongs to.
        self.dangling = self.ended || !matches!(outcome, Ok(_) | Err(ClientError::Refused(_)));
        outcome
    }

    pub(crate) async fn close(mut self) -> Result<(), ClientError> {
        within(self.patience, self.out.finish()).await?;
        // Closing with unread bytes would reset the connection, and could overtake what was just sent.
        let drain = async { while matches!(self.from.recv().await, Ok(Some(_))) {} };
        let _ = timeout(LAST_WORDS, drain).await;
        Ok(())
    }
}

async fn within<T>(
    patience: Duration,
    step: impl Future<Output = Result<T, SessionError>>,
) -> Result<T, ClientError> {
    Ok(timeout(patience, step).await.map_err(|_| ClientError::TimedOut(patience))??)
}

fn read(message: Option<Vec<u8>>) -> Result<ToClient, ClientError> {
    // It may hold pieces of a pad.
    let message = Zeroizing::new(message.ok_or(ClientError::Closed)?);
    decode(&message).map_err(|_| ClientError::Protocol("a message that does not follow the protocol"))
}

/// An answer that this request does not get.
pub(crate) const fn unexpected<T>(_: &Reply) -> Result<T, ClientError> {
    Err(ClientError::Protocol("an answer of another kind"))
}
