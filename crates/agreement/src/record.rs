//! Records: messages, their parts, rekeying and the end of a stream, authenticated (C5).

use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::time::Duration;

use symbolon_keys::{TAG_LEN, UnixTime};

use crate::frame::{HEADER_LEN, Kind};
use crate::noise::{CipherState, MAX_MESSAGE_LEN, NoiseError};

/// The most bytes of one message of a session; it may span records.
pub const MAX_SESSION_MESSAGE_LEN: usize = 16 * 1024 * 1024;

/// The most bytes of a message that one record carries: a Noise message less tag and kind.
pub const MAX_RECORD_LEN: usize = MAX_MESSAGE_LEN - TAG_LEN - 1;

const DATA: u8 = 0;
const MORE: u8 = 1;
const REKEY: u8 = 2;
const END: u8 = 3;

/// When the sending half takes a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rekey {
    records: u64,
    age: Duration,
}

impl Rekey {
    /// 2^16 records (4 GiB at the most under one key) or two minutes: what a stolen key opens of the past is little.
    const DEFAULT: Self = Self::after(1 << 16, Duration::from_secs(120));

    /// After so many records, or so long after the last key, whichever comes first; a record at the least.
    #[must_use]
    pub const fn after(records: u64, age: Duration) -> Self {
        Self { records: if records == 0 { 1 } else { records }, age }
    }

    pub(crate) fn is_due(self, records: u64, age: Duration) -> bool {
        records >= self.records || age >= self.age
    }
}

impl Default for Rekey {
    /// 2^16 records (4 GiB at the most under one key) or two minutes: what a stolen key opens of the past is little.
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Turns messages into records: the sending direction of a session.
#[derive(Debug)]
pub struct Sealer {
    cipher: CipherState,
    policy: Rekey,
    since: (u64, UnixTime),
    ended: bool,
}

impl Sealer {
    pub(crate) const fn new(cipher: CipherState, now: UnixTime) -> Self {
        let since = (cipher.nonce(), now);
        Self { cipher, policy: Rekey::DEFAULT, since, ended: false }
    }

    /// Changes when keys are replaced.
    pub const fn set_rekey(&mut self, policy: Rekey) {
        self.policy = policy;
    }

    /// Appends the frame of the next part of `message` to `out` and returns what is left of it, if anything is. Where
    /// a new key is due, its record goes first.
    ///
    /// # Errors
    /// [`RecordError::Ended`], [`RecordError::Exhausted`].
    pub fn seal<'m>(
        &mut self,
        message: &'m [u8],
        now: UnixTime,
        out: &mut Vec<u8>,
    ) -> Result<Option<&'m [u8]>, RecordError> {
        let sealed = self.seal_parts(&[message], 0, now, out)?;
        Ok(sealed.and_then(|sealed| message.get(sealed..)))
    }

    /// As [`Self::seal`], for one message that lies in several places: a header here, a body there. They are gathered in
    /// `out` and nowhere else. `sealed` bytes of it went out in earlier records; returns how many it is now, if that is
    /// not all.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn seal_parts<P: Deref<Target = [u8]>>(
        &mut self,
        parts: &[P],
        sealed: usize,
        now: UnixTime,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, RecordError> {
        self.rekey_if_due(now, out)?;
        let rest = total_len(parts).saturating_sub(sealed);
        if rest > MAX_RECORD_LEN {
            self.record(MORE, range(parts, sealed, MAX_RECORD_LEN), MAX_RECORD_LEN, out)?;
            Ok(Some(sealed.saturating_add(MAX_RECORD_LEN)))
        } else {
            self.record(DATA, range(parts, sealed, rest), rest, out).map(|()| None)
        }
    }

    /// Appends one record with as much of `parts` as it carries, and returns how much that is: for a stream, which has no
    /// messages.
    #[cfg(feature = "net")]
    pub(crate) fn seal_some<P: Deref<Target = [u8]>>(
        &mut self,
        parts: &[P],
        now: UnixTime,
        out: &mut Vec<u8>,
    ) -> Result<usize, RecordError> {
        self.rekey_if_due(now, out)?;
        let len = total_len(parts).min(MAX_RECORD_LEN);
        self.record(DATA, range(parts, 0, len), len, out).map(|()| len)
    }

    /// Appends a record after which everything goes under a new key, and takes that key.
    ///
    /// # Errors
    /// [`RecordError::Ended`], [`RecordError::Exhausted`].
    pub fn rekey(&mut self, now: UnixTime, out: &mut Vec<u8>) -> Result<(), RecordError> {
        self.record(REKEY, [], 0, out)?;
        self.cipher.rekey()?;
        self.since = (self.cipher.nonce(), now);
        Ok(())
    }

    /// Appends the record that ends the stream: its absence is how a cut is told from an end.
    ///
    /// # Errors
    /// [`RecordError::Ended`] if that has been done, [`RecordError::Exhausted`].
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        self.record(END, [], 0, out)?;
        self.ended = true;
        Ok(())
    }

    /// Whether the stream has ended.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    /// The nonce with which the current key began: another one for each key.
    #[cfg(feature = "net")]
    pub(crate) const fn key_began(&self) -> u64 {
        self.since.0
    }

    fn rekey_if_due(&mut self, now: UnixTime, out: &mut Vec<u8>) -> Result<(), RecordError> {
        let (records, time) = self.since;
        let records = self.cipher.nonce().saturating_sub(records);
        if self.policy.is_due(records, now.saturating_since(time)) { self.rekey(now, out) } else { Ok(()) }
    }

    /// `body` is `len` bytes in all.
    fn record<'p>(
        &mut self,
        kind: u8,
        body: impl IntoIterator<Item = &'p [u8]>,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        if self.ended {
            return Err(RecordError::Ended);
        }
        let start = out.len();
        let len = len.saturating_add(1).saturating_add(TAG_LEN);
        out.reserve(len.saturating_add(HEADER_LEN));
        out.extend_from_slice(&Kind::Record.header(len));
        let data = out.len();
        out.push(kind);
        body.into_iter().for_each(|part| out.extend_from_slice(part));
        match self.cipher.encrypt_in_place(&[], out.get_mut(data..).unwrap_or_default()) {
            Ok(tag) => {
                out.extend_from_slice(&tag);
                Ok(())
            }
            Err(error) => {
                out.truncate(start); // no plaintext stays where ciphertext is expected
                Err(error.into())
            }
        }
    }
}

