use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use symbolon_keys::wire::put_lp;
use symbolon_keys::{Backend, NoisePublicKey, Psk};

use super::Initiator;
use crate::assignment::MAX_APPLICATION_LEN;
use crate::error::AgreementError;
use crate::hello::{Hello, Retried, prologue};
use crate::noise::{HandshakeState, Role, StaticKey};
use crate::responder::GuessableKey;
use crate::suite::Suite;

/// What is said about a handshake before it starts, keys aside.
pub(super) struct Settings {
    pub(super) base: Suite,
    pub(super) hybrid: bool,
    pub(super) allow_classical: bool,
    pub(super) psk_place: Option<u8>,
    pub(super) backend: Backend,
    pub(super) early: Vec<u8>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, hybrid, allow_classical, psk_place, backend, early } = self;
        f.debug_struct("Settings")
            .field("suite", &base.hybrid(*hybrid))
            .field("allow_classical", allow_classical)
            .field("psk_place", psk_place)
            .field("backend", backend)
            .field("early_bytes", &early.len())
            .finish()
    }
}

/// The responder's key is known: whoever cannot prove to hold it is refused.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pinned {
    key: NoisePublicKey,
}

/// The responder's key is not known beforehand: it must be verified before anything else can be done.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unpinned;

/// Nothing has been said about the responder's key yet.
#[derive(Debug)]
#[non_exhaustive]
pub struct Undecided;

/// A handshake to be started. See [`Initiator`].
#[must_use]
#[derive(Debug)]
pub struct InitiatorBuilder<'k, T = Undecided> {
    pub(super) settings: Settings,
    pub(super) s: Option<StaticKey<'k>>,
    pub(super) psks: Vec<Psk>,
    pub(super) trust: T,
}

impl<'k> InitiatorBuilder<'k> {
    pub(super) const fn new(base: Suite, s: Option<StaticKey<'k>>) -> Self {
        let settings = Settings {
            base,
            hybrid: true,
            allow_classical: false,
            psk_place: None,
            backend: Backend::best(),
            early: Vec::new(),
        };
        Self { settings, s, psks: Vec::new(), trust: Undecided }
    }

    /// Only the holder of `responder` will do.
    pub fn expect(self, responder: NoisePublicKey) -> InitiatorBuilder<'k, Pinned> {
        self.trust(Pinned { key: responder })
    }

    /// The responder's key will be looked at when it has come.
    ///
    /// # Security
    /// Then nothing says whom the first message reached. Whatever follows waits for [`Unverified::verify`](super::Unverified::verify).
    pub fn unpinned(self) -> InitiatorBuilder<'k, Unpinned> {
        self.trust(Unpinned)
    }

    fn trust<T>(self, trust: T) -> InitiatorBuilder<'k, T> {
        InitiatorBuilder { settings: self.settings, s: self.s, psks: self.psks, trust }
    }
}

impl<'k, T> InitiatorBuilder<'k, T> {
    /// X25519 alone, without ML-KEM-768.
    pub const fn classical(mut self) -> Self {
        self.settings.hybrid = false;
        self
    }

    /// Falls back to X25519 alone where the responder says that it has no ML-KEM-768.
    ///
    /// # Security
    /// Nothing authenticates a refusal when it comes. But both ends hash it and the refused hello before the retry: who
    /// forges one to a responder that has the hybrid suite gets no session made, only this attempt to fail.
    /// [`Context::suite`](crate::Context::suite) says what came about.
    pub const fn allow_classical(mut self) -> Self {
        self.settings.allow_classical = true;
        self
    }

    /// Mixes a pre-shared key in at `place` (`psk0` at the very beginning, `psk3` at the end of the third message).
    pub fn psk(mut self, place: u8, psk: Psk) -> Self {
        self.settings.psk_place = Some(place);
        self.psks = Vec::from([psk]);
        self
    }

