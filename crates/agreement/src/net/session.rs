//! A session on its connection.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{self, Poll, ready};
use core::time::Duration;
use std::io::{self, IoSlice};

use symbolon_keys::wire::TooLong;
use symbolon_keys::{Label, NoisePublicKey, Secret, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::clock::Clock;
use super::connection::Connection;
use super::error::SessionError;
use crate::established::{Context, Established};
use crate::frame::{Deframer, Kind};
use crate::record::{MAX_RECORD_LEN, MAX_SESSION_MESSAGE_LEN, Opened, Opener, RecordError, Rekey, Sealer};

/// A session with the other end of an agreement: messages in both directions, and a proven end.
#[derive(Debug)]
pub struct Session {
    send: SendHalf,
    recv: RecvHalf,
}

/// What both halves know.
#[derive(Debug)]
pub(super) struct Shared {
    context: Context,
    clock: Clock,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Shared {
    pub(super) fn tell_rekeyed(&self) {
        tracing::debug!(peer = %self.remote, "the other end rekeyed");
    }
}

/// How long [`Session::close`] waits for the other end to end as well.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// Records are gathered up to here before they are written.
const WRITE_AT: usize = 128 * 1024;

impl Session {
    pub(super) fn new(connection: Connection, established: Established, clock: Clock) -> io::Result<Self> {
        let Connection { stream, deframer } = connection;
        let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
        let (sealer, opener, context) = established.into_session(clock.now());
        let shared = Arc::new(Shared { context, clock, local, remote });
        let (read, write) = stream.into_split();
        let send = SendHalf {
            io: write,
            sealer,
            out: Vec::new(),
            written: 0,
            interrupted: false,
            shared: Arc::clone(&shared),
        };
        Ok(Self { send, recv: RecvHalf { io: read, opener, deframer, message: Vec::new(), shared } })
    }

    /// Sends one message of at most 16 MiB. See [`SendHalf::send`].
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn send(&mut self, message: &[u8]) -> Result<(), SessionError> {
        self.send.send(message).await
    }

    /// Sends one message that lies in several places. See [`SendHalf::send_vectored`].
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn send_vectored(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SessionError> {
        self.send.send_vectored(parts).await
    }

    /// The next message; none when the other end has ended its stream. See [`RecvHalf::recv`].
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, SessionError> {
        self.recv.recv().await
    }

    /// As [`Self::recv`], into a buffer of the caller's. See [`RecvHalf::recv_into`].
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn recv_into(&mut self, message: &mut Vec<u8>) -> Result<bool, SessionError> {
        self.recv.recv_into(message).await
    }

    /// Ends this end's stream, waits a little for the other's end, and closes the connection.
    ///
    /// # Errors
    /// [`SessionError`] if the end cannot be sent.
    pub async fn close(mut self) -> Result<(), SessionError> {
        self.send.finish().await?;
        // Closing with unread bytes would reset the connection, and could overtake what was just sent.
        let drain = async {
            let mut message = Vec::new();
            while matches!(self.recv.recv_into(&mut message).await, Ok(true)) {}
        };
        let _ = timeout(CLOSE_DEADLINE, drain).await;
        Ok(())
    }

    /// Sends the authenticated end; messages can still be received. See [`SendHalf::finish`].
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn finish(&mut self) -> Result<(), SessionError> {
        self.send.finish().await
    }

    /// The two directions, for two tasks.
    #[must_use]
    pub fn split(self) -> (SendHalf, RecvHalf) {
        (self.send, self.recv)
    }

    /// Changes when the sending direction takes new keys.
    pub const fn set_rekey(&mut self, policy: Rekey) {
        self.send.sealer.set_rekey(policy);
    }

    /// Refuses messages longer than `len`, at most 16 MiB: what this end is willing to hold in memory for the other.
    pub fn set_max_message(&mut self, len: usize) {
        self.recv.opener.set_max_message(len);
    }

    /// The proven static key of the other end; none for an initiator without one.
    #[must_use]
    pub fn peer(&self) -> Option<&NoisePublicKey> {
        self.context().peer()
    }

    /// What is known about the session: suite, role, the responder's application data and its level.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.send.shared.context
    }

    /// The hash of the handshake, the same on both ends, for channel binding. It is no secret.
    #[must_use]
    pub fn handshake_hash(&self) -> &[u8; 32] {
        self.context().handshake_hash()
    }

    /// `N` bytes that only the two ends know, for `label` and `context`.
    ///
    /// # Errors
    /// [`TooLong`] if `context` has more than 65,535 bytes.
    pub fn export<const N: usize>(&self, label: Label, context: &[u8]) -> Result<Secret<N>, TooLong> {
        self.context().export(label, context)
    }

    /// This end's port: at the responder, the assigned one.
    #[must_use]
    pub fn local_port(&self) -> u16 {
        self.send.shared.local.port()
    }

    /// This end's address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.send.shared.local
    }

    /// The other end's address: at the initiator, with the assigned port.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.send.shared.remote
    }
}

/// The sending direction of a session.
#[derive(Debug)]
pub struct SendHalf {
    pub(super) io: OwnedWriteHalf,
    sealer: Sealer,
    /// Sealed records, of which `written` bytes have been written.
    out: Vec<u8>,
    written: usize,
    interrupted: bool,
    shared: Arc<Shared>,
}

