//! Envelopes between asynchronous readers and writers, with tokio's traits and none of its runtime.

use std::io;

use symbolon_keys::OsRng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::OpenError;
use crate::open::Open;
use crate::payload::{CHUNK, SEALED_CHUNK};
use crate::seal::Seal;

mod opener;
mod sealer;

pub use opener::AsyncOpener;
pub use sealer::AsyncSealer;

impl Seal<'_> {
    /// Seals what comes from `from` into `to`, and flushes. Gives the bytes of plaintext.
    ///
    /// Dropped before its end, it leaves an envelope that whoever opens it sees to be cut short.
    ///
    /// # Errors
    /// Those of `from` and `to`, or a [`SealError`](crate::SealError) in an [`io::Error`].
    pub async fn copy_async<R, W>(&self, from: &mut R, to: &mut W) -> io::Result<u64>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        let (header, mut payload) = self.begin(&mut OsRng)?;
        to.write_all(&header).await?;
        let mut plain = Zeroizing::new(vec![0; CHUNK]);
        let (mut sealed, mut taken) = (Vec::with_capacity(SEALED_CHUNK.saturating_mul(2)), 0_u64);
        loop {
            let read = from.read(&mut plain).await?;
            taken = taken.saturating_add(read as u64);
            if read == 0 {
                break;
            }
            payload.push(plain.get(..read).unwrap_or_default(), &mut sealed)?;
            to.write_all(&sealed).await?;
            sealed.clear();
        }
        payload.finish(&mut sealed)?;
        to.write_all(&sealed).await?;
        to.flush().await?;
        Ok(taken)
    }
}

impl Open<'_> {
    /// Opens what comes from `from` into `to`, and flushes. Gives the context.
    ///
    /// What was written before an error is authentic, and is not the whole.
    ///
    /// # Errors
    /// Those of `from` and `to`, or an [`OpenError`] in an [`io::Error`].
    pub async fn copy_async<R, W>(&self, from: &mut R, to: &mut W) -> io::Result<Option<Context>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        let mut stream = self.clone().begin();
        let mut sealed = vec![0; SEALED_CHUNK];
        let mut plain = Zeroizing::new(Vec::with_capacity(CHUNK.saturating_mul(2)));
        loop {
            let read = from.read(&mut sealed).await?;
            let outcome = match sealed.get(..read).unwrap_or_default() {
                [] => break,
                piece => stream.push(piece, &mut plain),
            };
            to.write_all(&plain).await?;
            plain.clear();
            outcome?;
        }
        let context = stream.context().cloned();
        let outcome: Result<(), OpenError> = stream.finish(&mut plain);
        to.write_all(&plain).await?;
        to.flush().await?;
        outcome?;
        Ok(context)
    }
}