fn total_len<P: Deref<Target = [u8]>>(parts: &[P]) -> usize {
    parts.iter().fold(0, |len, part| len.saturating_add(part.len()))
}

/// The `len` bytes that begin at `start`, counted over all `parts`.
fn range<P: Deref<Target = [u8]>>(parts: &[P], start: usize, len: usize) -> impl Iterator<Item = &[u8]> {
    let (mut skip, mut left) = (start, len);
    parts.iter().map(move |part| {
        let wanted = part.get(skip..).unwrap_or_default();
        let wanted = wanted.get(..left).unwrap_or(wanted);
        skip = skip.saturating_sub(part.len());
        left = left.saturating_sub(wanted.len());
        wanted
    })
}

/// What a record brought.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opened<'a> {
    /// The last part of a message.
    Last(&'a [u8]),
    /// A part of a message that goes on.
    Part(&'a [u8]),
    /// Nothing for the application: the sender took a new key.
    Rekeyed,
    /// The sender has ended its stream.
    End,
}

/// Opens records: the receiving direction of a session.
#[derive(Debug)]
pub struct Opener {
    cipher: CipherState,
    /// Bytes of the message under way, in parts so far.
    under_way: usize,
    max_message: usize,
    failed: bool,
    ended: bool,
}

impl Opener {
    pub(crate) const fn new(cipher: CipherState) -> Self {
        Self { cipher, under_way: 0, max_message: MAX_SESSION_MESSAGE_LEN, failed: false, ended: false }
    }

    /// Refuses messages longer than this: what a receiver is willing to hold for one sender.
    pub fn set_max_message(&mut self, len: usize) {
        self.max_message = len.min(MAX_SESSION_MESSAGE_LEN);
    }

    /// Opens the body of one record, in place.
    ///
    /// # Errors
    /// [`RecordError`]. On a byte stream nothing after a bad record can be trusted: this half refuses from then on.
    pub fn open<'a>(&mut self, body: &'a mut [u8]) -> Result<Opened<'a>, RecordError> {
        if self.ended {
            return Err(RecordError::Ended);
        }
        if self.failed {
            return Err(RecordError::Rejected);
        }
        let opened = self.open_next(body);
        self.failed = opened.is_err();
        opened
    }

    /// Whether the other end has ended its stream.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    fn open_next<'a>(&mut self, body: &'a mut [u8]) -> Result<Opened<'a>, RecordError> {
        let (data, tag) = body.split_last_chunk_mut::<TAG_LEN>().ok_or(RecordError::Rejected)?;
        self.cipher.decrypt_in_place(&[], data, tag)?;
        let (&mut kind, data) = data.split_first_mut().ok_or(RecordError::Malformed)?;
        let data = &*data;
        match kind {
            DATA => {
                self.count(data)?;
                self.under_way = 0;
                Ok(Opened::Last(data))
            }
            // A part without content would let a sender keep a receiver busy for nothing.
            MORE if !data.is_empty() => self.count(data).map(|()| Opened::Part(data)),
            REKEY if data.is_empty() => {
                self.cipher.rekey()?;
                Ok(Opened::Rekeyed)
            }
            END if data.is_empty() && self.under_way == 0 => {
                self.ended = true;
                Ok(Opened::End)
            }
            _ => Err(RecordError::Malformed),
        }
    }

    fn count(&mut self, data: &[u8]) -> Result<(), RecordError> {
        self.under_way = self.under_way.saturating_add(data.len());
        if self.under_way > self.max_message { Err(RecordError::TooLong) } else { Ok(()) }
    }
}

