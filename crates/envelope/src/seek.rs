//! Reading an envelope from the middle.

use core::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use symbolon_keys::TAG_LEN;
use symbolon_keys::hazmat::ChaChaPoly;
use zeroize::Zeroizing;

use crate::context::{Context, Policy};
use crate::error::{OpenError, PayloadError};
use crate::io::read_header;
use crate::open::Open;
use crate::payload::{CHUNK, NONCE_LEN, SEALED_CHUNK, open_last_to, open_to};

impl Open<'_> {
    /// Opens an envelope that can be read from any place, which begins where `from` stands and reaches to its end.
    ///
    /// The last chunk is verified at once: from then on the length is known to be authentic.
    ///
    /// # Errors
    /// That of `from`, or an [`OpenError`] in an [`io::Error`].
    pub fn seekable<R: Read + Seek>(&self, mut from: R) -> io::Result<SeekOpener<R>> {
        let start = from.stream_position()?;
        let (header, _) = read_header(&mut from)?;
        let (file_key, context) = self.unlock(&header)?;
        let nonce_at = start.saturating_add(header.as_bytes().len() as u64);
        let end = from.seek(SeekFrom::End(0))?;
        let chunks_at = nonce_at.saturating_add(NONCE_LEN as u64);
        let truncated = || io::Error::from(OpenError::Payload(PayloadError::Truncated));
        let sealed = end.checked_sub(chunks_at).ok_or_else(truncated)?;
        let mut nonce = [0; NONCE_LEN];
        from.seek(SeekFrom::Start(nonce_at))?;
        from.read_exact(&mut nonce)?;

        let key = file_key.payload_key(&nonce, self.backend);
        let last = sealed.div_ceil(SEALED_CHUNK as u64).saturating_sub(1);
        let mut opener = SeekOpener {
            from,
            context,
            key,
            chunks_at,
            last,
            last_len: usize::try_from(sealed.saturating_sub(last.saturating_mul(SEALED_CHUNK as u64)))
                .map_err(|_| truncated())?,
            at: 0,
            sealed: Vec::new(),
            plain: Zeroizing::new(vec![0; CHUNK]),
            loaded: None,
        };
        opener.load(last)?;
        Ok(opener)
    }
}

/// Opens what it reads, from any place. Made by [`Open::seekable`].
///
/// Each read opens the chunk that it is in, and no other; the last one opened is kept.
pub struct SeekOpener<R> {
    from: R,
    context: Option<Context>,
    key: ChaChaPoly,
    /// Where in `from` the first chunk begins.
    chunks_at: u64,
    /// The number of the last chunk.
    last: u64,
    /// Its bytes in the file.
    last_len: usize,
    /// The place in the plaintext.
    at: u64,
    sealed: Vec<u8>,
    plain: Zeroizing<Vec<u8>>,
    /// Which chunk is in `plain`.
    loaded: Option<u64>,
}

impl<R: Read + Seek> SeekOpener<R> {
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

    /// Bytes of the plaintext.
    #[must_use]
    pub const fn len(&self) -> u64 {
        let whole = self.last.saturating_mul(CHUNK as u64);
        whole.saturating_add(self.last_len.saturating_sub(TAG_LEN) as u64)
    }

    /// Whether there is no plaintext.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn load(&mut self, number: u64) -> io::Result<()> {
        if self.loaded == Some(number) {
            return Ok(());
        }
        self.loaded = None;
        let len = if number == self.last { self.last_len } else { SEALED_CHUNK };
        self.sealed.resize(len, 0);
        let place = self.chunks_at.saturating_add(number.saturating_mul(SEALED_CHUNK as u64));
        self.from.seek(SeekFrom::Start(place))?;
        self.from.read_exact(&mut self.sealed)?;
        let plain = self.plain.get_mut(..len.saturating_sub(TAG_LEN)).unwrap_or_default();
        let opened = if number == self.last {
            open_last_to(&self.key, number, &self.sealed, plain).map_err(|error| error.reason)
        } else {
            open_to(&self.key, number, false, &self.sealed, plain)
        };
        opened.map_err(OpenError::from)?;
        self.loaded = Some(number);
        Ok(())
    }
}

impl<R: Read + Seek> Read for SeekOpener<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        const SIZE: u64 = CHUNK as u64;
        let left = self.len().saturating_sub(self.at);
        if left == 0 || out.is_empty() {
            return Ok(0);
        }
        self.load(self.at / SIZE)?;
        let start = usize::try_from(self.at % SIZE).unwrap_or_default();
        let end = start.saturating_add(usize::try_from(left).unwrap_or(CHUNK)).min(CHUNK);
        let read = self.plain.get(start..end).unwrap_or_default().read(out)?;
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

impl<R: Read + Seek> Seek for SeekOpener<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
        };
        self.at = place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

impl<R> fmt::Debug for SeekOpener<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from: _,
            context,
            key: _,
            chunks_at: _,
            last,
            last_len: _,
            at,
            sealed: _,
            plain: _,
            loaded: _,
        } = self;
        write!(f, "SeekOpener(at {at}, {} chunks, {context:?})", last.saturating_add(1))
    }
}
