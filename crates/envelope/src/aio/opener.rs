use core::fmt;
use core::pin::Pin;
use core::task::{self, Poll, ready};
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use zeroize::Zeroizing;

use crate::context::{Context, Policy};
use crate::error::{HeaderError, OpenError, PayloadError};
use crate::header::HeaderReader;
use crate::open::Open;
use crate::payload::{CHUNK, PayloadOpener, SEALED_CHUNK};

impl Open<'_> {
    /// Opens what is read from `from`. The header is read at once.
    ///
    /// # Errors
    /// That of `from`, or an [`OpenError`] in an [`io::Error`].
    pub async fn reader_async<R: AsyncRead + Unpin>(&self, mut from: R) -> io::Result<AsyncOpener<R>> {
        let mut reader = HeaderReader::new();
        let mut sealed = vec![0; SEALED_CHUNK];
        let (header, rest) = loop {
            let read = from.read(&mut sealed).await?;
            let piece = sealed.get(..read).unwrap_or_default();
            if piece.is_empty() {
                return Err(OpenError::from(HeaderError::Truncated).into());
            }
            if let (consumed, Some(header)) = reader.push(piece).map_err(OpenError::from)? {
                break (header, piece.get(consumed..).unwrap_or_default());
            }
        };
        let (context, mut payload) = self.header(&header)?;
        let mut plain = Zeroizing::new(Vec::with_capacity(CHUNK.saturating_mul(2)));
        let end = payload.push(rest, &mut plain).err().map(Err);
        Ok(AsyncOpener { from, context, payload: Some(payload), sealed, plain, given: 0, end })
    }
}

/// Opens what it reads, asynchronously. Made by [`Open::reader_async`].
///
/// It holds at most four chunks. Every byte that comes out is authentic. Only the end of the stream says that it was all of
/// them; an error before it carries an [`OpenError`] ([`OpenError::from_io`]) and comes again at every further read.
pub struct AsyncOpener<R> {
    from: R,
    context: Option<Context>,
    /// None after the end.
    payload: Option<PayloadOpener>,
    /// Where bytes are read to.
    sealed: Vec<u8>,
    /// Opened, and from `given` on not yet given out.
    plain: Zeroizing<Vec<u8>>,
    given: usize,
    /// What comes when `plain` is given out: the end, or an error.
    end: Option<Result<(), PayloadError>>,
}

impl<R> AsyncOpener<R> {
    /// The context, if there is one.
    #[must_use]
    pub const fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    /// The policy that whoever opens it is asked to honour; [`Policy::NONE`] without a context.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        Policy::of(self.context())
    }
}

impl<R: AsyncRead + Unpin> AsyncOpener<R> {
    /// Reads once, and opens what came.
    fn fill(&mut self, task: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        let mut room = ReadBuf::new(&mut self.sealed);
        ready!(Pin::new(&mut self.from).poll_read(task, &mut room))?;
        self.plain.clear();
        self.given = 0;
        let outcome = match (room.filled(), &mut self.payload) {
            ([], payload) => payload.take().map(|payload| payload.finish(&mut self.plain)),
            (piece, Some(payload)) => payload.push(piece, &mut self.plain).err().map(Err),
            (_, None) => Some(Err(PayloadError::Rejected)),
        };
        self.end = outcome;
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for AsyncOpener<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut task::Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while out.remaining() > 0 {
            if let Some(ready @ [_, ..]) = this.plain.get(this.given..) {
                let piece = ready.get(..ready.len().min(out.remaining())).unwrap_or_default();
                out.put_slice(piece);
                this.given = this.given.saturating_add(piece.len());
                break;
            }
            match this.end {
                None => ready!(this.fill(task))?,
                Some(Ok(())) => break,
                Some(Err(error)) => return Poll::Ready(Err(OpenError::from(error).into())),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<R> fmt::Debug for AsyncOpener<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from: _, context, payload, sealed: _, plain: _, given: _, end } = self;
        write!(f, "AsyncOpener({payload:?}, {context:?}, {end:?})")
    }
}
