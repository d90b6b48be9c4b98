//! "No", and what can be done about it.

use core::fmt;
use core::time::Duration;

use minicbor::{Decode, Encode};

/// Why a request is refused: a code for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Refusal {
    #[n(0)]
    code: RefusalCode,
    #[n(1)]
    reason: String,
    /// In seconds.
    #[n(2)]
    after: Option<u32>,
}

impl Refusal {
    pub(crate) fn new(code: RefusalCode, reason: impl fmt::Display) -> Self {
        Self { code, reason: reason.to_string(), after: None }
    }

    /// "Not now: come back in so long."
    pub(crate) fn later(reason: impl fmt::Display, after: Duration) -> Self {
        // Nobody is told to come back at once: that would be now.
        let seconds = u32::try_from(after.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        let reason = format!("{reason}: come back in {seconds} s");
        Self { code: RefusalCode::Unavailable, reason, after: Some(seconds) }
    }

    /// What a program can act on.
    #[must_use]
    pub const fn code(&self) -> RefusalCode {
        self.code
    }

    /// After how long the same request may succeed, if the server knows.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.after.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// What a person can act on.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl core::error::Error for Refusal {}

/// What a program can do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum RefusalCode {
    /// The request does not follow the protocol, or exceeds a limit: mend the program.
    #[n(0)]
    Malformed,
    /// Log in first.
    #[n(1)]
    NotLoggedIn,
    /// It is not yours, it is not there, or the proof of it is wrong; which of these is not said.
    #[n(2)]
    Denied,
    /// Somebody was faster, or it exists: look again, then decide.
    #[n(3)]
    Conflict,
    /// The pad or the value has come to its end: buy another.
    #[n(4)]
    Exhausted,
    /// A quota is full: acknowledge, delete, or wait.
    #[n(5)]
    Full,
    /// The server cannot do it now: the same request may succeed later ([`Refusal::retry_after`]).
    #[n(6)]
    Unavailable,
    /// The service itself refuses.
    #[n(7)]
    Service,
}

impl RefusalCode {
    /// What it is called, in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotLoggedIn => "not logged in",
            Self::Denied => "denied",
            Self::Conflict => "conflict",
            Self::Exhausted => "exhausted",
            Self::Full => "full",
            Self::Unavailable => "unavailable",
            Self::Service => "service",
        }
    }
}