    /// Which backend computes; [`Backend::best`] if nothing is said.
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.settings.backend = backend;
        self
    }

    /// Sends `payload` in the first message, at the level that the pattern gives it there.
    ///
    /// # Security
    /// **It can be replayed**: whoever records the first message can send it again, and the responder's application
    /// gets the payload again. It has no forward secrecy if the responder's key is stolen, and in a hybrid suite it
    /// is protected by X25519 alone. Patterns that do not know the responder (XX, NX, IX, KX) would send it in the
    /// clear, and refuse it. It has at most [`MAX_APPLICATION_LEN`] bytes.
    pub fn replayable_early_payload(mut self, payload: &[u8]) -> Self {
        self.settings.early = payload.to_vec();
        self
    }
}

impl InitiatorBuilder<'_, Pinned> {
    /// Mixes in a key that came from a passphrase. Only for NK (at `psk0`) and XK (at `psk3`); any other pattern does
    /// not [start](Self::start).
    ///
    /// # Security
    /// With the server pinned, a stranger in between learns nothing to try guesses on. Whoever steals the server's key
    /// can try guesses on handshakes that were recorded, and so can a later quantum computer in a classical suite:
    /// mix a secret of full entropy into the passphrase where you can, and use [`Self::psk`].
    pub fn guessable_psk(self, key: GuessableKey) -> Self {
        // A place that no suite has: `start` refuses.
        let place = match self.settings.base {
            Suite::NK => 0,
            Suite::XK => 3,
            _ => u8::MAX,
        };
        self.psk(place, Psk::from(key.0))
    }
}

impl<'k, T: Trust> InitiatorBuilder<'k, T> {
    /// Makes the first message.
    ///
    /// # Errors
    /// [`AgreementError::Keys`] if the pattern needs the responder's key and none is pinned, has no place for a
    /// pre-shared key where one was given, or would send an early payload in the clear; [`AgreementError::TooLong`].
    pub fn start<R: CryptoRng + ?Sized>(self, rng: &mut R) -> Result<Initiator<'k, T>, AgreementError> {
        let hybrid = self.settings.hybrid;
        self.start_with(hybrid, None, rng)
    }

    pub(super) fn start_with<R: CryptoRng + ?Sized>(
        self,
        hybrid: bool,
        retried: Option<Retried>,
        rng: &mut R,
    ) -> Result<Initiator<'k, T>, AgreementError> {
        let Self { settings, s, psks, trust } = self;
        let suite_of = |hybrid| {
            let suite = settings.base.hybrid(hybrid);
            settings.psk_place.map_or(Some(suite), |place| suite.with_psk(place)).ok_or(AgreementError::Keys)
        };
        let suite = suite_of(hybrid)?;
        let mut offered = Vec::from([suite]);
        if hybrid && settings.allow_classical {
            offered.push(suite_of(false)?);
        }
        let hello = Hello::new(suite, &offered).to_bytes();
        let prologue = prologue(&hello, retried.as_ref())?;

        let protocol = suite.protocol().ok_or(AgreementError::Keys)?;
        let mut builder =
            HandshakeState::builder(protocol, Role::Initiator).backend(settings.backend).prologue(&prologue);
        let knows_responder = protocol.pattern().knows_responder;
        if knows_responder {
            builder = builder.remote_static(*trust.pinned().ok_or(AgreementError::Keys)?);
        } else if !settings.early.is_empty() {
            return Err(AgreementError::Keys);
        }
        if settings.early.len() > MAX_APPLICATION_LEN {
            return Err(AgreementError::TooLong);
        }
        if let Some(s) = s {
            builder = builder.local_static(s);
        }
        for psk in psks {
            builder = builder.psk(psk);
        }
        let mut handshake = builder.build()?;
        let m1 = handshake.write_message(&settings.early, rng)?;
        let mut body = hello.clone();
        put_lp(&mut body, &m1)?;
        let retry = retried.is_some();
        Ok(Initiator { handshake: Some(handshake), settings, suite, hello, retry, body, trust })
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "sealed: these are all the ways to trust a key")]
    pub trait Sealed {}
}

/// How the responder's key is trusted.
pub trait Trust: sealed::Sealed + fmt::Debug {
    #[doc(hidden)]
    fn pinned(&self) -> Option<&NoisePublicKey> {
        None
    }
}

impl sealed::Sealed for Pinned {}
impl sealed::Sealed for Unpinned {}
impl Trust for Unpinned {}
impl Trust for Pinned {
    fn pinned(&self) -> Option<&NoisePublicKey> {
        Some(&self.key)
    }
}
