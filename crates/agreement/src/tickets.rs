//! All pending handshakes of a responder, and how many of them one source may have (C5, A9).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use symbolon_keys::{NoisePublicKey, UnixTime};

use crate::assignment::TicketId;

/// The network that an address counts for: a /32 of IPv4, a /64 of IPv6, of which one customer has all addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source([u8; 9]);

impl Source {
    /// The family, 4 or 6, and the prefix: to count by elsewhere.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 9] {
        &self.0
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        let mut prefix = [0; 9];
        let (family, bytes) = match address.to_canonical() {
            IpAddr::V4(v4) => (4, u64::from(v4.to_bits())),
            IpAddr::V6(v6) => {
                (6, v6.to_bits().checked_shr(64).and_then(|high| high.try_into().ok()).unwrap_or(0))
            }
        };
        if let Some((first, rest)) = prefix.split_first_mut() {
            *first = family;
            rest.copy_from_slice(&bytes.to_be_bytes());
        }
        Self(prefix)
    }
}

/// How many tickets may wait at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TicketLimits {
    pub(crate) total: usize,
    pub(crate) per_source: usize,
    pub(crate) per_identity: usize,
}

impl TicketLimits {
    /// At most `total` in all, `per_source` for one network, and within that `per_identity` for one initiator whose first
    /// message proves it. (Not everywhere: such a message can be replayed, and whoever has recorded a few would use up
    /// their owner's places from afar.)
    #[must_use]
    pub const fn new(total: usize, per_source: usize, per_identity: usize) -> Self {
        Self { total, per_source, per_identity }
    }
}

impl Default for TicketLimits {
    /// 4,096 in all (about 8 MiB), 256 for a network (an office behind one address), 4 for an identity there.
    fn default() -> Self {
        Self::new(4096, 256, 4)
    }
}

/// What a ticket counts for.
#[derive(Clone, Copy, Debug)]
pub struct Applicant {
    source: Source,
    /// The proven identity, and the ephemeral key by which a replay of its first message is known.
    proven: Option<([u8; 32], [u8; 32])>,
}

impl Applicant {
    /// Whoever is at this address.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self { source: address.into(), proven: None }
    }

    /// With an identity that its first message (of ephemeral key `ephemeral`) proved.
    #[must_use]
    pub const fn proven(mut self, identity: &NoisePublicKey, ephemeral: [u8; 32]) -> Self {
        self.proven = Some((*identity.as_bytes(), ephemeral));
        self
    }
}

/// The tickets of one responder. `T` is a [`Ticket`](crate::Ticket), or what a program keeps one in.
#[derive(Debug)]
pub struct Tickets<T> {
    limits: TicketLimits,
    entries: BTreeMap<TicketId, Entry<T>>,
    sources: BTreeMap<Source, usize>,
    identities: BTreeMap<([u8; 32], Source), usize>,
    firsts: BTreeSet<[u8; 32]>,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    applicant: Applicant,
    issued: UnixTime,
    ttl: Duration,
}

impl<T> Tickets<T> {
    /// None yet.
    #[must_use]
    pub const fn new(limits: TicketLimits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            sources: BTreeMap::new(),
            identities: BTreeMap::new(),
            firsts: BTreeSet::new(),
        }
    }

    /// Whether a ticket for `applicant` would be taken now: to be asked before work is done for it.
    ///
    /// # Errors
    /// [`NoTicket`] says what is full.
    pub fn check(&self, applicant: &Applicant) -> Result<(), NoTicket> {
        if self.entries.len() >= self.limits.total {
            return Err(NoTicket::Full);
        }
        if self.sources.get(&applicant.source).is_some_and(|n| *n >= self.limits.per_source) {
            return Err(NoTicket::Source);
        }
        if let Some((identity, ephemeral)) = &applicant.proven {
            if self.firsts.contains(ephemeral) {
                return Err(NoTicket::Replayed);
            }
            if self
                .identities
                .get(&(*identity, applicant.source))
                .is_some_and(|n| *n >= self.limits.per_identity)
            {
                return Err(NoTicket::Identity);
            }
        }
        Ok(())
    }

    /// Keeps a ticket for `ttl`, instead of one of the same id if there is such a one.
    ///
    /// # Errors
    /// [`NoTicket`], as [`Self::check`].
    pub fn insert(
        &mut self,
        id: TicketId,
        applicant: Applicant,
        now: UnixTime,
        ttl: Duration,
        value: T,
    ) -> Result<(), NoTicket> {
        self.check(&applicant)?;
        self.remove(&id);
        count_up(&mut self.sources, applicant.source);
        if let Some((identity, ephemeral)) = applicant.proven {
            count_up(&mut self.identities, (identity, applicant.source));
            self.firsts.insert(ephemeral);
        }
        self.entries.insert(id, Entry { value, applicant, issued: now, ttl });
        Ok(())
    }

    /// A ticket that waits.
    #[must_use]
    pub fn get(&self, id: &TicketId) -> Option<&T> {
        self.entries.get(id).map(|entry| &entry.value)
    }

    /// A ticket that waits, to be changed.
    pub fn get_mut(&mut self, id: &TicketId) -> Option<&mut T> {
        self.entries.get_mut(id).map(|entry| &mut entry.value)
    }

    /// Takes a ticket out: its session has begun.
    pub fn remove(&mut self, id: &TicketId) -> Option<T> {
        let Entry { value, applicant, .. } = self.entries.remove(id)?;
        count_down(&mut self.sources, &applicant.source);
        if let Some((identity, ephemeral)) = &applicant.proven {
            count_down(&mut self.identities, &(*identity, applicant.source));
            self.firsts.remove(ephemeral);
        }
        Some(value)
    }

    /// Takes out the tickets whose time is over.
    pub fn expire(&mut self, now: UnixTime) -> Vec<T> {
        let over = |entry: &Entry<T>| now.saturating_since(entry.issued) > entry.ttl;
        let ids: Vec<_> = self.entries.iter().filter(|(_, entry)| over(entry)).map(|(id, _)| *id).collect();
        ids.iter().filter_map(|id| self.remove(id)).collect()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn count_up<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}

fn count_down<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Why an applicant gets no ticket now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoTicket {
    /// As many wait as may.
    Full,
    /// As many wait from this network as may.
    Source,
    /// As many wait for this identity in this network as may.
    Identity,
    /// The first message is a replay of one whose ticket still waits.
    Replayed,
}

impl fmt::Display for NoTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many tickets wait to be claimed",
            Self::Source => "too many tickets of this network wait to be claimed",
            Self::Identity => "too many tickets of this identity wait to be claimed",
            Self::Replayed => "the first message was replayed",
        })
    }
}

impl core::error::Error for NoTicket {}
