use core::time::Duration;

use symbolon_keys::UnixTime;

/// When the next key of a sequence begins, besides with every connection (L6): whichever of these comes first.
///
/// ```
/// # use core::time::Duration;
/// # use symbolon_ledger::Rekey;
/// let policy = Rekey::per_connection().after(Duration::from_secs(600)).after_bytes(1 << 30);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Rekey {
    connected: Option<Duration>,
    interval: Option<Duration>,
    bytes: Option<u64>,
}

/// What a key has been used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the three measures, and no others")]
pub struct Usage {
    /// When the sequence was first used.
    pub first_use: UnixTime,
    /// When the key began.
    pub began: UnixTime,
    /// The bytes of messages under it.
    pub bytes: u64,
}

impl Rekey {
    /// A key for each connection, and no other reason.
    pub const fn per_connection() -> Self {
        Self { connected: None, interval: None, bytes: None }
    }

    /// And when the connection has lasted this long under one key (L7).
    pub const fn after(mut self, connected: Duration) -> Self {
        self.connected = Some(connected);
        self
    }

    /// And at these intervals from the first use of the sequence (L8).
    pub const fn every(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// And before more than this many bytes of messages are under one key (L9).
    pub const fn after_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Whether a message of `len` bytes at `now` needs a new key.
    #[must_use]
    pub fn is_due(&self, usage: &Usage, now: UnixTime, len: u64) -> bool {
        let Self { connected, interval, bytes } = *self;
        let lasted = connected.is_some_and(|limit| now.saturating_since(usage.began) >= limit);
        let round = |time: UnixTime, interval: Duration| {
            time.saturating_since(usage.first_use).as_secs().checked_div(interval.as_secs().max(1))
        };
        let next = interval.is_some_and(|interval| round(now, interval) > round(usage.began, interval));
        let full = bytes.is_some_and(|limit| usage.bytes > 0 && usage.bytes.saturating_add(len) > limit);
        lasted || next || full
    }
}
