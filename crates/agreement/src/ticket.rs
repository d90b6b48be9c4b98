//! One pending handshake at its responder: claims, paths, and the first proof that ends it (C5).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use symbolon_keys::wire::Reader;
use symbolon_keys::{NoisePublicKey, TAG_LEN, UnixTime};

use crate::assignment::{Assignment, TicketId};
use crate::error::AgreementError;
use crate::established::{Context, Established};
use crate::noise::{CipherState, HandshakeState, NoiseError, Role};
use crate::path::PathKeys;
use crate::responder::Responder;
use crate::suite::Suite;

/// The most unproved paths of one ticket: whoever replays a claim can hold no more, and the owner always gets one.
pub const MAX_PATHS: usize = 16;

/// How long a path may take to prove itself: one round trip, generously.
pub const PATH_DEADLINE: Duration = Duration::from_secs(5);

/// Where a claim arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrival {
    /// On this assigned port.
    Port(u16),
    /// On the well-known port, on another connection than the first message.
    WellKnown,
    /// On the connection of the first message.
    SameConnection,
}

/// One path that presented the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(u64);

/// A handshake that waits for its claim, and then for the proof of a path.
///
/// Claims are verified on a copy; what is forged, repeated or late changes nothing. Only the first proof consumes the
/// ticket.
pub struct Ticket {
    assignment: Assignment,
    suite: Suite,
    responder: Responder,
    issued: UnixTime,
    state: State,
    paths: Vec<Path>,
    next_path: u64,
}

enum State {
    /// The third message is to come (XX, XK).
    Handshake(Box<HandshakeState<'static>>),
    /// The handshake is complete; an empty transport message at nonce 0 is to come (IK, NK, KK, NX, IX, KX).
    Transport(Box<Established>),
    /// One claim has verified; its repeats are known by their hash.
    Claimed { hash: [u8; 32], keys: PathKeys, established: Box<Established> },
    /// A path was proven.
    Consumed,
}

struct Path {
    id: PathId,
    challenge: [u8; 16],
    opened: UnixTime,
}

impl Ticket {
    pub(crate) fn new(
        mut assignment: Assignment,
        handshake: HandshakeState<'static>,
        suite: Suite,
        responder: Responder,
        now: UnixTime,
    ) -> Result<Self, AgreementError> {
        let state = if handshake.is_complete() {
            let application = core::mem::take(&mut assignment.application);
            State::Transport(Box::new(establish(handshake, suite, application)?))
        } else {
            State::Handshake(Box::new(handshake))
        };
        Ok(Self { assignment, suite, responder, issued: now, state, paths: Vec::new(), next_path: 0 })
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> TicketId {
        self.assignment.ticket
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        now.saturating_since(self.issued) > self.assignment.ttl()
    }

    /// The initiator, as far as the pattern has proven it by now.
    #[must_use]
    pub fn initiator(&self) -> Option<&NoisePublicKey> {
        match &self.state {
            State::Claimed { established, .. } => established.context.peer(),
            State::Transport(established) => {
                established.context.peer().filter(|_| self.suite.authenticates_first())
            }
            State::Handshake(_) | State::Consumed => None,
        }
    }

    /// Checks a claim that came on a new path and returns the challenge for it.
    ///
    /// # Errors
    /// [`ClaimError`], and nothing has changed.
    pub fn claim<R: CryptoRng + ?Sized>(
        &mut self,
        claim: &[u8],
        arrival: Arrival,
        now: UnixTime,
        rng: &mut R,
    ) -> Result<Challenged, ClaimError> {
        let message = self.check(claim, arrival, now)?;
        let hash: [u8; 32] = Sha256::digest(claim).into();
        self.verify(message, hash)?;
        let State::Claimed { keys, .. } = &self.state else { return Err(ClaimError::Consumed) };
        let (challenge, message) = keys.challenge(self.assignment.ticket, rng);

        self.paths.retain(|path| now.saturating_since(path.opened) <= PATH_DEADLINE);
        let evicted = if self.paths.len() >= MAX_PATHS {
            let victim = usize::try_from(rng.next_u32()).unwrap_or_default() % MAX_PATHS;
            Some(self.paths.swap_remove(victim).id)
        } else {
            None
        };
        let id = PathId(self.next_path);
        self.next_path = self.next_path.saturating_add(1);
        self.paths.push(Path { id, challenge, opened: now });
        Ok(Challenged { path: id, message, evicted })
    }

    /// Checks the proof of a path; the first right one consumes the ticket and begins the session.
    ///
    /// # Errors
    /// [`ClaimError::Rejected`], [`ClaimError::PathClosed`], [`ClaimError::Expired`], [`ClaimError::Consumed`]; nothing
    /// has changed. (On a stream, close the connection: what follows a wrong proof means nothing.)
    pub fn prove(&mut self, path: PathId, proof: &[u8], now: UnixTime) -> Result<Established, ClaimError> {
        let State::Claimed { keys, .. } = &self.state else { return Err(ClaimError::Consumed) };
        if self.is_expired(now) {
            return Err(ClaimError::Expired);
        }
        let in_time = |open: &&Path| open.id == path && now.saturating_since(open.opened) <= PATH_DEADLINE;
        let open = self.paths.iter().find(in_time).ok_or(ClaimError::PathClosed)?;
        keys.check_proof(self.assignment.ticket, &open.challenge, proof).map_err(|_| ClaimError::Rejected)?;
        self.paths.clear();
        match core::mem::replace(&mut self.state, State::Consumed) {
            State::Claimed { established, .. } => Ok(*established),
            _ => Err(ClaimError::Consumed),
        }
    }

    /// Forgets a path whose connection has gone.
    pub fn close(&mut self, path: PathId) {
        self.paths.retain(|open| open.id != path);
    }

    fn check<'c>(&self, claim: &'c [u8], arrival: Arrival, now: UnixTime) -> Result<&'c [u8], ClaimError> {
        let (ticket, message) = parse_claim(claim)?;
        let placed = match (arrival, self.assignment.port) {
            (Arrival::Port(port), Some(assigned)) => port == assigned.get(),
            (Arrival::WellKnown, Some(_)) => self.assignment.fallback,
            (Arrival::SameConnection, None) => true,
            _ => false,
        };
        if ticket != self.assignment.ticket {
            Err(ClaimError::Unknown)
        } else if self.is_expired(now) {
            Err(ClaimError::Expired)
        } else if !placed {
            Err(ClaimError::WrongPort)
        } else {
            Ok(message)
        }
    }

