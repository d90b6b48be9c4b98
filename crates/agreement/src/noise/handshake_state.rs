use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use rand_core::CryptoRng;
use symbolon_keys::hazmat::{KEM_CIPHERTEXT_LEN, KEM_PUBLIC_LEN, KemSecretKey, encapsulate};
use symbolon_keys::{Backend, NoisePublicKey, NoiseSecretKey, Psk, SharedSecret};

use super::pattern::Token;
use super::symmetric_state::SymmetricState;
use super::{MAX_MESSAGE_LEN, NoiseError, Protocol, TransportState};

/// Which end of the handshake this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The one who sends the first message.
    Initiator,
    /// The one who answers.
    Responder,
}

/// One's own static key: borrowed for one handshake, or shared by many.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StaticKey<'k> {
    /// Borrowed.
    Borrowed(&'k NoiseSecretKey),
    /// Shared.
    Shared(Arc<NoiseSecretKey>),
}

impl Deref for StaticKey<'_> {
    type Target = NoiseSecretKey;

    fn deref(&self) -> &NoiseSecretKey {
        match self {
            Self::Borrowed(key) => key,
            Self::Shared(key) => key,
        }
    }
}

impl<'k> From<&'k NoiseSecretKey> for StaticKey<'k> {
    fn from(key: &'k NoiseSecretKey) -> Self {
        Self::Borrowed(key)
    }
}

impl From<Arc<NoiseSecretKey>> for StaticKey<'_> {
    fn from(key: Arc<NoiseSecretKey>) -> Self {
        Self::Shared(key)
    }
}

/// A handshake under way (Noise 5.3).
///
/// Call [`Self::write_message`] and [`Self::read_message`] in turns, as the pattern says, then
/// [`Self::into_transport`]. A message is processed on a copy: one that does not verify changes nothing, and the true
/// one can still come.
pub struct HandshakeState<'k> {
    protocol: Protocol,
    role: Role,
    backend: Backend,
    s: Option<StaticKey<'k>>,
    psks: Vec<Psk>,
    e: Option<NoiseSecretKey>,
    e1: Option<KemSecretKey>,
    at: Progress,
}

/// What a message changes, and so what is copied to try one.
struct Progress {
    symmetric: SymmetricState,
    re: Option<[u8; 32]>,
    rs: Option<NoisePublicKey>,
    re1: Option<Box<[u8; KEM_PUBLIC_LEN]>>,
    message: usize,
    psk: usize,
}

impl Progress {
    fn copy(&self) -> Self {
        Self {
            symmetric: self.symmetric.copy(),
            re: self.re,
            rs: self.rs,
            re1: self.re1.clone(),
            message: self.message,
            psk: self.psk,
        }
    }
}

/// The state after a message, before it is taken over.
pub(crate) struct Tried(Progress);

impl Tried {
    pub(crate) const fn remote_static(&self) -> Option<&NoisePublicKey> {
        self.0.rs.as_ref()
    }
}

