//! How much a server takes, in all and from each.

use core::time::Duration;

use symbolon_table::{Quota, RegistrationLimits};

/// Each session holds up to 1.5 MiB, so many fit a small machine; and one source must not have them all.
const SESSIONS: usize = 1024;
const SESSIONS_PER_SOURCE: usize = 128;

/// Well below what the store's queue takes, so that it is rarely that which says no.
const REQUESTS: usize = 512;

/// Each holds up to 1 MiB of pieces, and an open file.
const TRANSFERS: usize = 128;

/// A program that works through a list is not slowed down; one that loops is.
const REQUEST_RATE: Rate = Rate::new(1_000, 5_000);

/// Two saturated links of 1 Gbit/s; and a second of it at once.
const BYTE_RATE: Rate = Rate::new(256 << 20, 256 << 20);

/// A new id costs the store for good: an office behind one address registers in a minute, a script does not get far.
const REGISTRATION_RATE: Rate = Rate::new(2, 256);

const DOCUMENT: u64 = 16 << 30;
const DOCUMENTS_PER_OWNER: u64 = 64 << 30;
const DOCUMENTS: u64 = 1 << 40;

/// Long enough for a person to think, short enough to free what a session holds.
const IDLE: Duration = Duration::from_secs(300);
/// A piece of 256 KiB takes so long at 70 kbit/s.
const PIECE: Duration = Duration::from_secs(30);
/// Shorter than most address translators remember a connection.
const PING: Duration = Duration::from_secs(60);
/// Longer than a commit takes on a bad day.
const GRACE: Duration = Duration::from_secs(20);

/// How much a server takes, in all and from each. Beyond it a client is told when to come back
/// ([`Refusal::retry_after`](crate::Refusal::retry_after)), or what is full.
///
/// ```
/// let mut limits = symbolon::Limits::default();
/// limits.documents_per_owner = 1 << 30;
/// limits.document = 1 << 28;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Sessions at once: 1,024. Those that come when it is reached wait in the listener's own queue.
    pub sessions: usize,
    /// Sessions at once from one source, an IPv4 address or the first 64 bits of an IPv6 one: 128. One more is told to
    /// come back.
    pub sessions_per_source: usize,
    /// Requests in work at once: 512. One more waits five seconds, and is told to come back.
    pub requests: usize,
    /// Of them, documents and pads on their way: 128.
    pub transfers: usize,
    /// Requests of one user, or of one source of sessions in which nobody is logged in: 1,000 a second after 5,000.
    pub request_rate: Rate,
    /// Bytes of documents of one user, both ways: 256 MiB a second. More is slowed down, not refused.
    pub byte_rate: Rate,
    /// Registrations from one source: 2 a second after 256.
    pub registration_rate: Rate,
    /// What the directory takes in an hour: 65,536 new ids, 1,024 of them from one source, and 16 changes of one id's keys.
    pub registrations: RegistrationLimits,
    /// Bytes of one document, sealed: 16 GiB.
    pub document: u64,
    /// Bytes of all documents of one owner: 64 GiB.
    pub documents_per_owner: u64,
    /// Bytes of all documents: 1 TiB. They are counted when the server starts and every hour; what is stored in between
    /// is added.
    pub documents: u64,
    /// What one mailbox takes: 1,024 letters and 64 MiB, 256 of the letters from one sender.
    pub mailbox: Quota,
    /// How long a session may be silent between requests: 300 s.
    pub idle: Duration,
    /// How long the next piece of a document, or of an answer, may take: 30 s.
    pub piece: Duration,
    /// How often a client that listens is asked whether it is there: every 60 s. One that is silent for [`Self::idle`] is
    /// not.
    pub ping: Duration,
    /// How long sessions have to finish the request at hand when the server stops: 20 s.
    pub grace: Duration,
}

/// So many a second, after so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a rate is these two numbers")]
pub struct Rate {
    /// How many are allowed each second.
    pub per_second: u64,
    /// How many may come at once, if none came for a while.
    pub burst: u64,
}

impl Rate {
    /// So many a second, after so many at once.
    #[must_use]
    pub const fn new(per_second: u64, burst: u64) -> Self {
        Self { per_second, burst }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: SESSIONS,
            sessions_per_source: SESSIONS_PER_SOURCE,
            requests: REQUESTS,
            transfers: TRANSFERS,
            request_rate: REQUEST_RATE,
            byte_rate: BYTE_RATE,
            registration_rate: REGISTRATION_RATE,
            registrations: RegistrationLimits::default(),
            document: DOCUMENT,
            documents_per_owner: DOCUMENTS_PER_OWNER,
            documents: DOCUMENTS,
            mailbox: Quota::default(),
            idle: IDLE,
            piece: PIECE,
            ping: PING,
            grace: GRACE,
        }
    }
}

impl Limits {
    /// Whether anybody can be served within them.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let Self { sessions, sessions_per_source, requests, transfers, mailbox, .. } = self;
        let rates = [self.request_rate, self.byte_rate, self.registration_rate];
        if [sessions, sessions_per_source, requests, transfers].into_iter().any(|most| *most == 0) {
            return Err("sessions, requests and transfers: at least one of each");
        }
        if *sessions.max(requests) > tokio::sync::Semaphore::MAX_PERMITS {
            return Err("sessions and requests: more than can be counted");
        }
        if rates.iter().any(|rate| rate.per_second == 0 || rate.burst == 0) {
            return Err("rates: at least one a second, and one at once");
        }
        if self.document == 0
            || self.document > self.documents_per_owner
            || self.documents_per_owner > self.documents
        {
            return Err("documents: one fits its owner's quota, and that fits what the server takes");
        }
        if mailbox.letters == 0 || mailbox.bytes == 0 || mailbox.letters_per_sender == 0 {
            return Err("the mailbox: at least one letter");
        }
        if [self.idle, self.piece, self.ping, self.grace].iter().any(Duration::is_zero)
            || self.ping >= self.idle
        {
            return Err("times: none is zero, and a ping comes before the end of the patience");
        }
        Ok(())
    }
}
