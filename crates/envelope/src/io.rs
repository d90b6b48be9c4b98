//! Envelopes as `std::io` streams.

use core::fmt;
use core::ops::Range;
use std::io::{self, BufRead, Read, Write};

use rand_core::CryptoRng;
use symbolon_keys::hazmat::ChaChaPoly;
use symbolon_keys::{OsRng, TAG_LEN};
use zeroize::Zeroizing;

use crate::batch;
use crate::context::{Context, Policy};
use crate::error::{HeaderError, OpenError, PayloadError, SealError};
use crate::header::{Header, HeaderReader};
use crate::open::Open;
use crate::payload::{CHUNK, NONCE_LEN, NotWhole, SEALED_CHUNK, open_inner_to, open_last_to};
use crate::rewrap::Rewrap;
use crate::seal::Seal;

/// The most threads of one stream: more of them wait for memory.
pub const MAX_THREADS: usize = 8;
/// Chunks in a buffer, for each thread: with eight threads a stream has buffers of at most 4 MiB.
const CHUNKS_PER_THREAD: usize = 4;

impl Seal<'_> {
    /// Seals what is written to the returned writer, into `to`. The header is written at once.
    ///
    /// # Errors
    /// That of `to`, or a [`SealError`] in an [`io::Error`].
    pub fn writer<W: Write>(&self, to: W) -> io::Result<Sealer<W>> {
        self.writer_with(to, &mut OsRng)
    }

    /// As [`Self::writer`], with randomness from `rng`.
    ///
    /// # Errors
    /// That of `to`, or a [`SealError`] in an [`io::Error`].
    pub fn writer_with<W: Write>(&self, mut to: W, rng: &mut dyn CryptoRng) -> io::Result<Sealer<W>> {
        let (header, file_key, nonce) = self.header(rng)?;
        to.write_all(&header)?;
        to.write_all(&nonce)?;
        let threads = self.threads.clamp(1, MAX_THREADS);
        let len = threads.saturating_mul(CHUNKS_PER_THREAD).saturating_mul(SEALED_CHUNK);
        let buffer = Zeroizing::new(vec![0; len]);
        Ok(Sealer {
            to,
            key: file_key.payload_key(&nonce, self.backend),
            threads,
            buffer,
            filled: 0,
            taken: 0,
            chunk: 0,
        })
    }
}

/// Seals what is written to it. Made by [`Seal::writer`].
///
/// Dropped before [`Sealer::finish`], it leaves an envelope that whoever opens it sees to be cut short.
#[must_use = "an envelope that is not finished does not open"]
pub struct Sealer<W> {
    to: W,
    key: ChaChaPoly,
    threads: usize,
    /// Chunks of plaintext, each with room for its tag behind it.
    buffer: Zeroizing<Vec<u8>>,
    /// Plaintext bytes in `buffer`.
    filled: usize,
    /// Plaintext bytes so far.
    taken: u64,
    /// The number of the first chunk in `buffer`.
    chunk: u64,
}

