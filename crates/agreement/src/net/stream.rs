use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::error::SessionError;
use super::session::{RecvHalf, SendHalf, Session};
use crate::frame::Kind;
use crate::record::{MAX_RECORD_LEN, Opened};

/// A session as a stream of bytes, for code that reads and writes. Message boundaries are not kept.
///
/// End it with [`shutdown`](tokio::io::AsyncWriteExt::shutdown); the other end then reads an end of file. A stream that
/// was cut reads as [`io::ErrorKind::UnexpectedEof`], a changed one as [`io::ErrorKind::InvalidData`].
#[derive(Debug)]
pub struct SessionStream {
    send: SendHalf,
    recv: RecvHalf,
    /// What has been opened and not been read, from `read` on.
    opened: Vec<u8>,
    read: usize,
}

impl Session {
    /// The session as a stream of bytes.
    #[must_use]
    pub fn into_stream(self) -> SessionStream {
        let (send, recv) = self.split();
        SessionStream { send, recv, opened: Vec::new(), read: 0 }
    }
}

impl SessionStream {
    /// What is known about the session.
    #[must_use]
    pub fn context(&self) -> &crate::Context {
        self.send.context()
    }

    /// Opens records until one has bytes; false at the end of the stream.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, SessionError>> {
        while !self.recv.opener.is_ended() {
            let Some((_, body)) = self.recv.deframer.next(&[Kind::Record])? else {
                let read = pin!(self.recv.io.read_buf(self.recv.deframer.spare())).poll(cx);
                if ready!(read)? == 0 {
                    return Poll::Ready(Err(SessionError::Truncated));
                }
                continue;
            };
            if let Opened::Last(data) | Opened::Part(data) = self.recv.opener.open(body)?
                && !data.is_empty()
            {
                self.opened.clear();
                self.opened.extend_from_slice(data);
                self.read = 0;
                return Poll::Ready(Ok(true));
            }
        }
        Poll::Ready(Ok(false))
    }
}

impl AsyncRead for SessionStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.read >= this.opened.len() && !ready!(this.poll_open(cx)).map_err(to_io)? {
            return Poll::Ready(Ok(()));
        }
        let waiting = this.opened.get(this.read..).unwrap_or_default();
        let n = waiting.len().min(buf.remaining());
        buf.put_slice(waiting.get(..n).unwrap_or_default());
        this.read = this.read.saturating_add(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SessionStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let send = &mut self.send;
        // One record at a time is kept: whoever writes faster than the network waits here.
        ready!(send.poll_write_out(cx))?;
        let part = buf.get(..buf.len().min(MAX_RECORD_LEN)).unwrap_or_default();
        let now = send.shared.clock.now();
        send.sealer.seal(part, now, &mut send.out).map_err(|error| to_io(error.into()))?;
        // What cannot be written now is written with the next call; the bytes have been taken either way.
        match send.poll_write_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(part.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send.poll_write_out(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let send = &mut self.send;
        if !send.sealer.is_ended() {
            send.sealer.end(&mut send.out).map_err(|error| to_io(error.into()))?;
        }
        ready!(send.poll_write_out(cx))?;
        Pin::new(&mut send.io).poll_shutdown(cx)
    }
}

fn to_io(error: SessionError) -> io::Error {
    match error {
        SessionError::Io(error) => error,
        SessionError::Truncated => io::Error::new(io::ErrorKind::UnexpectedEof, error),
        _ => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}
