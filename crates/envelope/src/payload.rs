//! The payload of an age file: STREAM over ChaCha20-Poly1305 in chunks of 64 KiB (age specification, "Payload").

use alloc::vec::Vec;
use core::fmt;

use symbolon_keys::hazmat::ChaChaPoly;
use symbolon_keys::{Backend, TAG_LEN};
use zeroize::{Zeroize, Zeroizing};

use crate::error::{PayloadError, SealError};
use crate::file_key::FileKey;

/// Plaintext bytes of a chunk; only the last may have fewer.
pub const CHUNK: usize = 65_536;
/// Bytes of a whole chunk in the file.
pub(crate) const SEALED_CHUNK: usize = CHUNK + TAG_LEN;
/// Bytes before the first chunk.
pub(crate) const NONCE_LEN: usize = 16;

/// The nonces of one payload, each given once.
#[derive(Debug)]
pub(crate) struct Counter(Option<u64>);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(Some(0))
    }

    /// The nonce of the next chunk. None after 2^64 - 1 chunks (2^80 bytes), and after the last.
    fn next(&mut self, last: bool) -> Option<[u8; 12]> {
        let number = self.0?;
        self.0 = if last { None } else { number.checked_add(1) };
        Some(nonce(number, last))
    }
}

/// 11 bytes of big-endian counter, and one that marks the last chunk.
pub(crate) const fn nonce(number: u64, last: bool) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    [0, 0, 0, a, b, c, d, e, f, g, h, last as u8]
}

/// Seals a payload piece by piece: plaintext in, payload bytes out. No input or output of its own.
///
/// Dropped before [`PayloadSealer::finish`], it leaves a payload that whoever opens it sees to be cut short.
#[must_use = "a payload that is not finished does not open"]
pub struct PayloadSealer {
    key: ChaChaPoly,
    counter: Counter,
    /// Written before the first chunk.
    nonce: Option<[u8; NONCE_LEN]>,
    /// Less than or exactly one chunk: whether a full one is the last is known when more comes, or the end.
    pending: Zeroizing<Vec<u8>>,
}

impl PayloadSealer {
    pub(crate) fn new(file_key: &FileKey, nonce: [u8; NONCE_LEN], backend: Backend) -> Self {
        Self {
            key: file_key.payload_key(&nonce, backend),
            counter: Counter::new(),
            nonce: Some(nonce),
            pending: Zeroizing::new(Vec::new()),
        }
    }

    /// Takes plaintext; appends to `out` whatever is ready.
    ///
    /// # Errors
    /// [`SealError::Failed`]; then give the payload up.
    pub fn push(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        out.extend(self.nonce.take().into_iter().flatten());
        let mut rest = plaintext;
        if !self.pending.is_empty() {
            let room = CHUNK.saturating_sub(self.pending.len()).min(rest.len());
            let (fill, more) = rest.split_at(room);
            self.pending.extend_from_slice(fill);
            rest = more;
        }
        if rest.is_empty() {
            return Ok(());
        }
        // More follows what is pending, if anything is: it is a whole chunk, and not the last.
        if !self.pending.is_empty() {
            let (key, counter) = (&self.key, &mut self.counter);
            seal_chunk(key, counter, false, &self.pending, out)?;
            self.pending.clear();
        }
        while let Some((chunk, more)) = rest.split_first_chunk::<CHUNK>()
            && !more.is_empty()
        {
            seal_chunk(&self.key, &mut self.counter, false, chunk, out)?;
            rest = more;
        }
        self.pending.reserve_exact(CHUNK);
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    /// Appends the final chunk to `out`.
    ///
    /// # Errors
    /// [`SealError::Failed`].
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        out.extend(self.nonce.take().into_iter().flatten());
        seal_chunk(&self.key, &mut self.counter, true, &self.pending, out)
    }
}

/// Appends the whole payload of `plaintext`.
pub(crate) fn seal_slice(
    file_key: &FileKey,
    nonce: [u8; NONCE_LEN],
    backend: Backend,
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    let key = file_key.payload_key(&nonce, backend);
    let mut counter = Counter::new();
    out.extend_from_slice(&nonce);
    let mut rest = plaintext;
    while let Some((chunk, more)) = rest.split_first_chunk::<CHUNK>()
        && !more.is_empty()
    {
        seal_chunk(&key, &mut counter, false, chunk, out)?;
        rest = more;
    }
    seal_chunk(&key, &mut counter, true, rest, out)
}