impl<'k> HandshakeState<'k> {
    /// Begins to describe a handshake.
    pub const fn builder<'p>(protocol: Protocol, role: Role) -> HandshakeBuilder<'k, 'p> {
        HandshakeBuilder {
            protocol,
            role,
            backend: Backend::best(),
            prologue: &[],
            s: None,
            rs: None,
            psks: Vec::new(),
            #[cfg(feature = "hazmat")]
            name: None,
        }
    }

    /// Whether the next message is this end's to write.
    #[must_use]
    pub const fn is_my_turn(&self) -> bool {
        let initiators = self.at.message.is_multiple_of(2);
        !self.is_complete() && initiators == matches!(self.role, Role::Initiator)
    }

    /// Whether all messages have been written and read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.at.message >= self.protocol.messages()
    }

    /// The other end's static key, once it is known. Who holds it is proven only as far as the pattern has come.
    #[must_use]
    pub const fn remote_static(&self) -> Option<&NoisePublicKey> {
        self.at.rs.as_ref()
    }

    /// The other end's ephemeral key, once it has come.
    pub(crate) const fn remote_ephemeral(&self) -> Option<&[u8; 32]> {
        self.at.re.as_ref()
    }

    /// The hash of the handshake so far.
    #[must_use]
    pub const fn handshake_hash(&self) -> &[u8; 32] {
        self.at.symmetric.handshake_hash()
    }

    /// Adds the pre-shared key that the next `psk` token takes: where it is chosen by the other end's static key.
    pub(crate) fn add_psk(&mut self, psk: Psk) {
        self.psks.push(psk);
    }

    /// Writes the next message with `payload` in it.
    ///
    /// # Security
    /// What protects the payload depends on pattern and message (Noise 7.7; `docs/patterns.md`): the first message of
    /// many patterns is not encrypted at all.
    ///
    /// # Errors
    /// [`NoiseError::OutOfTurn`], [`NoiseError::TooLong`], [`NoiseError::MissingKey`]; [`NoiseError::Rejected`] if a
    /// key of the other end turns out to be useless. The state is then as it was.
    pub fn write_message<R: CryptoRng + ?Sized>(
        &mut self,
        payload: &[u8],
        rng: &mut R,
    ) -> Result<Vec<u8>, NoiseError> {
        self.write(payload, Some(rng))
    }

    /// As [`Self::write_message`], for a message without an ephemeral key: the last of XX and XK.
    pub(crate) fn write_last(&mut self, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
        self.write::<dyn CryptoRng>(payload, None)
    }

    fn write<R: CryptoRng + ?Sized>(
        &mut self,
        payload: &[u8],
        rng: Option<&mut R>,
    ) -> Result<Vec<u8>, NoiseError> {
        if !self.is_my_turn() {
            return Err(NoiseError::OutOfTurn);
        }
        let (had_e, had_e1) = (self.e.is_some(), self.e1.is_some());
        let mut at = self.at.copy();
        let written = self.write_on(&mut at, payload, rng);
        if written.is_ok() {
            self.at = at;
        } else {
            self.e = self.e.take().filter(|_| had_e);
            self.e1 = self.e1.take().filter(|_| had_e1);
        }
        written
    }

    fn write_on<R: CryptoRng + ?Sized>(
        &mut self,
        at: &mut Progress,
        payload: &[u8],
        mut rng: Option<&mut R>,
    ) -> Result<Vec<u8>, NoiseError> {
        let mut out = Vec::with_capacity(payload.len().saturating_add(128));
        for token in self.protocol.tokens(at.message).ok_or(NoiseError::OutOfTurn)? {
            match token {
                Token::E => {
                    let e = NoiseSecretKey::generate(
                        self.backend,
                        rng.as_deref_mut().ok_or(NoiseError::OutOfTurn)?,
                    );
                    out.extend_from_slice(e.public_key().as_bytes());
                    self.mix_ephemeral(at, e.public_key().as_bytes())?;
                    self.e = Some(e);
                }
                Token::S => {
                    let s = self.s.as_ref().ok_or(NoiseError::MissingKey)?;
                    at.symmetric.encrypt_and_hash(s.public_key().as_bytes(), &mut out)?;
                }
                Token::E1 => {
                    let e1 = KemSecretKey::generate(
                        self.backend,
                        rng.as_deref_mut().ok_or(NoiseError::OutOfTurn)?,
                    );
                    at.symmetric.encrypt_and_hash(&e1.public_key()?, &mut out)?;
                    self.e1 = Some(e1);
                }
                Token::Ekem1 => {
                    let theirs = at.re1.as_ref().ok_or(NoiseError::OutOfTurn)?;
                    let (ciphertext, shared) =
                        encapsulate(self.backend, theirs, rng.as_deref_mut().ok_or(NoiseError::OutOfTurn)?)?;
                    at.symmetric.encrypt_and_hash(&ciphertext, &mut out)?;
                    at.symmetric.mix_key(shared.raw().expose())?;
                }
                Token::Psk => self.mix_psk(at)?,
                Token::Ee | Token::Es | Token::Se | Token::Ss => self.mix_dh(at, token)?,
            }
        }
        at.symmetric.encrypt_and_hash(payload, &mut out)?;
        at.message = at.message.saturating_add(1);
        if out.len() > MAX_MESSAGE_LEN { Err(NoiseError::TooLong) } else { Ok(out) }
    }

    /// Reads the next message and returns its payload.
    ///
    /// # Errors
    /// [`NoiseError::Rejected`] whatever is wrong with the message; [`NoiseError::OutOfTurn`],
    /// [`NoiseError::MissingKey`]. The state is then as it was.
    pub fn read_message(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let (tried, payload) = self.try_read(message, |_| None)?;
        self.commit(tried);
        Ok(payload)
    }

    /// Reads the next message on a copy, for a caller who has more to check before it is [committed](Self::commit).
    /// A `psk` token whose key was not given beforehand asks `psk_of` for that of the initiator named before it.
    pub(crate) fn try_read(
        &self,
        message: &[u8],
        psk_of: impl FnOnce(Option<&NoisePublicKey>) -> Option<Psk>,
    ) -> Result<(Tried, Vec<u8>), NoiseError> {
        if self.is_my_turn() || self.is_complete() {
            return Err(NoiseError::OutOfTurn);
        }
        if message.len() > MAX_MESSAGE_LEN {
            return Err(NoiseError::Rejected);
        }
        let mut at = self.at.copy();
        let payload = self.read_on(&mut at, message, psk_of)?;
        Ok((Tried(at), payload))
    }

    /// Goes on from a message that was tried.
    pub(crate) fn commit(&mut self, tried: Tried) {
        self.at = tried.0;
    }

    fn read_on(
        &self,
        at: &mut Progress,
        message: &[u8],
        psk_of: impl FnOnce(Option<&NoisePublicKey>) -> Option<Psk>,
    ) -> Result<Vec<u8>, NoiseError> {
        let (mut rest, mut psk_of) = (message, Some(psk_of));
        let mut take = |n: usize| {
            let (taken, left) = rest.split_at_checked(n).ok_or(NoiseError::Rejected)?;
            rest = left;
            Ok::<_, NoiseError>(taken)
        };
        for token in self.protocol.tokens(at.message).ok_or(NoiseError::OutOfTurn)? {
            let sealed = |n: usize| n.saturating_add(at.symmetric.overhead());
            match token {
                Token::E => {
                    let e = take(32)?.try_into().map_err(|_| NoiseError::Rejected)?;
                    self.mix_ephemeral(at, &e)?;
                    at.re = Some(e);
                }
                Token::S => {
                    let s = at.symmetric.decrypt_and_hash(take(sealed(32))?)?;
                    let s = s.try_into().map_err(|_| NoiseError::Rejected)?;
                    at.rs = Some(NoisePublicKey::from_bytes(s).map_err(|_| NoiseError::Rejected)?);
                }
                Token::E1 => {
                    let e1 = at.symmetric.decrypt_and_hash(take(sealed(KEM_PUBLIC_LEN))?)?;
                    at.re1 = Some(e1.into_boxed_slice().try_into().map_err(|_| NoiseError::Rejected)?);
                }
                Token::Ekem1 => {
                    let ciphertext = at.symmetric.decrypt_and_hash(take(sealed(KEM_CIPHERTEXT_LEN))?)?;
                    let ciphertext = ciphertext.as_slice().try_into().map_err(|_| NoiseError::Rejected)?;
                    let e1 = self.e1.as_ref().ok_or(NoiseError::OutOfTurn)?;
                    at.symmetric.mix_key(e1.decapsulate(ciphertext)?.raw().expose())?;
                }
                Token::Psk if self.psks.len() <= at.psk => {
                    let psk_of = psk_of.take().ok_or(NoiseError::MissingKey)?;
                    let psk = psk_of(at.rs.as_ref()).ok_or(NoiseError::Rejected)?;
                    at.symmetric.mix_key_and_hash(psk.secret().expose())?;
                    at.psk = at.psk.saturating_add(1);
                }
                Token::Psk => self.mix_psk(at)?,
                Token::Ee | Token::Es | Token::Se | Token::Ss => self.mix_dh(at, token)?,
            }
        }
        at.message = at.message.saturating_add(1);
        at.symmetric.decrypt_and_hash(rest)
    }

    /// Ends a completed handshake: `Split`.
    ///
    /// # Errors
    /// [`NoiseError::OutOfTurn`] if messages are still to come.
    pub fn into_transport(self) -> Result<TransportState, NoiseError> {
        if !self.is_complete() {
            return Err(NoiseError::OutOfTurn);
        }
        let (i, r, exporter) = self.at.symmetric.split()?;
        let initiator = self.role == Role::Initiator;
        let one_way = self.protocol.is_one_way().then_some(initiator);
        let (send, receive) = if initiator { (i, r) } else { (r, i) };
        Ok(TransportState::new(send, receive, exporter, one_way))
    }

    /// The keys that were given, for another attempt.
    pub(crate) fn into_keys(self) -> (Option<StaticKey<'k>>, Vec<Psk>) {
        (self.s, self.psks)
    }

    /// Noise 9.2: with pre-shared keys, an ephemeral key goes into the chain as well.
    fn mix_ephemeral(&self, at: &mut Progress, e: &[u8; 32]) -> Result<(), NoiseError> {
        at.symmetric.mix_hash(e);
        if self.protocol.psks() > 0 { at.symmetric.mix_key(e) } else { Ok(()) }
    }

    fn mix_psk(&self, at: &mut Progress) -> Result<(), NoiseError> {
        let psk = self.psks.get(at.psk).ok_or(NoiseError::MissingKey)?;
        at.psk = at.psk.saturating_add(1);
        at.symmetric.mix_key_and_hash(psk.secret().expose())
    }

    fn mix_dh(&self, at: &mut Progress, token: Token) -> Result<(), NoiseError> {
        let shared = self.diffie_hellman(at, token)?;
        at.symmetric.mix_key(shared.raw().expose())
    }

    /// The first letter of a token is the initiator's key, the second the responder's.
    fn diffie_hellman(&self, at: &Progress, token: Token) -> Result<SharedSecret, NoiseError> {
        let initiator = self.role == Role::Initiator;
        let mine = match token {
            Token::Ss => self.s.as_deref(),
            Token::Se if initiator => self.s.as_deref(),
            Token::Es if !initiator => self.s.as_deref(),
            _ => self.e.as_ref(),
        };
        let theirs = match token {
            Token::Ss => at.rs.as_ref().map(NoisePublicKey::as_bytes),
            Token::Es if initiator => at.rs.as_ref().map(NoisePublicKey::as_bytes),
            Token::Se if !initiator => at.rs.as_ref().map(NoisePublicKey::as_bytes),
            _ => at.re.as_ref(),
        };
        let (mine, theirs) = mine.zip(theirs).ok_or(NoiseError::MissingKey)?;
        Ok(mine.diffie_hellman_with(theirs)?)
    }
}

