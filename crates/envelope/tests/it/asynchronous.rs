//! Asynchronous readers and writers: the same bytes as in one piece, however slowly they come and go.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use symbolon_envelope::{
    AsyncSealer, CHUNK, Expect, Open, OpenError, PayloadError, Policy, Seal, SealError, UserKey, seal,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::support::{bytes, context, rng};

const SIZES: [usize; 8] = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5, 7 * CHUNK];

/// At most so many bytes a call, and every second time none yet.
struct Slow<T> {
    inner: T,
    step: usize,
    ready: bool,
}

impl<T> Slow<T> {
    fn new(inner: T, step: usize) -> Self {
        Self { inner, step, ready: false }
    }

    fn wait(&mut self, task: &Context<'_>) -> bool {
        self.ready = !self.ready;
        task.waker().wake_by_ref();
        self.ready
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Slow<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.wait(task) {
            return Poll::Pending;
        }
        let mut piece = vec![0; self.step.min(out.remaining())];
        let mut room = ReadBuf::new(&mut piece);
        assert!(Pin::new(&mut self.inner).poll_read(task, &mut room)?.is_ready());
        out.put_slice(room.filled());
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Slow<W> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        if self.wait(task) {
            return Poll::Pending;
        }
        let step = self.step.min(from.len());
        Pin::new(&mut self.inner).poll_write(task, &from[..step])
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.wait(task) { Poll::Pending } else { Pin::new(&mut self.inner).poll_flush(task) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.wait(task) { Poll::Pending } else { Pin::new(&mut self.inner).poll_shutdown(task) }
    }
}

async fn sealed(key: &UserKey, plain: &[u8], piece: usize, step: usize) -> Vec<u8> {
    let mut writer = Seal::to(&[&key.up()]).writer_async(Slow::new(Vec::new(), step)).await.unwrap();
    for piece in plain.chunks(piece) {
        writer.write_all(piece).await.unwrap();
        writer.flush().await.unwrap();
    }
    writer.shutdown().await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(writer.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    writer.into_inner().inner
}

async fn opened(key: &UserKey, sealed: &[u8], piece: usize, step: usize) -> (Vec<u8>, io::Result<()>) {
    let mut out = Vec::new();
    let outcome = async {
        let mut reader = Open::with(&[&key.up()]).reader_async(Slow::new(sealed, step)).await?;
        let mut room = vec![0; piece];
        loop {
            let read = reader.read(&mut room).await?;
            if read == 0 {
                assert_eq!(reader.read(&mut room).await?, 0, "the end stays the end");
                return Ok(());
            }
            out.extend(&room[..read]);
        }
    };
    let outcome = outcome.await;
    (out, outcome)
}

#[tokio::test]
async fn slow_streams_are_the_same() {
    let key = UserKey::generate(&mut rng(1));
    for size in SIZES {
        let plain = bytes(size);
        for (piece, step) in [(100_000, usize::MAX), (70_001, 1000), (usize::MAX, 65_553)] {
            let file = sealed(&key, &plain, piece, step).await;
            let whole = symbolon_envelope::open(&key.up(), Expect::absent(), &file).unwrap();
            assert!(whole.plaintext() == plain, "{size} bytes written by {piece}");
            let (out, outcome) = opened(&key, &file, piece.min(1 << 20), step).await;
            outcome.unwrap();
            assert!(out == plain, "{size} bytes read by {piece}");
        }
    }
    let plain = bytes(CHUNK + 10);
    let file = sealed(&key, &plain, 1, 1).await;
    let (out, outcome) = opened(&key, &file, 1, 1).await;
    outcome.unwrap();
    assert!(out == plain, "one byte at a time");
}

#[tokio::test]
async fn what_is_not_shut_down_is_cut_short() {
    let key = UserKey::generate(&mut rng(1));
    for size in SIZES {
        let mut file = Vec::new();
        let mut writer = Seal::to(&[&key.up()]).writer_async(&mut file).await.unwrap();
        writer.write_all(&bytes(size)).await.unwrap();
        writer.flush().await.unwrap();
        drop(writer);
        let (out, outcome) = opened(&key, &file, 10_000, usize::MAX).await;
        let reason = OpenError::from_io(&outcome.unwrap_err());
        assert_eq!(reason, Some(OpenError::Payload(PayloadError::Truncated)), "{size}");
        assert!(bytes(size).starts_with(&out));
    }
}

#[tokio::test]
async fn what_is_not_whole_is_told_again_and_again() {
    let key = UserKey::generate(&mut rng(1));
    let plain = bytes(3 * CHUNK);
    let file = seal(&[&key.up()], &plain).unwrap();
    for (at, released) in [(file.len() - 1, 2 * CHUNK), (file.len() - CHUNK - 20, CHUNK)] {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        let mut reader = Open::with(&[&key.up()]).reader_async(&damaged[..]).await.unwrap();
        let mut out = Vec::new();
        for _ in 0..3 {
            let error = reader.read_to_end(&mut out).await.unwrap_err();
            assert_eq!(OpenError::from_io(&error), Some(OpenError::Payload(PayloadError::Rejected)));
            assert!(out == plain[..released]);
        }
    }
    let cut = Open::with(&[&key.up()]).reader_async(&file[..20]).await.unwrap_err();
    assert!(matches!(OpenError::from_io(&cut), Some(OpenError::Header(_))));
    let refused = Seal::to(&[]).writer_async(Vec::new()).await.unwrap_err();
    assert_eq!(refused.get_ref().unwrap().downcast_ref(), Some(&SealError::NoRecipients));
}

#[tokio::test]
async fn the_policy_is_known_before_the_plaintext() {
    let key = UserKey::generate(&mut rng(1));
    let context = context(1).under(Policy::VIEW_ONLY);
    let file = Seal::to(&[&key.up()]).context(&context).bytes(b"look").unwrap();
    let identity = key.up();
    let expect = Expect::exactly(&context);
    let reader = Open::with(&[&identity]).expect(expect).reader_async(&file[..]).await.unwrap();
    assert_eq!((reader.context(), reader.policy()), (Some(&context), Policy::VIEW_ONLY));
}

/// Takes so many bytes, and then nothing; or fails, as a full disk does.
struct Stuck {
    room: usize,
    full: bool,
}

impl AsyncWrite for Stuck {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let taken = self.room.min(from.len());
        self.room -= taken;
        match (taken, self.full) {
            (0, true) => Poll::Ready(Err(ErrorKind::StorageFull.into())),
            (0, false) => Poll::Pending,
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn stuck(full: bool) -> AsyncSealer<Stuck> {
    let key = UserKey::generate(&mut rng(1));
    Seal::to(&[&key.up()]).writer_async(Stuck { room: 10_000, full }).await.unwrap()
}

#[tokio::test]
async fn a_writer_that_waits_is_not_overrun() {
    let mut writer = stuck(false).await;
    let mut task = Context::from_waker(Waker::noop());
    let mut taken = 0;
    while let Poll::Ready(written) = Pin::new(&mut writer).poll_write(&mut task, &bytes(1 << 20)) {
        taken += written.unwrap();
        assert!(taken <= 3 * CHUNK, "it grows");
    }
    assert!(Pin::new(&mut writer).poll_shutdown(&mut task).is_pending());

    let mut writer = stuck(true).await;
    let error = writer.write_all(&bytes(1 << 20)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(writer.shutdown().await.unwrap_err().kind(), ErrorKind::StorageFull, "and it is not done");
}
