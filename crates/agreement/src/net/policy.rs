use core::ops::RangeInclusive;
use core::time::Duration;

use crate::assignment::MAX_TTL;
use crate::tickets::TicketLimits;

/// The most sessions that wait: as many as a host has ports, more than it has descriptors.
const MAX_BACKLOG: usize = 65_536;

/// How long each step of another end may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    pub(super) connect: Duration,
    pub(super) first_byte: Duration,
    pub(super) message: Duration,
}

impl Deadlines {
    /// `connect` for a TCP connection; `first_byte` until a client says anything; `message` until a message has come.
    #[must_use]
    pub const fn new(connect: Duration, first_byte: Duration, message: Duration) -> Self {
        Self { connect, first_byte, message }
    }
}

impl Default for Deadlines {
    /// Five seconds, three, five: a slow mobile link makes it; a connection that only sits there is soon gone.
    fn default() -> Self {
        Self::new(Duration::from_secs(5), Duration::from_secs(3), Duration::from_secs(5))
    }
}

/// How a listener assigns ports, and how much it does for strangers.
///
/// A connection that has proven nothing costs a place among [`Self::strangers`] and nothing else. When the places are
/// taken, a newcomer takes that of another stranger, drawn at random: of the same network, if that has its share.
#[must_use]
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) ports: Ports,
    pub(super) range: Option<RangeInclusive<u16>>,
    pub(super) ttl: Duration,
    pub(super) fallback: bool,
    pub(super) quarantine: Duration,
    pub(super) rotate: Duration,
    pub(super) tickets: TicketLimits,
    pub(super) strangers: usize,
    pub(super) strangers_per_source: usize,
    pub(super) deadlines: Deadlines,
    pub(super) backlog: usize,
    pub(super) application: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    Pool(usize),
    PerSession(usize),
    Stay,
}

impl Policy {
    /// `ports` listening ports, drawn at random and replaced from time to time; every assignment gets one of them.
    ///
    /// The ports are shared: an assignment may name one that others wait for, too. What belongs to a client is its ticket,
    /// by which claims are told apart, and the handshake that its path proof comes from; a port by itself gives nothing.
    pub const fn pool(ports: usize) -> Self {
        Self::with(Ports::Pool(ports))
    }

    /// A port of its own for each session, at most `ports` at a time; for suites whose first message proves the
    /// initiator. Sessions beyond that stay on the connection of the first message.
    ///
    /// Nobody else is assigned such a port while it is open, that is until the ticket is used or has expired, nor for the
    /// time of [`Self::quarantine`] after that.
    pub const fn per_session(ports: usize) -> Self {
        Self::with(Ports::PerSession(ports))
    }

    /// No other port: sessions stay on the connection of the first message. For hosts that open one port only.
    pub const fn stay() -> Self {
        Self::with(Ports::Stay)
    }

    const fn with(ports: Ports) -> Self {
        Self {
            ports,
            range: None,
            ttl: Duration::from_secs(20),
            fallback: true,
            quarantine: Duration::from_secs(60),
            rotate: Duration::from_secs(600),
            tickets: TicketLimits::new(4096, 256, 4),
            // With a deadline of seconds, a flood needs hundreds of connections a second to displace anybody.
            strangers: 2048,
            strangers_per_source: 512,
            deadlines: Deadlines::new(Duration::from_secs(5), Duration::from_secs(3), Duration::from_secs(5)),
            backlog: 128,
            application: Vec::new(),
        }
    }

    /// Ports are drawn from this range, as the firewall allows. If nothing is said: 16384 to 32767, without the
    /// system's own range for outgoing connections.
    pub const fn range(mut self, range: RangeInclusive<u16>) -> Self {
        self.range = Some(range);
        self
    }

    /// How long an assignment can be claimed: 1 to 300 seconds; 20 if nothing is said.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl.clamp(Duration::from_secs(1), MAX_TTL);
        self
    }

    /// Whether claims may come to the well-known port where the assigned one cannot be reached; yes if nothing is
    /// said.
    pub const fn fallback(mut self, fallback: bool) -> Self {
        self.fallback = fallback;
        self
    }

    /// How long a port that was given up is not drawn again; a minute if nothing is said.
    pub const fn quarantine(mut self, quarantine: Duration) -> Self {
        self.quarantine = quarantine;
        self
    }

    /// How often a port of the pool is replaced by another; every ten minutes if nothing is said.
    pub const fn rotate(mut self, every: Duration) -> Self {
        self.rotate = every;
        self
    }

    /// How many assignments may wait to be claimed.
    pub const fn tickets(mut self, limits: TicketLimits) -> Self {
        self.tickets = limits;
        self
    }

    /// How many connections that have proven nothing are served at a time, in all and for one network.
    pub const fn strangers(mut self, total: usize, per_source: usize) -> Self {
        self.strangers = if total == 0 { 1 } else { total };
        self.strangers_per_source = if per_source == 0 { 1 } else { per_source };
        self
    }

    /// How long each step may take.
    pub const fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// How many sessions wait for [`accept`](super::Listener::accept): 1 to 65,536; 128 if nothing is said.
    pub const fn backlog(mut self, sessions: usize) -> Self {
        self.backlog = match sessions {
            0 => 1,
            MAX_BACKLOG.. => MAX_BACKLOG,
            _ => sessions,
        };
        self
    }

    /// Application data for every initiator, beside the assignment: at most 4 KiB.
    ///
    /// # Security
    /// In XX, NX, XK and NK it goes to whoever sent the first message: the initiator has proven nothing yet. It comes out
    /// as an [`AnswerPayload`](crate::AnswerPayload), with its level.
    pub fn application(mut self, data: &[u8]) -> Self {
        self.application = data.to_vec();
        self
    }
}

impl Default for Policy {
    /// A pool of eight ports.
    fn default() -> Self {
        Self::pool(8)
    }
}