impl fmt::Debug for HandshakeState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, role, backend: _, s: _, psks: _, e: _, e1: _, at } = self;
        write!(f, "HandshakeState({protocol}, {role:?}, message {})", at.message)
    }
}

/// Keys and prologue of a handshake to be.
#[must_use]
#[derive(Debug)]
pub struct HandshakeBuilder<'k, 'p> {
    protocol: Protocol,
    role: Role,
    backend: Backend,
    prologue: &'p [u8],
    s: Option<StaticKey<'k>>,
    rs: Option<NoisePublicKey>,
    psks: Vec<Psk>,
    #[cfg(feature = "hazmat")]
    name: Option<&'p str>,
}

impl<'k, 'p> HandshakeBuilder<'k, 'p> {
    /// Which backend computes; [`Backend::best`] if nothing is said.
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// What both ends must have seen alike before the handshake (Noise 6).
    pub const fn prologue(mut self, prologue: &'p [u8]) -> Self {
        self.prologue = prologue;
        self
    }

    /// This end's static key.
    pub fn local_static(mut self, key: impl Into<StaticKey<'k>>) -> Self {
        self.s = Some(key.into());
        self
    }

    /// The other end's static key, for patterns that know it beforehand.
    pub const fn remote_static(mut self, key: NoisePublicKey) -> Self {
        self.rs = Some(key);
        self
    }

