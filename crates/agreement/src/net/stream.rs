use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::error::SessionError;
use super::session::{RecvHalf, SendHalf, Session};
use crate::frame::Kind;
use crate::record::Opened;

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
        let (send, mut recv) = self.split();
        // Parts of a message that nobody has received in full are the stream's first bytes.
        let opened = core::mem::take(&mut recv.message);
        SessionStream { send, recv, opened, read: 0 }
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
            match self.recv.opener.open(body)? {
                Opened::Last(data) | Opened::Part(data) if !data.is_empty() => {
                    self.opened.clear();
                    self.opened.extend_from_slice(data);
                    self.read = 0;
                    return Poll::Ready(Ok(true));
                }
                Opened::Rekeyed => self.recv.shared.tell_rekeyed(),
                _ => {}
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
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let send = &mut self.send;
        send.check().map_err(to_io)?;
        // One record at a time is kept: whoever writes faster than the network waits here.
        ready!(send.poll_write_out(cx))?;
        let taken = send.seal(|sealer, now, out| sealer.seal_some(bufs, now, out)).map_err(to_io)?;
        // What cannot be written now is written with the next call; the bytes have been taken either way.
        match send.poll_write_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send.poll_write_out(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let send = &mut self.send;
        send.end().map_err(to_io)?;
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