fn seal_chunk(
    key: &ChaChaPoly,
    counter: &mut Counter,
    last: bool,
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    let nonce = counter.next(last).ok_or(SealError::Failed)?;
    let start = out.len();
    out.extend_from_slice(plaintext);
    let sealed = out.get_mut(start..).unwrap_or_default();
    match key.seal_in_place(nonce, b"", sealed) {
        Ok(tag) => {
            out.extend_from_slice(&tag);
            Ok(())
        }
        Err(_) => {
            sealed.zeroize();
            out.truncate(start);
            Err(SealError::Failed)
        }
    }
}

impl fmt::Debug for PayloadSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: _, counter, nonce: _, pending: _ } = self;
        write!(f, "PayloadSealer({counter:?}, ..)")
    }
}

/// Opens a payload piece by piece: payload bytes in, plaintext out, each chunk after its tag verified.
///
/// Only [`PayloadOpener::finish`] tells that the payload is whole: until then, what came out is authentic, and may be
/// the beginning of something longer.
#[must_use = "a payload is whole only when finish says so"]
pub struct PayloadOpener {
    file_key: FileKey,
    backend: Backend,
    /// Known after the nonce.
    key: Option<ChaChaPoly>,
    counter: Counter,
    /// The nonce while it is incomplete; then at most one chunk.
    pending: Vec<u8>,
}

impl PayloadOpener {
    pub(crate) const fn new(file_key: FileKey, backend: Backend) -> Self {
        Self { file_key, backend, key: None, counter: Counter::new(), pending: Vec::new() }
    }

    /// Takes bytes of the payload; appends to `out` what is verified.
    ///
    /// # Errors
    /// [`PayloadError::Rejected`]; then nothing more is to be had from this payload.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), PayloadError> {
        let mut rest = input;
        if self.key.is_none() {
            rest = self.take_nonce(rest);
        }
        let Some(key) = &self.key else { return Ok(()) };
        if !self.pending.is_empty() {
            let room = SEALED_CHUNK.saturating_sub(self.pending.len()).min(rest.len());
            let (fill, more) = rest.split_at(room);
            self.pending.extend_from_slice(fill);
            rest = more;
        }
        if rest.is_empty() {
            return Ok(());
        }
        if let Some(chunk) = self.pending.first_chunk() {
            open_chunk(key, &mut self.counter, chunk, out)?;
            self.pending.clear();
        }
        while let Some((chunk, more)) = rest.split_first_chunk::<SEALED_CHUNK>()
            && !more.is_empty()
        {
            open_chunk(key, &mut self.counter, chunk, out)?;
            rest = more;
        }
        self.pending.reserve_exact(SEALED_CHUNK);
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    /// The end of the payload: verifies the final chunk, and appends its plaintext.
    ///
    /// # Errors
    /// [`PayloadError`]: the payload is not whole.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
        let key = self.key.as_ref().ok_or(PayloadError::Truncated)?;
        open_last(key, &mut self.counter, &self.pending, out)
    }

    fn take_nonce<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let missing = NONCE_LEN.saturating_sub(self.pending.len()).min(input.len());
        let (nonce, rest) = input.split_at(missing);
        self.pending.extend_from_slice(nonce);
        if let Ok(nonce) = self.pending.as_slice().try_into() {
            self.key = Some(self.file_key.payload_key(nonce, self.backend));
            self.pending.clear();
        }
        rest
    }
}

/// Appends the plaintext of a whole payload; what is verified of one that is not whole, too.
pub(crate) fn open_slice(
    file_key: &FileKey,
    backend: Backend,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), PayloadError> {
    let (nonce, mut rest) = payload.split_first_chunk::<NONCE_LEN>().ok_or(PayloadError::Truncated)?;
    let key = file_key.payload_key(nonce, backend);
    let mut counter = Counter::new();
    while let Some((chunk, more)) = rest.split_first_chunk::<SEALED_CHUNK>()
        && !more.is_empty()
    {
        open_chunk(&key, &mut counter, chunk, out)?;
        rest = more;
    }
    open_last(&key, &mut counter, rest, out)
}

