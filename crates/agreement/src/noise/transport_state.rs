use alloc::vec::Vec;
use core::fmt;

use symbolon_keys::wire::TooLong;
use symbolon_keys::{Label, RootKey, Secret, TAG_LEN};

use super::{CipherState, NoiseError};

/// Both directions of a completed handshake (Noise 5.3, after `Split`).
#[derive(Debug)]
pub struct TransportState {
    send: CipherState,
    receive: CipherState,
    exporter: Exporter,
    one_way: Option<bool>,
}

impl TransportState {
    pub(super) const fn new(
        send: CipherState,
        receive: CipherState,
        exporter: Exporter,
        one_way: Option<bool>,
    ) -> Self {
        Self { send, receive, exporter, one_way }
    }

    /// Encrypts one message of at most 65,519 bytes.
    ///
    /// # Errors
    /// [`NoiseError::TooLong`], [`NoiseError::Exhausted`]; [`NoiseError::OutOfTurn`] for the receiver of a one-way
    /// pattern.
    pub fn write_message(&mut self, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
        if self.one_way == Some(false) {
            return Err(NoiseError::OutOfTurn);
        }
        let mut message = Vec::with_capacity(payload.len().saturating_add(TAG_LEN));
        message.extend_from_slice(payload);
        let tag = self.send.encrypt_in_place(&[], &mut message)?;
        message.extend_from_slice(&tag);
        Ok(message)
    }

    /// Decrypts the next message.
    ///
    /// # Errors
    /// [`NoiseError::Rejected`], and the state is as it was; [`NoiseError::OutOfTurn`] for the sender of a one-way
    /// pattern.
    pub fn read_message(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        if self.one_way == Some(true) {
            return Err(NoiseError::OutOfTurn);
        }
        if message.len() > super::MAX_MESSAGE_LEN {
            return Err(NoiseError::TooLong);
        }
        let (data, tag) = message.split_last_chunk::<TAG_LEN>().ok_or(NoiseError::Rejected)?;
        let mut data = data.to_vec();
        self.receive.decrypt_in_place(&[], &mut data, tag)?;
        Ok(data)
    }

    /// The exporter of the completed handshake.
    #[must_use]
    pub const fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// The two states, sending and receiving: to move to two tasks, or to work in place.
    #[must_use]
    pub fn into_parts(self) -> (CipherState, CipherState, Exporter) {
        (self.send, self.receive, self.exporter)
    }
}

/// What a completed handshake gives besides its traffic keys: its hash, and further keys (C5).
pub struct Exporter {
    x: RootKey,
    h: [u8; 32],
}

impl Exporter {
    pub(crate) const fn new(x: RootKey, h: [u8; 32]) -> Self {
        Self { x, h }
    }

    /// `N` bytes that only the two ends of this session know: `derive(x, label, [h, context], N)`.
    ///
    /// # Errors
    /// [`TooLong`] if `context` has more than 65,535 bytes.
    pub fn export<const N: usize>(&self, label: Label, context: &[u8]) -> Result<Secret<N>, TooLong> {
        self.x.derive(label, &[&self.h, context])
    }

    /// The hash of the whole handshake, for channel binding (Noise 11.2). It is no secret.
    #[must_use]
    pub const fn handshake_hash(&self) -> &[u8; 32] {
        &self.h
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { x: _, h: _ } = self;
        f.write_str("Exporter(..)")
    }
}
