use core::time::Duration;

use symbolon_keys::UnixTime;

/// What a table does when a peer's key changed, properly signed by the key before.
///
/// A change that the key before did not sign is never taken, under any policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnChange {
    /// Take the new key.
    #[default]
    Accept,
    /// Seal and open nothing under the new key before somebody approves it.
    AskFirst,
    /// Never take it: the peer is lost until it is forgotten and met anew.
    Refuse,
}

/// The limits of a table, in time and in number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// What to do when a peer's key changed.
    pub on_change: OnChange,
    /// The most peers held; beyond it, those used least are forgotten and their secrets wiped. Whoever is forgotten is
    /// met anew, on the directory's word and whatever `on_change` says: leave room for all who matter.
    pub capacity: usize,
    /// The age after which a key is asked for again before it seals.
    pub refresh_after: Duration,
    /// How long a key seals without an answer from the directory: after it, nothing is sealed to that peer.
    pub stale_for: Duration,
    /// How long messages under a key that was replaced still open: at least as long as they may lie in a mailbox.
    pub retire_after: Duration,
    /// How long an id that the directory does not know is taken as unknown.
    pub unknown_for: Duration,
    /// How long after a failure of the directory a stale key is used without asking again.
    pub retry_after: Duration,
    /// The most times per minute that messages of one sender make the table ask the directory.
    pub fetches_per_sender: u32,
    /// The most times per minute that messages of all senders make the table ask the directory.
    pub fetches: u32,
}

impl Policy {
    /// The most ids remembered as unknown, and senders whose fetches are counted: 64 bytes each, and an attacker
    /// invents as many as they like.
    pub(crate) const MAX_STRANGERS: usize = 4096;

    /// The most callers' peers that are being fetched at once; more are told to come again.
    pub(crate) const MAX_FLIGHTS: usize = 1024;

    /// The span in which fetches are counted.
    pub(crate) const WINDOW: Duration = Duration::from_secs(60);

    /// How far ahead of the clock a time that was noted may lie: callers read the clock one after the other.
    const AHEAD: Duration = Duration::from_secs(60);

    /// Whether `since` is less than `span` ago. What lies in the future is not: the clock was set back, and how long ago
    /// it was nobody knows.
    pub(crate) fn is_recent(since: UnixTime, now: UnixTime, span: Duration) -> bool {
        since.saturating_since(now) < Self::AHEAD && now.saturating_since(since) < span
    }
}

impl Default for Policy {
    /// Changes accepted; 65,536 peers; keys asked for again after a day, used for a month without an answer; replaced
    /// keys open for a month.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
        Self {
            on_change: OnChange::Accept,
            capacity: 1 << 16,
            refresh_after: DAY,
            stale_for: MONTH,
            retire_after: MONTH,
            unknown_for: Duration::from_secs(300),
            retry_after: Duration::from_secs(15),
            fetches_per_sender: 4,
            fetches: 600,
        }
    }
}