    /// A pre-shared key, for the next `psk` modifier.
    pub fn psk(mut self, psk: Psk) -> Self {
        self.psks.push(psk);
        self
    }

    /// The name that goes into the hash instead of the protocol's own.
    ///
    /// # Security
    /// Only to compare with an implementation that calls the same protocol otherwise. Two protocols under one name
    /// can be played against each other.
    #[cfg(feature = "hazmat")]
    pub const fn hazmat_name(mut self, name: &'p str) -> Self {
        self.name = Some(name);
        self
    }

    /// The handshake, before its first message.
    ///
    /// # Errors
    /// [`NoiseError::MissingKey`] if the pattern needs a static key that was not given; [`NoiseError::UnusedKey`] if
    /// the pattern takes no such key. (Pre-shared keys that are missing show when their token comes.)
    pub fn build(self) -> Result<HandshakeState<'k>, NoiseError> {
        let pattern = self.protocol.pattern();
        let initiator = self.role == Role::Initiator;
        let (knows_me, knows_them) = if initiator {
            (pattern.knows_initiator, pattern.knows_responder)
        } else {
            (pattern.knows_responder, pattern.knows_initiator)
        };
        let s = self.s.as_ref().map(|s| *s.public_key());
        if self.rs.is_some() && !knows_them || self.psks.len() > self.protocol.psks() {
            return Err(NoiseError::UnusedKey);
        }
        if self.rs.is_none() && knows_them || s.is_none() && knows_me {
            return Err(NoiseError::MissingKey);
        }
        let name = self.protocol.to_string();
        #[cfg(feature = "hazmat")]
        let name = self.name.map_or(name, ToString::to_string);
        let mut symmetric = SymmetricState::new(self.backend, &name);
        symmetric.mix_hash(self.prologue);
        let (i, r) = if initiator { (s, self.rs) } else { (self.rs, s) };
        for (known, key) in [(pattern.knows_initiator, i), (pattern.knows_responder, r)] {
            if let Some(key) = key.filter(|_| known) {
                symmetric.mix_hash(key.as_bytes());
            }
        }
        let at = Progress { symmetric, re: None, rs: self.rs, re1: None, message: 0, psk: 0 };
        let Self { protocol, role, backend, s, psks, .. } = self;
        Ok(HandshakeState { protocol, role, backend, s, psks, e: None, e1: None, at })
    }
}