/// Why a record was not made or not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// A record is not authentic: it was changed, repeated, left out or injected on its way.
    Rejected,
    /// An authentic record does not follow the format: the other end is faulty.
    Malformed,
    /// A message exceeds [`MAX_SESSION_MESSAGE_LEN`], or what this receiver takes.
    TooLong,
    /// The stream has ended.
    Ended,
    /// The nonces of this direction are spent.
    Exhausted,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rejected => {
                "a record is not authentic: changed, repeated or injected on its way; the session is over"
            }
            Self::Malformed => "an authentic record does not follow the format: the other end is faulty",
            Self::TooLong => "the message exceeds the limit, which is 16 MiB or what its receiver has set: send it in pieces",
            Self::Ended => "the stream has ended",
            Self::Exhausted => "the nonces of this session are spent: make a new one",
        })
    }
}

impl core::error::Error for RecordError {}

impl From<NoiseError> for RecordError {
    fn from(error: NoiseError) -> Self {
        match error {
            NoiseError::Exhausted => Self::Exhausted,
            NoiseError::TooLong => Self::TooLong,
            _ => Self::Rejected,
        }
    }
}

#[cfg(test)]
mod tests {
    use symbolon_keys::{Backend, Secret};

    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_790_000_000);

    fn ends(nonce: u64) -> (Sealer, Opener) {
        let cipher = || CipherState::with_nonce(Backend::best(), &Secret::from([7; 32]), nonce);
        (Sealer::new(cipher(), NOW), Opener::new(cipher()))
    }

    #[test]
    fn the_nonces_of_a_session_end() {
        let (mut sealer, mut opener) = ends(u64::MAX - 2);
        for message in [b"last but one", &b"last"[..]] {
            let mut out = Vec::new();
            sealer.seal(message, NOW, &mut out).unwrap();
            assert_eq!(opener.open(&mut out[HEADER_LEN..]), Ok(Opened::Last(message)));
        }
        let mut out = Vec::from(*b"kept");
        assert_eq!(sealer.seal(b"secret", NOW, &mut out), Err(RecordError::Exhausted));
        assert_eq!(sealer.rekey(NOW, &mut out), Err(RecordError::Exhausted));
        assert_eq!(sealer.end(&mut out), Err(RecordError::Exhausted));
        assert_eq!(out, b"kept", "no plaintext is left where ciphertext is expected");
        assert_eq!(opener.open(&mut [0; 17]), Err(RecordError::Exhausted));
        // A new key does not bring nonces back, and one that took the last of them carries nothing.
        let (mut sealer, mut opener) = ends(u64::MAX - 1);
        let mut out = Vec::new();
        sealer.rekey(NOW, &mut out).unwrap();
        assert_eq!(opener.open(&mut out[HEADER_LEN..]), Ok(Opened::Rekeyed));
        assert_eq!(sealer.seal(b"", NOW, &mut out), Err(RecordError::Exhausted));
    }

    #[test]
    fn parts_are_sealed_as_if_they_were_one() {
        let message: Vec<u8> = (0_u8..=255).cycle().take(2 * MAX_RECORD_LEN + 10).collect();
        let (start, rest) = message.split_at(5);
        let (middle, end) = rest.split_at(MAX_RECORD_LEN);
        let parts: [&[u8]; 6] = [&[], start, &[], middle, end, &[]];
        let (mut whole, mut parted) = (Vec::new(), Vec::new());
        let (mut one, _) = ends(0);
        let mut left = Some(&message[..]);
        while let Some(part) = left {
            left = one.seal(part, NOW, &mut whole).unwrap();
        }
        let (mut other, _) = ends(0);
        let mut sealed = Some(0);
        while let Some(before) = sealed {
            sealed = other.seal_parts(&parts, before, NOW, &mut parted).unwrap();
        }
        assert!(whole == parted);
        // Of nothing at all, an empty message.
        let (mut sealer, mut opener) = ends(0);
        let mut out = Vec::new();
        assert_eq!(sealer.seal_parts::<&[u8]>(&[], 0, NOW, &mut out), Ok(None));
        assert_eq!(opener.open(&mut out[HEADER_LEN..]), Ok(Opened::Last(b"")));
    }

    /// How the records that a sealer makes at these seconds differ: `r` for a new key, `d` for data.
    fn kinds(policy: Rekey, seconds: &[u64]) -> String {
        let (mut sealer, mut opener) = ends(0);
        sealer.set_rekey(policy);
        let (mut kinds, mut deframer) = (String::new(), crate::frame::Deframer::new());
        for second in seconds {
            let (message, mut out) = (second.to_be_bytes(), Vec::new());
            let now = NOW.saturating_add(Duration::from_secs(*second));
            assert_eq!(sealer.seal(&message, now, &mut out), Ok(None));
            deframer.feed(&out);
            while let Some((_, body)) = deframer.next(&[Kind::Record]).unwrap() {
                kinds.push(match opener.open(body).unwrap() {
                    Opened::Rekeyed => 'r',
                    Opened::Last(data) if data == message => 'd',
                    other => panic!("{other:?}"),
                });
            }
        }
        kinds
    }

    #[test]
    fn keys_are_replaced_by_time() {
        let by_time = Rekey::after(u64::MAX, Duration::from_secs(120));
        assert_eq!(kinds(by_time, &[0, 119, 120, 121, 239, 240, 1000]), "ddrdddrdrd");
        // Time that passed while nothing was sent counts, once.
        assert_eq!(kinds(by_time, &[10_000, 10_000, 10_119]), "rddd");
        let (mut sealer, _) = ends(0);
        sealer.rekey(NOW.saturating_add(Duration::from_secs(100)), &mut Vec::new()).unwrap();
        let mut out = Vec::new();
        sealer.seal(b"", NOW.saturating_add(Duration::from_secs(219)), &mut out).unwrap();
        assert_eq!(out.len(), HEADER_LEN + 1 + TAG_LEN, "two minutes are counted from the last key");
    }

    #[test]
    fn keys_are_replaced_by_count() {
        let by_count = |records| Rekey::after(records, Duration::MAX);
        assert_eq!(kinds(by_count(3), &[0; 8]), "dddrdddrdd");
        assert_eq!(kinds(by_count(1), &[0; 3]), "drdrd");
        assert_eq!(kinds(by_count(0), &[0; 3]), "drdrd", "a record at the least");
        assert_eq!(kinds(by_count(u64::MAX), &[0, 9, 1 << 40]), "ddd");
        // What nobody sets: 2^16 records or two minutes.
        let default = Rekey::default();
        assert!(default.is_due(1 << 16, Duration::ZERO) && !default.is_due((1 << 16) - 1, Duration::ZERO));
        assert!(default.is_due(0, Duration::from_secs(120)) && !default.is_due(0, Duration::from_secs(119)));
        let (sealer, _) = ends(0);
        assert_eq!(sealer.policy, default);
    }

    #[test]
    fn a_clock_set_back_replaces_no_key_and_ends_nothing() {
        let (mut sealer, mut opener) = ends(0);
        let mut out = Vec::new();
        sealer.seal(b"yesterday", UnixTime::from_secs(0), &mut out).unwrap();
        assert_eq!(opener.open(&mut out[HEADER_LEN..]), Ok(Opened::Last(b"yesterday")));
    }
}