/// Appends the plaintext of the last chunk.
fn open_last(
    key: &ChaChaPoly,
    counter: &mut Counter,
    sealed: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), PayloadError> {
    let number = counter.0.ok_or(PayloadError::Rejected)?;
    append(out, sealed.len().saturating_sub(TAG_LEN), |plain| open_last_to(key, number, sealed, plain))
}

/// Appends the plaintext of a whole chunk that others follow.
fn open_chunk(
    key: &ChaChaPoly,
    counter: &mut Counter,
    sealed: &[u8; SEALED_CHUNK],
    out: &mut Vec<u8>,
) -> Result<(), PayloadError> {
    let number = counter.0.ok_or(PayloadError::Rejected)?;
    counter.0 = number.checked_add(1);
    append(out, CHUNK, |plain| open_inner_to(key, number, sealed, plain))
}

/// Appends what `open` writes into `len` bytes; also if it is authentic and yet an error.
fn append(
    out: &mut Vec<u8>,
    len: usize,
    open: impl FnOnce(&mut [u8]) -> Result<(), NotWhole>,
) -> Result<(), PayloadError> {
    let start = out.len();
    out.resize(start.saturating_add(len), 0);
    let plain = out.get_mut(start..).unwrap_or_default();
    let Err(NotWhole { reason, authentic }) = open(plain) else { return Ok(()) };
    if !authentic {
        plain.zeroize();
        out.truncate(start);
    }
    Err(reason)
}

/// A chunk that is not what its place asks for, which may be authentic all the same: then its plaintext comes out, and
/// after it the error.
pub(crate) struct NotWhole {
    pub(crate) reason: PayloadError,
    pub(crate) authentic: bool,
}

/// Opens the chunk after which nothing follows.
pub(crate) fn open_last_to(
    key: &ChaChaPoly,
    number: u64,
    sealed: &[u8],
    plain: &mut [u8],
) -> Result<(), NotWhole> {
    let truncated = |authentic| NotWhole { reason: PayloadError::Truncated, authentic };
    // An empty chunk is the last of an empty payload only.
    if sealed.len() < TAG_LEN || sealed.len() == TAG_LEN && number > 0 {
        return Err(truncated(false));
    }
    match open_to(key, number, true, sealed, plain) {
        Err(_) if sealed.len() == SEALED_CHUNK && open_to(key, number, false, sealed, plain).is_ok() => {
            Err(truncated(true))
        }
        outcome => outcome.map_err(|reason| NotWhole { reason, authentic: false }),
    }
}

/// Opens a whole chunk after which something follows.
pub(crate) fn open_inner_to(
    key: &ChaChaPoly,
    number: u64,
    sealed: &[u8],
    plain: &mut [u8],
) -> Result<(), NotWhole> {
    match open_to(key, number, false, sealed, plain) {
        Err(_) if open_to(key, number, true, sealed, plain).is_ok() => {
            Err(NotWhole { reason: PayloadError::Trailing, authentic: true })
        }
        outcome => outcome.map_err(|reason| NotWhole { reason, authentic: false }),
    }
}

pub(crate) fn open_to(
    key: &ChaChaPoly,
    number: u64,
    last: bool,
    sealed: &[u8],
    plain: &mut [u8],
) -> Result<(), PayloadError> {
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(PayloadError::Truncated)?;
    key.open_to(nonce(number, last), b"", ciphertext, tag, plain).map_err(|_| PayloadError::Rejected)
}

impl fmt::Debug for PayloadOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file_key: _, backend: _, key: _, counter, pending: _ } = self;
        write!(f, "PayloadOpener({counter:?}, ..)")
    }
}

/// Bytes of the payload of so many bytes of plaintext; none beyond what 64 bits can say.
#[must_use]
pub const fn payload_len(plaintext: u64) -> Option<u64> {
    let chunks = if plaintext == 0 { 1 } else { plaintext.div_ceil(CHUNK as u64) };
    match chunks.checked_mul(TAG_LEN as u64) {
        Some(tags) => match plaintext.checked_add(tags) {
            Some(len) => len.checked_add(NONCE_LEN as u64),
            None => None,
        },
        None => None,
    }
}
