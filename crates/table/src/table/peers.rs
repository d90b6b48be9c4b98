use alloc::boxed::Box;
use alloc::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter};
use symbolon_keys::Id;

use crate::peer::Peer;

/// The share of its capacity for which the index remembers ids that were evicted, to see who comes back. Each costs as
/// much as an entry of the index, and what is held gains little from more.
const REMEMBERED: f64 = 0.05;

/// The peers that a table holds, by id: bounded, in shards with a lock each. What leaves it is wiped when its last
/// reader is done.
///
/// An id takes as many bytes as it has. Hashes are keyed at random, for others choose the ids.
#[derive(Debug)]
pub(super) struct Peers(Cache<Box<[u8]>, Arc<Peer>>);

impl Peers {
    /// Room for `capacity` peers; memory is taken as they come.
    pub(super) fn new(capacity: usize) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(capacity)
            .weight_capacity(u64::try_from(capacity).unwrap_or(u64::MAX))
            .ghost_allocation(REMEMBERED)
            .build();
        // The builder refuses only to be built without the two capacities.
        let cache = options.map_or_else(
            |_| Cache::new(capacity),
            |options| {
                let hash = DefaultHashBuilder::default();
                Cache::with_options(options, UnitWeighter, hash, DefaultLifecycle::default())
            },
        );
        Self(cache)
    }

    /// The peer, which counts as used.
    pub(super) fn get(&self, id: &Id) -> Option<Arc<Peer>> {
        self.0.get(id.as_bytes())
    }

    /// The peer, without counting.
    pub(super) fn peek(&self, id: &Id) -> Option<Arc<Peer>> {
        self.0.peek(id.as_bytes())
    }

    pub(super) fn insert(&self, id: &Id, peer: Arc<Peer>) {
        self.0.insert(id.as_bytes().into(), peer);
    }

    pub(super) fn remove(&self, id: &Id) {
        self.0.remove(id.as_bytes());
    }

    /// Takes memory for so many more at once.
    pub(super) fn reserve(&self, additional: usize) {
        self.0.reserve(additional);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, Arc<Peer>)> {
        self.0.iter().filter_map(|(id, peer)| Some((Id::from_bytes(&id).ok()?, peer)))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
