use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::wire::Malformed;

/// The version of a user's keys at the directory: it counts up with every change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The first.
    pub const FIRST: Self = Self(0);

    /// The epoch with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The one that follows; none after the last.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// As it goes into derivations and messages: `u64`, big-endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl From<Epoch> for u64 {
    fn from(epoch: Epoch) -> Self {
        epoch.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Epoch {
    type Err = Malformed;

    /// Its decimal number as it is printed: digits alone, no leading zero.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let plain =
            text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
        if !plain {
            return Err(Malformed);
        }
        text.parse().map(Self).map_err(|_| Malformed)
    }
}

/// Seconds since 1970-01-01T00:00:00Z. Protocol code is given the time; it reads no clock.
///
/// ```
/// # use symbolon_keys::UnixTime;
/// assert_eq!(UnixTime::from_secs(1_795_166_640).to_string(), "2026-11-20T09:24:00Z");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The time of so many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Its seconds.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// As it goes into messages: `u64`, big-endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// `duration` later (its whole seconds), at most the end of time.
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// How long after `earlier` this is; zero if it is not, as after a clock was set back.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The system clock; zero if it stands before 1970.
    #[cfg(feature = "std")]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock, for drivers")]
    #[must_use]
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since.unwrap_or_default().as_secs())
    }
}

/// RFC 3339, in UTC. Years beyond 9999 have as many digits as they need.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0 / 86_400);
        let second = self.0 % 86_400;
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
    }
}

/// Year, month and day of the day that is so many after 1970-01-01. The calendar repeats after 400 years: what is left
/// of them is counted off.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let mut year = (days / DAYS_IN_400_YEARS).saturating_mul(400).saturating_add(1970);
    let mut rest = days % DAYS_IN_400_YEARS;
    while let Some(left) = rest.checked_sub(if leap(year) { 366 } else { 365 }) {
        rest = left;
        year = year.saturating_add(1);
    }
    let mut month = 1_u64;
    while let Some(left) = rest.checked_sub(days_of(month, year)) {
        rest = left;
        month = month.saturating_add(1);
    }
    (year, month, rest.saturating_add(1))
}

const fn leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(month: u64, year: u64) -> u64 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