impl SendHalf {
    /// Sends one message of at most 16 MiB.
    ///
    /// If the future is dropped, a message that fits one record ([`MAX_RECORD_LEN`]) has been queued in full or not at
    /// all, and the next call goes on; a longer one is lost, and the session with it ([`SessionError::Interrupted`]).
    ///
    /// # Errors
    /// [`SessionError`]; with [`RecordError::TooLong`] in it, nothing was sent.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), SessionError> {
        self.send_vectored(&[IoSlice::new(message)]).await
    }

    /// Sends one message that lies in several places, a header and a body, say: as [`Self::send`] of them joined, without
    /// joining them first.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_vectored(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SessionError> {
        let len = parts.iter().fold(0, |len: usize, part| len.saturating_add(part.len()));
        if len > MAX_SESSION_MESSAGE_LEN {
            return Err(RecordError::TooLong.into());
        }
        self.check()?;
        self.flush().await?;
        self.interrupted = len > MAX_RECORD_LEN;
        let mut sealed = Some(0);
        while let Some(before) = sealed {
            sealed = self.seal(|sealer, now, out| sealer.seal_parts(parts, before, now, out))?;
            if self.out.len() >= WRITE_AT {
                self.flush().await?;
            }
        }
        self.interrupted = false;
        self.flush().await
    }

    /// Takes a new key for everything that follows, now.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn rekey(&mut self) -> Result<(), SessionError> {
        self.seal(|sealer, now, out| sealer.rekey(now, out))?;
        self.flush().await
    }

    /// Sends the authenticated end and closes this direction.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn finish(&mut self) -> Result<(), SessionError> {
        self.end()?;
        self.flush().await?;
        Ok(self.io.shutdown().await?)
    }

    /// Changes when new keys are taken.
    pub const fn set_rekey(&mut self, policy: Rekey) {
        self.sealer.set_rekey(policy);
    }

    /// What is known about the session.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.shared.context
    }

    /// Whether anything can follow what was sent: not within a message of which a part is missing.
    pub(super) const fn check(&self) -> Result<(), SessionError> {
        if self.interrupted { Err(SessionError::Interrupted) } else { Ok(()) }
    }

    /// Queues what `seal` makes, and tells of a new key if it took one.
    pub(super) fn seal<T>(
        &mut self,
        seal: impl FnOnce(&mut Sealer, UnixTime, &mut Vec<u8>) -> Result<T, RecordError>,
    ) -> Result<T, SessionError> {
        let key = self.sealer.key_began();
        let sealed = seal(&mut self.sealer, self.shared.clock.now(), &mut self.out);
        if self.sealer.key_began() != key {
            tracing::debug!(peer = %self.shared.remote, "rekeyed");
        }
        Ok(sealed?)
    }

    /// Queues the authenticated end, once.
    pub(super) fn end(&mut self) -> Result<(), SessionError> {
        self.check()?;
        if self.sealer.is_ended() { Ok(()) } else { self.seal(|sealer, _, out| sealer.end(out)) }
    }

    /// Writes what is queued. Where it is dropped, the next call goes on.
    async fn flush(&mut self) -> Result<(), SessionError> {
        Ok(poll_fn(|cx| self.poll_write_out(cx)).await?)
    }

    pub(super) fn poll_write_out(&mut self, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written = self.written.saturating_add(n),
            }
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// The receiving direction of a session.
#[derive(Debug)]
pub struct RecvHalf {
    pub(super) io: OwnedReadHalf,
    pub(super) opener: Opener,
    pub(super) deframer: Deframer,
    /// The parts so far of a message that spans records.
    pub(super) message: Vec<u8>,
    pub(super) shared: Arc<Shared>,
}

impl RecvHalf {
    /// The next message; none when the other end has ended its stream. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// [`SessionError::Truncated`] if the connection ends without that; [`SessionError`].
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, SessionError> {
        let mut message = Vec::new();
        Ok(self.recv_into(&mut message).await?.then_some(message))
    }

    /// As [`Self::recv`], into a buffer of the caller's, which keeps its memory: false when the stream has ended.
    ///
    /// # Errors
    /// As [`Self::recv`].
    pub async fn recv_into(&mut self, message: &mut Vec<u8>) -> Result<bool, SessionError> {
        message.clear();
        while !self.opener.is_ended() {
            let Some((_, body)) = self.deframer.next(&[Kind::Record])? else {
                if self.io.read_buf(self.deframer.spare()).await? == 0 {
                    return Err(SessionError::Truncated);
                }
                continue;
            };
            match self.opener.open(body)? {
                Opened::Last(data) if self.message.is_empty() => {
                    message.extend_from_slice(data);
                    return Ok(true);
                }
                Opened::Last(data) => {
                    self.message.extend_from_slice(data);
                    core::mem::swap(message, &mut self.message);
                    return Ok(true);
                }
                Opened::Part(data) => self.message.extend_from_slice(data),
                Opened::Rekeyed => self.shared.tell_rekeyed(),
                Opened::End => {}
            }
        }
        Ok(false)
    }

    /// What is known about the session.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.shared.context
    }
}
