//! Packets of a session over datagrams: `09 || u32 epoch || u64 n || ciphertext || tag`.

use alloc::vec::Vec;

use symbolon_keys::wire::Reader;
use symbolon_keys::{Rejected, TAG_LEN, UnixTime};

use super::window::ReplayWindow;
use crate::established::{Context, Established};
use crate::noise::CipherState;
use crate::record::{RecordError, Rekey};

/// The type of a packet.
pub(super) const PACKET: u8 = 9;

const HEADER_LEN: usize = 13;

/// How many epochs at most a receiver skips at once: whole ones may be lost. Each costs it one encryption.
const MAX_SKIP: u32 = 16;

/// The sending direction of a session over datagrams.
#[derive(Debug)]
pub struct PacketSealer {
    cipher: CipherState,
    epoch: u32,
    policy: Rekey,
    since: (u64, UnixTime),
}

impl PacketSealer {
    /// Changes when keys are replaced. A receiver skips 16 lost epochs, and no more: with few packets to an epoch, that is
    /// a short burst of loss, after which it opens nothing.
    pub const fn set_rekey(&mut self, policy: Rekey) {
        self.policy = policy;
    }

    /// Appends the packet with `payload` to `out`. Where it is time, it goes under the key of the next epoch.
    ///
    /// # Errors
    /// [`RecordError::Exhausted`] when numbers or epochs are spent, [`RecordError::TooLong`].
    pub fn seal(&mut self, payload: &[u8], now: UnixTime, out: &mut Vec<u8>) -> Result<(), RecordError> {
        let (number, time) = self.since;
        if self.policy.is_due(self.cipher.nonce().saturating_sub(number), now.saturating_since(time)) {
            self.epoch = self.epoch.checked_add(1).ok_or(RecordError::Exhausted)?;
            self.cipher.rekey()?;
            self.since = (self.cipher.nonce(), now);
        }
        let mut header = [0; HEADER_LEN];
        let epoch = self.epoch.to_be_bytes();
        let n = self.cipher.nonce().to_be_bytes();
        for (to, from) in header.iter_mut().zip([PACKET].iter().chain(&epoch).chain(&n)) {
            *to = *from;
        }
        let start = out.len();
        out.extend_from_slice(&header);
        let data = out.len();
        out.extend_from_slice(payload);
        match self.cipher.encrypt_in_place(&header, out.get_mut(data..).unwrap_or_default()) {
            Ok(tag) => {
                out.extend_from_slice(&tag);
                Ok(())
            }
            Err(error) => {
                out.truncate(start);
                Err(error.into())
            }
        }
    }
}

/// The receiving direction of a session over datagrams.
#[derive(Debug)]
pub struct PacketOpener {
    epoch: u32,
    cipher: CipherState,
    /// That of the epoch before, for packets that were overtaken.
    before: Option<CipherState>,
    window: ReplayWindow,
}

impl PacketOpener {
    /// Opens a packet in place and returns its payload. Each is taken once, in whatever order.
    ///
    /// # Errors
    /// [`Rejected`] if it is forged, was taken before, or is too old; the session goes on.
    pub fn open<'a>(&mut self, packet: &'a mut [u8]) -> Result<&'a [u8], Rejected> {
        let (header, body) = packet.split_at_mut_checked(HEADER_LEN).ok_or(Rejected)?;
        let (epoch, n) = parse(header)?;
        let (data, tag) = body.split_last_chunk_mut::<TAG_LEN>().ok_or(Rejected)?;
        if !self.window.is_new(n) {
            return Err(Rejected);
        }
        if epoch == self.epoch {
            self.cipher.decrypt_at(n, header, data, tag).map_err(|_| Rejected)?;
        } else if self.epoch.checked_sub(1) == Some(epoch) {
            let before = self.before.as_ref().ok_or(Rejected)?;
            before.decrypt_at(n, header, data, tag).map_err(|_| Rejected)?;
        } else {
            // On a copy: a forged epoch moves nobody on.
            let (before, cipher) = self.skip_to(epoch)?;
            cipher.decrypt_at(n, header, data, tag).map_err(|_| Rejected)?;
            let current = core::mem::replace(&mut self.cipher, cipher);
            self.before = before.or(Some(current));
            self.epoch = epoch;
        }
        self.window.mark(n);
        Ok(data)
    }

    /// The keys of an epoch to come, and of the one before it if that is not the current one.
    fn skip_to(&self, epoch: u32) -> Result<(Option<CipherState>, CipherState), Rejected> {
        let skip = epoch.checked_sub(self.epoch).filter(|skip| *skip <= MAX_SKIP).ok_or(Rejected)?;
        let (mut before, mut cipher) = (None, self.cipher.rekeyed().map_err(|_| Rejected)?);
        for _ in 1..skip {
            let next = cipher.rekeyed().map_err(|_| Rejected)?;
            before = Some(core::mem::replace(&mut cipher, next));
        }
        Ok((before, cipher))
    }
}

fn parse(header: &[u8]) -> Result<(u32, u64), Rejected> {
    let mut r = Reader::new(header);
    let mut parse = || {
        r.expect(&[PACKET])?;
        Ok::<_, symbolon_keys::wire::Malformed>((r.u32()?, r.u64()?))
    };
    parse().map_err(|_| Rejected)
}

impl Established {
    /// The two directions over datagrams, and what is known about the session.
    #[must_use]
    pub fn into_datagrams(self, now: UnixTime) -> (PacketSealer, PacketOpener, Context) {
        let since = (self.send.nonce(), now);
        let sealer = PacketSealer { cipher: self.send, epoch: 0, policy: Rekey::default(), since };
        // Nonce 0 carried the claim in patterns of two messages: it cannot come again.
        let mut window = ReplayWindow::new();
        if self.receive.nonce() > 0 {
            window.mark(0);
        }
        let opener = PacketOpener { epoch: 0, cipher: self.receive, before: None, window };
        (sealer, opener, self.context)
    }
}
