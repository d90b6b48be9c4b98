use alloc::vec::Vec;

use symbolon_keys::wire::TooLong;
use symbolon_keys::{Label, NoisePublicKey, Secret, UnixTime};

use crate::level::AnswerPayload;
use crate::noise::{CipherState, Exporter, Role};
use crate::record::{Opener, Sealer};
use crate::suite::Suite;

/// A session whose path is proven, before its first record.
#[derive(Debug)]
pub struct Established {
    pub(crate) send: CipherState,
    pub(crate) receive: CipherState,
    pub(crate) context: Context,
}

impl Established {
    /// What is known about the session.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The two directions, and what is known about the session. Keys are replaced by the time that has passed since
    /// `now`.
    #[must_use]
    pub fn into_session(self, now: UnixTime) -> (Sealer, Opener, Context) {
        (Sealer::new(self.send, now), Opener::new(self.receive), self.context)
    }
}

/// What both ends know about their session.
#[derive(Debug)]
pub struct Context {
    pub(crate) exporter: Exporter,
    pub(crate) peer: Option<NoisePublicKey>,
    pub(crate) suite: Suite,
    pub(crate) role: Role,
    pub(crate) application: Vec<u8>,
}

impl Context {
    /// The proven static key of the other end; none for an initiator without one (NK, NX).
    #[must_use]
    pub const fn peer(&self) -> Option<&NoisePublicKey> {
        self.peer.as_ref()
    }

    /// The suite of the handshake.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Which end this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// What the responder's application said beside the assignment, and at which level it was said.
    #[must_use]
    pub fn application(&self) -> AnswerPayload<'_> {
        AnswerPayload::new(&self.application, self.suite)
    }

    /// The hash of the handshake, the same on both ends, for channel binding. It is no secret.
    #[must_use]
    pub const fn handshake_hash(&self) -> &[u8; 32] {
        self.exporter.handshake_hash()
    }

    /// `N` bytes that only the two ends know, for `label` and `context` (C5).
    ///
    /// # Errors
    /// [`TooLong`] if `context` has more than 65,535 bytes.
    pub fn export<const N: usize>(&self, label: Label, context: &[u8]) -> Result<Secret<N>, TooLong> {
        self.exporter.export(label, context)
    }
}