impl<W: Write> Sealer<W> {
    /// Seals and writes the final chunk, and flushes. Gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        // The last chunk is empty only in an empty payload.
        let whole = self.filled.saturating_sub(1) / CHUNK;
        self.write_chunks(whole)?;
        let start = whole.saturating_mul(SEALED_CHUNK);
        let last = self.filled.saturating_sub(whole.saturating_mul(CHUNK)).saturating_add(TAG_LEN);
        let last = self.buffer.get_mut(start..start.saturating_add(last)).unwrap_or_default();
        batch::seal_in_place(&self.key, self.chunk, true, last)?;
        self.to.write_all(last)?;
        self.filled = 0;
        self.to.flush()?;
        Ok(self.to)
    }

    /// Seals all that `from` has. It reads into the place where it seals, so nothing is copied.
    ///
    /// # Errors
    /// Those of `from` and of the writer.
    pub fn copy_from(&mut self, from: &mut impl Read) -> io::Result<u64> {
        let before = self.taken;
        loop {
            match from.read(self.room()?) {
                Ok(0) => return Ok(self.taken.saturating_sub(before)),
                Ok(read) => self.take(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where the next plaintext goes: up to the end of a chunk, and never empty.
    fn room(&mut self) -> io::Result<&mut [u8]> {
        let slots = self.buffer.len() / SEALED_CHUNK;
        if self.filled == slots.saturating_mul(CHUNK) {
            // A chunk after these may turn out to be empty: the last of them stays here.
            let kept = slots.saturating_sub(1);
            self.write_chunks(kept)?;
            self.buffer.copy_within(kept.saturating_mul(SEALED_CHUNK).., 0);
            self.filled = CHUNK;
        }
        let (slot, at) = (self.filled / CHUNK, self.filled % CHUNK);
        let start = slot.saturating_mul(SEALED_CHUNK);
        let room = start.saturating_add(at)..start.saturating_add(CHUNK);
        Ok(self.buffer.get_mut(room).unwrap_or_default())
    }

    const fn take(&mut self, len: usize) {
        self.filled = self.filled.saturating_add(len);
        self.taken = self.taken.saturating_add(len as u64);
    }

    /// Seals and writes whole chunks, none of them the last.
    fn write_chunks(&mut self, whole: usize) -> io::Result<()> {
        let chunks = self.buffer.get_mut(..whole.saturating_mul(SEALED_CHUNK)).unwrap_or_default();
        batch::seal(&self.key, self.chunk, chunks, self.threads)?;
        self.chunk = self.chunk.checked_add(whole as u64).ok_or(SealError::Failed)?;
        self.to.write_all(chunks)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        let room = self.room()?;
        let taken = room.len().min(plaintext.len());
        let (Some(room), Some(piece)) = (room.get_mut(..taken), plaintext.get(..taken)) else { return Ok(0) };
        room.copy_from_slice(piece);
        self.take(taken);
        Ok(taken)
    }

    /// Flushes the writer below. What is not yet a whole chunk stays here: chunks have one size.
    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W> fmt::Debug for Sealer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to: _, key: _, threads, buffer: _, filled, taken: _, chunk } = self;
        write!(f, "Sealer(chunk {chunk}, {filled} bytes pending, {threads} threads)")
    }
}

impl Open<'_> {
    /// Opens what is read from `from`. The header is read at once.
    ///
    /// # Errors
    /// That of `from`, or an [`OpenError`] in an [`io::Error`].
    pub fn reader<R: Read>(&self, mut from: R) -> io::Result<Opener<R>> {
        let (header, rest) = read_header(&mut from)?;
        let (file_key, context) = self.unlock(&header)?;
        let threads = self.threads.clamp(1, MAX_THREADS);
        let chunks = threads.saturating_mul(CHUNKS_PER_THREAD);
        let mut from = Front { rest, at: 0, from };
        let mut nonce = [0; NONCE_LEN];
        from.read_exact(&mut nonce).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => OpenError::Payload(PayloadError::Truncated).into(),
            _ => error,
        })?;
        Ok(Opener {
            from,
            context,
            key: file_key.payload_key(&nonce, self.backend),
            threads,
            sealed: vec![0; chunks.saturating_mul(SEALED_CHUNK)],
            held: 0,
            plain: Zeroizing::new(vec![0; chunks.saturating_mul(CHUNK)]),
            ready: 0..0,
            chunk: 0,
            end: None,
        })
    }
}

impl Header {
    /// Reads a header from the front of `from`; gives what was read beyond it, too.
    ///
    /// # Errors
    /// That of `from`, or an [`OpenError`] in an [`io::Error`].
    pub fn read(from: &mut impl Read) -> io::Result<(Self, Vec<u8>)> {
        read_header(from)
    }
}

impl Rewrap<'_> {
    /// Re-wraps what comes from `from` into `to`: the new header, then the payload as it is.
    ///
    /// # Errors
    /// Those of `from` and `to`, or a reason in an [`io::Error`]; then nothing was written.
    pub fn copy(&self, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
        let (header, rest) = read_header(from)?;
        to.write_all(&self.header_with(&header, &mut OsRng)?)?;
        to.write_all(&rest)?;
        let mut piece = vec![0; SEALED_CHUNK];
        loop {
            match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(read) => to.write_all(piece.get(..read).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Reads a header, and what came with it.
pub(crate) fn read_header(from: &mut impl Read) -> io::Result<(Header, Vec<u8>)> {
    let mut reader = HeaderReader::new();
    let mut piece = [0; 1024];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return Err(OpenError::from(HeaderError::Truncated).into()),
            Ok(read) => piece.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if let (consumed, Some(header)) = reader.push(read).map_err(OpenError::from)? {
            return Ok((header, read.get(consumed..).unwrap_or_default().to_vec()));
        }
    }
}

/// What came with the header, then the rest.
struct Front<R> {
    rest: Vec<u8>,
    at: usize,
    from: R,
}

impl<R: Read> Read for Front<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.rest.len() {
            return self.from.read(out);
        }
        let read = self.rest.get(self.at..).unwrap_or_default().read(out)?;
        self.at = self.at.saturating_add(read);
        Ok(read)
    }
}

