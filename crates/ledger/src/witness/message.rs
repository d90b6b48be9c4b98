use alloc::vec::Vec;

use symbolon_keys::wire::{Malformed, Reader};
use symbolon_keys::{MacKey, Rejected, label};

use crate::{BatchId, Generation, PadId};

const MAC_LEN: usize = 32;
pub(super) const HELLO_LEN: usize = 17;

/// A reservation, as its owner states it and its witness repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the message, and no others")]
pub struct Reserved {
    /// The life of the lane.
    pub generation: Generation,
    /// The lane.
    pub lane: u8,
    /// Where it begins: the end of the one before.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
    /// Its name.
    pub batch: BatchId,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the messages of version 1, and no others")]
pub enum Body {
    /// The fresh nonce of one end. It is not authenticated, and proves nothing.
    Hello([u8; 16]),
    /// The owner asks for a reservation to be witnessed.
    Ceiling(Reserved),
    /// The peer has stored it.
    Ack(Reserved),
    /// What the peer has stored.
    State {
        /// The life of the lane.
        generation: Generation,
        /// The lane.
        lane: u8,
        /// Where the last reservation ended.
        ceiling: u64,
        /// Its name.
        batch: BatchId,
    },
    /// The owner begins a new life of its lane.
    Adopt {
        /// The lane.
        lane: u8,
        /// The life that ends.
        old: Generation,
        /// The life that begins.
        new: Generation,
        /// Where: the ceiling.
        from: u64,
    },
}

/// Who sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Owner,
    Peer,
}

/// What binds a message to its session.
#[derive(Debug)]
pub(super) struct Binding<'k> {
    pub(super) key: &'k MacKey,
    pub(super) pad: PadId,
    pub(super) owner_nonce: [u8; 16],
    pub(super) peer_nonce: [u8; 16],
}

impl Binding<'_> {
    pub(super) fn seal(&self, role: Role, body: &Body) -> Vec<u8> {
        let mut out = body.to_bytes();
        let mac = self.tag(role, &out, |parts| self.key.tag(parts));
        out.extend_from_slice(&mac);
        out
    }

    /// The body of a message of the other end, if it is authentic and of this session.
    pub(super) fn open(&self, role: Role, message: &[u8]) -> Result<Body, Rejected> {
        let (body, mac) = message.split_last_chunk::<MAC_LEN>().ok_or(Rejected)?;
        self.tag(role, body, |parts| self.key.verify(parts, mac))?;
        match Body::parse(body) {
            Ok(Body::Hello(_)) | Err(Malformed) => Err(Rejected),
            Ok(body) => Ok(body),
        }
    }

    fn tag<R>(&self, role: Role, body: &[u8], mac: impl FnOnce(&[&[u8]]) -> R) -> R {
        let label = label::WITNESS.as_bytes();
        let length = u16::try_from(label.len()).unwrap_or_default().to_be_bytes();
        let role = match role {
            Role::Owner => [0],
            Role::Peer => [1],
        };
        mac(&[&length, label, self.pad.as_bytes(), &role, &self.owner_nonce, &self.peer_nonce, body])
    }
}

impl Body {
    /// The body as it is sent, without its MAC.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(50 + MAC_LEN);
        match self {
            Self::Hello(nonce) => {
                out.push(1);
                out.extend_from_slice(nonce);
            }
            Self::Ceiling(reserved) => put_reserved(&mut out, 2, reserved),
            Self::Ack(reserved) => put_reserved(&mut out, 3, reserved),
            Self::State { generation, lane, ceiling, batch } => {
                out.push(4);
                out.extend_from_slice(generation.as_bytes());
                out.push(*lane);
                out.extend_from_slice(&ceiling.to_be_bytes());
                out.extend_from_slice(batch.as_bytes());
            }
            Self::Adopt { lane, old, new, from } => {
                out.extend_from_slice(&[5, *lane]);
                out.extend_from_slice(old.as_bytes());
                out.extend_from_slice(new.as_bytes());
                out.extend_from_slice(&from.to_be_bytes());
            }
        }
        out
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`] if it is none, or something follows it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let body = match r.u8()? {
            1 => Self::Hello(r.array()?),
            2 => Self::Ceiling(reserved(&mut r)?),
            3 => Self::Ack(reserved(&mut r)?),
            4 => Self::State {
                generation: r.array()?.into(),
                lane: lane(&mut r)?,
                ceiling: r.u64()?,
                batch: r.array()?.into(),
            },
            5 => Self::Adopt {
                lane: lane(&mut r)?,
                old: r.array()?.into(),
                new: r.array()?.into(),
                from: r.u64()?,
            },
            _ => return Err(Malformed),
        };
        r.finish()?;
        Ok(body)
    }
}

fn put_reserved(out: &mut Vec<u8>, kind: u8, reserved: &Reserved) {
    let Reserved { generation, lane, from, to, batch } = reserved;
    out.push(kind);
    out.extend_from_slice(generation.as_bytes());
    out.push(*lane);
    out.extend_from_slice(&from.to_be_bytes());
    out.extend_from_slice(&to.to_be_bytes());
    out.extend_from_slice(batch.as_bytes());
}

fn reserved(r: &mut Reader<'_>) -> Result<Reserved, Malformed> {
    Ok(Reserved {
        generation: r.array()?.into(),
        lane: lane(r)?,
        from: r.u64()?,
        to: r.u64()?,
        batch: r.array()?.into(),
    })
}

fn lane(r: &mut Reader<'_>) -> Result<u8, Malformed> {
    Some(r.u8()?).filter(|lane| *lane <= 1).ok_or(Malformed)
}
