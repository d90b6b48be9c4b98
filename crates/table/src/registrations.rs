use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use symbolon_keys::{Epoch, Id, UnixTime};

use crate::record::Record;

/// How many records a directory takes within a while. Registering costs nothing, and a record is there for good.
///
/// The counts are in memory, and of one process: a restart begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrationLimits {
    /// The while that the others speak of.
    pub window: Duration,
    /// New ids, whoever registers them. Changes do not count: whoever has to replace a key must not find the place taken.
    pub ids: u32,
    /// New ids from one source.
    pub ids_per_source: u32,
    /// Changes of one id.
    pub changes: u32,
}

impl Default for RegistrationLimits {
    /// Within an hour 65,536 new ids (60 MiB of records), 1,024 of them from one source (an office, a carrier's
    /// gateway), and 16 changes of an id.
    fn default() -> Self {
        Self { window: Duration::from_secs(60 * 60), ids: 65_536, ids_per_source: 1024, changes: 16 }
    }
}

/// Counts the records of one window. It holds at most [`RegistrationLimits::ids`] sources, and the ids that changed.
#[derive(Debug)]
pub(crate) struct Registrations {
    pub(crate) limits: RegistrationLimits,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    since: UnixTime,
    ids: u32,
    sources: BTreeMap<Box<[u8]>, u32>,
    changes: BTreeMap<Id, u32>,
}

impl Registrations {
    pub(crate) fn new(limits: RegistrationLimits) -> Self {
        Self { limits, window: Mutex::default() }
    }

    /// Whether there is room for one more record; then it is counted.
    pub(crate) fn admit(&self, record: &Record, source: Option<&[u8]>, now: UnixTime) -> bool {
        let Self { limits, window } = self;
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock set back begins a new window too.
        if now < window.since || now.saturating_since(window.since) >= limits.window {
            *window = Window { since: now, ..Window::default() };
        }
        let Window { since: _, ids, sources, changes } = &mut *window;
        if record.epoch() != Epoch::FIRST {
            return count_up(changes.entry(*record.id()).or_default(), limits.changes);
        }
        // The source first: one that has had its share takes nothing from the others.
        *ids < limits.ids
            && source.is_none_or(|source| {
                count_up(sources.entry(source.into()).or_default(), limits.ids_per_source)
            })
            && count_up(ids, limits.ids)
    }
}

/// Counts one more, unless there are `most`.
const fn count_up(count: &mut u32, most: u32) -> bool {
    let room = *count < most;
    if room {
        *count = count.saturating_add(1);
    }
    room
}