    /// The first claim is verified in full, on a copy; its repeats by their hash.
    fn verify(&mut self, message: &[u8], hash: [u8; 32]) -> Result<(), ClaimError> {
        match &mut self.state {
            State::Consumed => return Err(ClaimError::Consumed),
            State::Claimed { hash: first, .. } => {
                return if bool::from(first.ct_eq(&hash)) { Ok(()) } else { Err(ClaimError::Rejected) };
            }
            State::Handshake(handshake) => {
                let psk_of = |s: Option<&NoisePublicKey>| self.responder.find_psk(s);
                let (tried, payload) =
                    handshake.try_read(message, psk_of).map_err(|_| ClaimError::Rejected)?;
                if !payload.is_empty() {
                    return Err(ClaimError::Rejected);
                }
                handshake.commit(tried);
            }
            State::Transport(established) => {
                open_empty(&mut established.receive, message).map_err(|_| ClaimError::Rejected)?;
            }
        }
        let established = match core::mem::replace(&mut self.state, State::Consumed) {
            State::Handshake(handshake) => {
                let application = core::mem::take(&mut self.assignment.application);
                Box::new(establish(*handshake, self.suite, application).map_err(|_| ClaimError::Rejected)?)
            }
            State::Transport(established) => established,
            State::Claimed { .. } | State::Consumed => return Err(ClaimError::Consumed),
        };
        let keys = PathKeys::new(&established.context.exporter).map_err(|_| ClaimError::Rejected)?;
        self.state = State::Claimed { hash, keys, established };
        Ok(())
    }
}

/// `ticket || u16 length || message`.
fn parse_claim(claim: &[u8]) -> Result<(TicketId, &[u8]), ClaimError> {
    let mut r = Reader::new(claim);
    let mut parse = || {
        let parsed = (TicketId::from(r.array()?), r.lp()?);
        r.clone().finish().map(|()| parsed)
    };
    parse().map_err(|_| ClaimError::Malformed)
}

/// The ticket that a claim names, to look it up.
///
/// # Errors
/// [`ClaimError::Malformed`] if the body is no claim.
pub fn ticket_of(claim: &[u8]) -> Result<TicketId, ClaimError> {
    parse_claim(claim).map(|(ticket, _)| ticket)
}

fn open_empty(cipher: &mut CipherState, message: &[u8]) -> Result<(), NoiseError> {
    let tag: &[u8; TAG_LEN] = message.try_into().map_err(|_| NoiseError::Rejected)?;
    cipher.decrypt_in_place(&[], &mut [], tag)
}

fn establish(
    handshake: HandshakeState<'static>,
    suite: Suite,
    application: Vec<u8>,
) -> Result<Established, NoiseError> {
    let peer = handshake.remote_static().copied();
    let (send, receive, exporter) = handshake.into_transport()?.into_parts();
    let context = Context { exporter, peer, suite, role: Role::Responder, application };
    Ok(Established { send, receive, context })
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { assignment, suite, state, paths, .. } = self;
        let state = match state {
            State::Handshake(_) | State::Transport(_) => "waiting",
            State::Claimed { .. } => "claimed",
            State::Consumed => "consumed",
        };
        write!(f, "Ticket({}, {suite}, {state}, {} paths)", assignment.ticket, paths.len())
    }
}

/// A claim that verified: what to send back on its path.
#[derive(Debug)]
#[non_exhaustive]
pub struct Challenged {
    /// The path, for [`Ticket::prove`].
    pub path: PathId,
    /// The body of the challenge.
    pub message: [u8; 32],
    /// A path that had to go for this one: its connection is of no further use.
    pub evicted: Option<PathId>,
}

/// Why a claim or a proof was not taken. The ticket's owner has lost nothing by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimError {
    /// The bytes are no claim.
    Malformed,
    /// There is no such ticket (any more).
    Unknown,
    /// The ticket's time is over.
    Expired,
    /// The ticket belongs to another port.
    WrongPort,
    /// The claim or proof is not authentic.
    Rejected,
    /// The path took too long, or had to make room for others.
    PathClosed,
    /// The session has begun, on another path.
    Consumed,
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a claim",
            Self::Unknown => "no such ticket: never issued, expired or used",
            Self::Expired => "the ticket has expired: begin again at the well-known port",
            Self::WrongPort => "the ticket belongs to another port",
            Self::Rejected => "the claim or proof is not authentic",
            Self::PathClosed => "the path took too long to prove itself, or had to make room",
            Self::Consumed => "the ticket was used: its session has begun",
        })
    }
}

impl core::error::Error for ClaimError {}
