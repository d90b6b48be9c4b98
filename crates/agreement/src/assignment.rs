//! The encrypted payload of the second message: where to go on (C5).

use alloc::vec::Vec;
use core::num::NonZeroU16;
use core::time::Duration;

use symbolon_keys::wire::{Malformed, Reader, TooLong, put_lp};

symbolon_keys::random_id! {
    /// Names a pending handshake at its responder: what an assigned port is claimed with. It is no secret.
    pub struct TicketId;
}

/// The most bytes of application data beside an assignment: so that m2 stays small against a flood.
pub const MAX_APPLICATION_LEN: usize = 4 * 1024;

/// The longest life of a ticket: a pending handshake is memory that a stranger can fill.
pub const MAX_TTL: Duration = Duration::from_secs(300);

const VERSION: u8 = 1;
const FALLBACK: u8 = 1;

/// Where the initiator goes on, and until when. Only a port is carried, never an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The port; none: claim and proof come on this connection.
    pub(crate) port: Option<NonZeroU16>,
    pub(crate) ticket: TicketId,
    pub(crate) ttl: u16,
    pub(crate) fallback: bool,
    pub(crate) application: Vec<u8>,
}

impl Assignment {
    /// The assigned port at the responder's address; none: go on with this connection.
    #[must_use]
    pub const fn port(&self) -> Option<NonZeroU16> {
        self.port
    }

    /// The ticket that is claimed there.
    #[must_use]
    pub const fn ticket(&self) -> TicketId {
        self.ticket
    }

    /// How long the ticket can be claimed.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl as u64)
    }

    /// Whether the claim may be presented on the well-known port, where the assigned one cannot be reached.
    #[must_use]
    pub const fn fallback(&self) -> bool {
        self.fallback
    }

    /// `01 || flags || port || ticket || ttl || LP(application)`.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, TooLong> {
        if self.application.len() > MAX_APPLICATION_LEN {
            return Err(TooLong);
        }
        let mut out = Vec::with_capacity(self.application.len().saturating_add(24));
        out.extend_from_slice(&[VERSION, u8::from(self.fallback)]);
        out.extend_from_slice(&self.port.map_or(0, NonZeroU16::get).to_be_bytes());
        out.extend_from_slice(self.ticket.as_bytes());
        out.extend_from_slice(&self.ttl.to_be_bytes());
        put_lp(&mut out, &self.application)?;
        Ok(out)
    }

    /// Parses the payload of a second message.
    ///
    /// # Errors
    /// [`Malformed`] if it is of another version, a reserved flag is set, the ttl is not 1 to 300 seconds, or the
    /// application data exceeds [`MAX_APPLICATION_LEN`].
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        r.expect(&[VERSION])?;
        let flags = r.u8()?;
        let port = NonZeroU16::new(r.u16()?);
        let ticket = TicketId::from(r.array()?);
        let ttl = r.u16()?;
        let application = r.lp()?.to_vec();
        r.finish()?;
        if flags & !FALLBACK != 0
            || !(1..=MAX_TTL.as_secs()).contains(&u64::from(ttl))
            || application.len() > MAX_APPLICATION_LEN
        {
            return Err(Malformed);
        }
        Ok(Self { port, ticket, ttl, fallback: flags & FALLBACK != 0, application })
    }
}
