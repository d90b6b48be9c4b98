use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use symbolon_keys::OsRng;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::error::SealError;
use crate::payload::{CHUNK, PayloadSealer, SEALED_CHUNK};
use crate::seal::Seal;

impl Seal<'_> {
    /// Seals what is written to the returned writer, into `to`. The header is written at once.
    ///
    /// # Errors
    /// That of `to`, or a [`SealError`] in an [`io::Error`].
    pub async fn writer_async<W: AsyncWrite + Unpin>(&self, mut to: W) -> io::Result<AsyncSealer<W>> {
        let (header, payload) = self.begin(&mut OsRng)?;
        to.write_all(&header).await?;
        let sealed = Vec::with_capacity(SEALED_CHUNK.saturating_mul(2));
        Ok(AsyncSealer { to, state: State::Open(payload), sealed, written: 0 })
    }
}

/// Seals what is written to it, asynchronously. Made by [`Seal::writer_async`].
///
/// It holds at most two chunks, and takes no more before the writer below has taken those. Dropped before
/// [`AsyncWriteExt::shutdown`] has returned, it leaves an envelope that whoever opens it sees to be cut short.
#[must_use = "an envelope that is not shut down does not open"]
pub struct AsyncSealer<W> {
    to: W,
    state: State,
    /// Sealed, and from `written` on not yet written.
    sealed: Vec<u8>,
    written: usize,
}

enum State {
    Open(PayloadSealer),
    Finished,
    Failed,
}

impl<W> AsyncSealer<W> {
    /// The writer below. What was not shut down stays cut short.
    pub fn into_inner(self) -> W {
        self.to
    }
}

impl<W: AsyncWrite + Unpin> AsyncSealer<W> {
    /// Writes what is sealed.
    fn drain(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.sealed.get(self.written..) {
            match ready!(Pin::new(&mut self.to).poll_write(task, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.written = self.written.saturating_add(taken),
            }
        }
        self.sealed.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for AsyncSealer<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        plaintext: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.drain(task))?;
        let State::Open(payload) = &mut this.state else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let piece = plaintext.get(..plaintext.len().min(CHUNK)).unwrap_or_default();
        if let Err(error) = payload.push(piece, &mut this.sealed) {
            this.state = State::Failed;
            return Poll::Ready(Err(error.into()));
        }
        Poll::Ready(Ok(piece.len()))
    }

    /// Flushes the writer below. What is not yet a whole chunk stays here: chunks have one size.
    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(task))?;
        Pin::new(&mut self.to).poll_flush(task)
    }

    /// Writes the final chunk, and shuts the writer below down.
    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match mem::replace(&mut this.state, State::Failed) {
            State::Open(payload) => payload.finish(&mut this.sealed)?,
            State::Finished => {}
            State::Failed => return Poll::Ready(Err(SealError::Failed.into())),
        }
        this.state = State::Finished;
        ready!(this.drain(task))?;
        Pin::new(&mut this.to).poll_shutdown(task)
    }
}

impl<W> fmt::Debug for AsyncSealer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to: _, state, sealed, written } = self;
        let pending = sealed.len().saturating_sub(*written);
        match state {
            State::Open(payload) => write!(f, "AsyncSealer({payload:?}, {pending} bytes to write)"),
            State::Finished => write!(f, "AsyncSealer(finished, {pending} bytes to write)"),
            State::Failed => f.write_str("AsyncSealer(failed)"),
        }
    }
}