/// Opens what it reads. Made by [`Open::reader`].
///
/// Every byte that comes out is authentic. Only the end of the stream, `Ok(0)`, says that it was all of them; an error
/// before it carries an [`OpenError`] ([`OpenError::from_io`]) and comes again at every further read.
pub struct Opener<R> {
    from: Front<R>,
    context: Option<Context>,
    key: ChaChaPoly,
    threads: usize,
    /// Read and not opened: at the beginning of this buffer.
    sealed: Vec<u8>,
    held: usize,
    plain: Zeroizing<Vec<u8>>,
    /// Opened and not given out: places of `plain`.
    ready: Range<usize>,
    /// The number of the first chunk in `sealed`.
    chunk: u64,
    /// What comes when `ready` is given out: the end, or an error.
    end: Option<Result<(), PayloadError>>,
}

type OpenChunk = fn(&ChaChaPoly, u64, &[u8], &mut [u8]) -> Result<(), NotWhole>;

impl<R: Read> Opener<R> {
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

    /// Writes all that is left to `to`, in pieces as large as they come.
    ///
    /// # Errors
    /// Those of `to` and of reading; then `to` has the beginning.
    pub fn copy_to(&mut self, to: &mut impl Write) -> io::Result<u64> {
        let mut copied = 0_u64;
        loop {
            let piece = self.fill_buf()?;
            let len = piece.len();
            if len == 0 {
                return Ok(copied);
            }
            to.write_all(piece)?;
            copied = copied.saturating_add(len as u64);
            self.consume(len);
        }
    }

    /// Reads until the buffer is full, and opens what is known not to be the last chunk.
    fn fill(&mut self) -> io::Result<()> {
        let mut at_end = false;
        while !at_end && let Some(room @ [_, ..]) = self.sealed.get_mut(self.held..) {
            match self.from.read(room) {
                Ok(0) => at_end = true,
                Ok(read) => self.held = self.held.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let whole = self.held.saturating_sub(1) / SEALED_CHUNK;
        let (inner, last) =
            self.sealed.get(..self.held).unwrap_or_default().split_at(whole.saturating_mul(SEALED_CHUNK));
        let good = batch::open(&self.key, self.chunk, inner, &mut self.plain, self.threads);
        self.chunk = self.chunk.saturating_add(good as u64);
        self.ready = 0..good.saturating_mul(CHUNK);

        // The chunk that is not like those before it: the last one, or one that is refused.
        let next: Option<(&[u8], OpenChunk)> = match inner.as_chunks::<SEALED_CHUNK>().0.get(good) {
            Some(refused) => Some((refused, open_inner_to)),
            None if at_end => Some((last, open_last_to)),
            None => None,
        };
        if let Some((sealed, open)) = next {
            let len = sealed.len().saturating_sub(TAG_LEN);
            let room = self.ready.end..self.ready.end.saturating_add(len);
            let plain = self.plain.get_mut(room.clone()).unwrap_or_default();
            let outcome = open(&self.key, self.chunk, sealed, plain);
            if outcome.as_ref().err().is_none_or(|error| error.authentic) {
                self.ready.end = room.end;
            }
            self.end = Some(outcome.map_err(|error| error.reason));
        }
        let kept = whole.saturating_mul(SEALED_CHUNK)..self.held;
        self.held = kept.len();
        self.sealed.copy_within(kept, 0);
        Ok(())
    }
}

impl<R: Read> BufRead for Opener<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.ready.is_empty() {
            match self.end {
                None => self.fill()?,
                Some(Ok(())) => return Ok(&[]),
                Some(Err(error)) => return Err(OpenError::from(error).into()),
            }
        }
        Ok(self.plain.get(self.ready.clone()).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.ready.start = self.ready.start.saturating_add(amount).min(self.ready.end);
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R> fmt::Debug for Opener<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from: _, context, key: _, threads, sealed: _, held, plain: _, ready: _, chunk, end } =
            self;
        write!(f, "Opener(chunk {chunk}, {held} bytes held, {context:?}, {end:?}, {threads} threads)")
    }
}

impl OpenError {
    /// The reason inside an error of [`Opener`], if it is one of opening and not of reading.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl From<SealError> for io::Error {
    fn from(error: SealError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}
