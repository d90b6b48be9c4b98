use alloc::vec::Vec;

use rand_core::CryptoRng;
use symbolon_keys::{MacKey, Rejected};

use super::message::{Binding, HELLO_LEN, Role};
use super::{Body, Reserved};
use crate::{BatchId, Generation, PadId, PadStatus, ReceiveRow, SendRow};

impl SendRow {
    /// The last reservation of our lane, as it is stated to the peer.
    #[must_use]
    pub const fn last(&self) -> Reserved {
        let Self { lane, generation, from, reserved, batch, .. } = *self;
        Reserved { generation, lane, from, to: reserved, batch }
    }
}

impl ReceiveRow {
    /// What we know of the reservations of the peer's lane.
    #[must_use]
    pub const fn state(&self) -> Body {
        let Self { lane, generation, ceiling, batch, .. } = *self;
        Body::State { generation, lane, ceiling, batch }
    }
}

/// What the owner of a lane is to do about what its witness has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the four cases of C3w, and no others")]
pub enum Advice {
    /// The last reservation is witnessed.
    GoOn,
    /// The witness has not seen the last reservation: send it again.
    SendAgain,
    /// One of the two has been rolled back: halt the lane.
    Halt(PadStatus),
}

impl Advice {
    /// Compares our last reservation with what the witness of the lane states (`docs/witness.md`, the table):
    /// generation, ceiling, batch. `acknowledged` if this process knows that the witness had stored it before.
    #[must_use]
    pub fn of(
        last: &Reserved,
        acknowledged: bool,
        (generation, ceiling, batch): (Generation, u64, BatchId),
    ) -> Self {
        if generation != last.generation {
            Self::Halt(PadStatus::RollbackSuspected)
        } else if ceiling == last.to && batch == last.batch {
            Self::GoOn
        } else if acknowledged && ceiling < last.to {
            Self::Halt(PadStatus::WitnessRolledBack)
        } else if ceiling == last.from && last.from < last.to {
            Self::SendAgain
        } else if ceiling < last.from {
            Self::Halt(PadStatus::WitnessRolledBack)
        } else {
            Self::Halt(PadStatus::RollbackSuspected)
        }
    }
}

/// The owner's end of a session about one lane.
#[derive(Debug)]
pub struct OwnerSession<'k> {
    key: &'k MacKey,
    pad: PadId,
    lane: u8,
    nonce: [u8; 16],
    peer_nonce: Option<[u8; 16]>,
    /// The highest ceiling that this session has shown.
    seen: u64,
}

impl<'k> OwnerSession<'k> {
    /// Begins a session about `lane`, which we send on; the first message is [`hello`](Self::hello).
    #[must_use]
    pub fn new<R: CryptoRng + ?Sized>(key: &'k MacKey, pad: PadId, lane: u8, rng: &mut R) -> Self {
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        Self { key, pad, lane, nonce, peer_nonce: None, seen: 0 }
    }

    /// The first message.
    #[must_use]
    pub fn hello(&self) -> Vec<u8> {
        Body::Hello(self.nonce).to_bytes()
    }

    /// A message of ours.
    ///
    /// # Errors
    /// [`Rejected`] before the peer said hello.
    pub fn seal(&self, body: &Body) -> Result<Vec<u8>, Rejected> {
        Ok(self.binding()?.seal(Role::Owner, body))
    }

    /// Takes the peer's answer: its hello and state at first, then one message at a time.
    ///
    /// # Errors
    /// [`Rejected`] if it is not authentic, not of this session or lane (a reflection), or a replay of an
    /// earlier state.
    pub fn receive(&mut self, message: &[u8]) -> Result<Body, Rejected> {
        let (body, nonce) = match self.peer_nonce {
            None => {
                let (hello, state) = message.split_at_checked(HELLO_LEN).ok_or(Rejected)?;
                let Ok(Body::Hello(nonce)) = Body::parse(hello) else { return Err(Rejected) };
                let binding = Binding { peer_nonce: nonce, ..self.unbound() };
                (binding.open(Role::Peer, state)?, nonce)
            }
            Some(nonce) => (self.binding()?.open(Role::Peer, message)?, nonce),
        };
        // Both ends attest under one key: what the lane says tells our own words from the peer's.
        self.seen = match body {
            Body::State { lane, ceiling, .. } if lane == self.lane && ceiling >= self.seen => ceiling,
            Body::Ack(Reserved { lane, to, .. }) if lane == self.lane => self.seen.max(to),
            _ => return Err(Rejected),
        };
        self.peer_nonce = Some(nonce);
        Ok(body)
    }

    fn unbound(&self) -> Binding<'k> {
        Binding { key: self.key, pad: self.pad, owner_nonce: self.nonce, peer_nonce: [0; 16] }
    }

    fn binding(&self) -> Result<Binding<'k>, Rejected> {
        Ok(Binding { peer_nonce: self.peer_nonce.ok_or(Rejected)?, ..self.unbound() })
    }
}

/// The witness's end of a session about the peer's lane: one for each connection.
#[derive(Debug, Default)]
pub struct WitnessSession {
    nonces: Option<([u8; 16], [u8; 16])>,
}

impl WitnessSession {
    /// A session that has not begun.
    #[must_use]
    pub const fn new() -> Self {
        Self { nonces: None }
    }

    /// Takes the owner's hello, and begins anew: the answer is our hello with `state` behind it.
    ///
    /// # Errors
    /// [`Rejected`] if it is no hello.
    pub fn hello<R: CryptoRng + ?Sized>(
        &mut self,
        key: &MacKey,
        pad: PadId,
        message: &[u8],
        state: &Body,
        rng: &mut R,
    ) -> Result<Vec<u8>, Rejected> {
        let Ok(Body::Hello(owner)) = Body::parse(message) else { return Err(Rejected) };
        let mut peer = [0; 16];
        rng.fill_bytes(&mut peer);
        self.nonces = Some((owner, peer));
        let mut answer = Body::Hello(peer).to_bytes();
        answer.extend(self.seal(key, pad, state)?);
        Ok(answer)
    }

    /// A message of the owner: a [`Body::Ceiling`] or a [`Body::Adopt`].
    ///
    /// # Errors
    /// [`Rejected`] if it is not authentic, or not of this session.
    pub fn receive(&self, key: &MacKey, pad: PadId, message: &[u8]) -> Result<Body, Rejected> {
        match self.binding(key, pad)?.open(Role::Owner, message)? {
            body @ (Body::Ceiling(_) | Body::Adopt { .. }) => Ok(body),
            _ => Err(Rejected),
        }
    }

    /// An answer of ours: a [`Body::Ack`] or a [`Body::State`], after it is durable.
    ///
    /// # Errors
    /// [`Rejected`] before the owner said hello.
    pub fn seal(&self, key: &MacKey, pad: PadId, body: &Body) -> Result<Vec<u8>, Rejected> {
        Ok(self.binding(key, pad)?.seal(Role::Peer, body))
    }

    fn binding<'k>(&self, key: &'k MacKey, pad: PadId) -> Result<Binding<'k>, Rejected> {
        let (owner_nonce, peer_nonce) = self.nonces.ok_or(Rejected)?;
        Ok(Binding { key, pad, owner_nonce, peer_nonce })
    }
}
