use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use rand_core::CryptoRng;
use symbolon_keys::UnixTime;

use super::client::unframe;
use super::cookie::{CookieJar, First};
use crate::assignment::TicketId;
use crate::established::Established;
use crate::frame::Kind;
use crate::responder::{Responder, Terms};
use crate::ticket::{Arrival, PATH_DEADLINE, PathId, Ticket, ticket_of};
use crate::tickets::{Applicant, TicketLimits, Tickets};

/// The responder over datagrams: hand it what arrives, send what it returns.
///
/// Before an address has shown that it receives, nothing is kept for it, nothing computed but two hashes, and what it
/// gets is shorter than what it sent.
#[derive(Debug)]
pub struct Server {
    responder: Responder,
    jar: CookieJar,
    ports: Vec<u16>,
    ttl: Duration,
    tickets: Tickets<Waiting>,
    /// First messages that were answered, by their hash: a repeated one gets the same answer.
    answered: BTreeMap<[u8; 32], TicketId>,
    /// What paths an address is proving, by ticket: a claim to another ticket from a forged address displaces none.
    paths: BTreeMap<(SocketAddr, TicketId), OpenPath>,
    expired: UnixTime,
}

#[derive(Debug)]
struct OpenPath {
    path: PathId,
    opened: UnixTime,
    challenge: Vec<u8>,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    first: [u8; 32],
    second: Vec<u8>,
}

/// What comes of a datagram.
#[derive(Debug)]
#[non_exhaustive]
pub enum Handled {
    /// Nothing: forged, repeated, late, or not of a handshake.
    Nothing,
    /// This is to be sent back, from the port it came to.
    Reply(Vec<u8>),
    /// A session with the sender, whose path is proven. Send a packet soon, if only an empty one, and one for every
    /// repeated proof: the initiator waits for it.
    Session(Box<Established>),
}

impl Server {
    /// Answers as `responder`, assigning `ports`, on which the caller listens as well; if there are none, sessions
    /// stay at the well-known one.
    pub fn new<R: CryptoRng + ?Sized>(
        responder: Responder,
        ports: &[u16],
        limits: TicketLimits,
        rng: &mut R,
    ) -> Self {
        Self {
            responder,
            jar: CookieJar::new(rng),
            ports: ports.to_vec(),
            ttl: Duration::from_secs(20),
            tickets: Tickets::new(limits),
            answered: BTreeMap::new(),
            paths: BTreeMap::new(),
            expired: UnixTime::default(),
        }
    }

    /// Takes a datagram that came from `source` to our port `port`.
    pub fn handle<R: CryptoRng + ?Sized>(
        &mut self,
        source: SocketAddr,
        port: u16,
        datagram: &[u8],
        now: UnixTime,
        rng: &mut R,
    ) -> Handled {
        self.expire(now);
        let handled = match unframe(datagram) {
            Some((Kind::First, body)) => {
                self.greet(source, datagram.len(), body, now, rng).map(Handled::Reply)
            }
            Some((Kind::Claim, body)) => self.claim(source, port, body, now, rng).map(Handled::Reply),
            Some((Kind::Proof, body)) => {
                self.prove(source, body, now).map(|established| Handled::Session(Box::new(established)))
            }
            _ => None,
        };
        handled.unwrap_or(Handled::Nothing)
    }

    /// How many handshakes wait for their claim or proof.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.tickets.len()
    }

    fn greet<R: CryptoRng + ?Sized>(
        &mut self,
        source: SocketAddr,
        received: usize,
        body: &[u8],
        now: UnixTime,
        rng: &mut R,
    ) -> Option<Vec<u8>> {
        let (first, cookie) = First::parse(body).ok()?;
        let hash = first.hash();
        let Some(cookie) = cookie.filter(|cookie| self.jar.check(source, &first, *cookie, now).is_ok())
        else {
            let cookie = self.jar.bake(source, &first, now).ok()?;
            let mut reply = hash.first_chunk::<8>()?.to_vec();
            reply.extend_from_slice(cookie.as_bytes());
            let reply = Kind::Cookie.frame(&reply);
            return (reply.len() <= received).then_some(reply);
        };
        if let Some(waiting) = self.answered.get(&hash).and_then(|id| self.tickets.get(id)) {
            return Some(waiting.second.clone());
        }
        let applicant = Applicant::at(source.ip());
        self.tickets.check(&applicant).ok()?;
        let body = body.get(..body.len().checked_sub(cookie.as_bytes().len())?)?;
        let received = self.responder.receive(body, None).ok()?;
        if received.suite().is_hybrid() {
            return None;
        }
        let applicant = match received.initiator() {
            Some(initiator) => applicant.proven(initiator, received.ephemeral()),
            None => applicant,
        };
        self.tickets.check(&applicant).ok()?;
        let draw = usize::try_from(rng.next_u32()).unwrap_or_default().checked_rem(self.ports.len());
        let port = draw.and_then(|index| self.ports.get(index)).copied().unwrap_or_default();
        // Datagrams have no connection to stay on: without a port, the claim comes to the well-known one.
        let terms = Terms::new().port(port).ttl(self.ttl);
        let (second, ticket) = received.answer(terms, now, rng).ok()?;
        let (id, second) = (ticket.id(), Kind::Second.frame(&second));
        let waiting = Waiting { ticket, first: hash, second: second.clone() };
        self.tickets.insert(id, applicant, now, self.ttl, waiting).ok()?;
        self.answered.insert(hash, id);
        Some(second)
    }

    fn claim<R: CryptoRng + ?Sized>(
        &mut self,
        source: SocketAddr,
        port: u16,
        body: &[u8],
        now: UnixTime,
        rng: &mut R,
    ) -> Option<Vec<u8>> {
        let id = ticket_of(body).ok()?;
        // One address has one path to a ticket, and a repeated claim gets the same challenge: so neither a copy that
        // the network makes nor one that a stranger sends from a forged address can make a proof under way worthless.
        let in_time =
            |open: &&OpenPath| now.saturating_since(open.opened) <= PATH_DEADLINE && now >= open.opened;
        if let Some(open) = self.paths.get(&(source, id)).filter(in_time) {
            return Some(open.challenge.clone());
        }
        let arrival = if self.ports.is_empty() { Arrival::SameConnection } else { Arrival::Port(port) };
        let challenged = self.tickets.get_mut(&id)?.ticket.claim(body, arrival, now, rng).ok()?;
        if let Some(evicted) = challenged.evicted {
            self.paths.retain(|(_, ticket), open| (*ticket, open.path) != (id, evicted));
        }
        let challenge = Kind::Challenge.frame(&challenged.message);
        let open = OpenPath { path: challenged.path, opened: now, challenge: challenge.clone() };
        self.paths.insert((source, id), open);
        Some(challenge)
    }

    fn prove(&mut self, source: SocketAddr, proof: &[u8], now: UnixTime) -> Option<Established> {
        // A proof names no ticket: it is tried for each that the address has claimed, which are few.
        let claimed = (source, TicketId::from([0; 16]))..=(source, TicketId::from([0xff; 16]));
        let tickets = &mut self.tickets;
        let (id, established) = self.paths.range(claimed).find_map(|((_, id), open)| {
            let established = tickets.get_mut(id)?.ticket.prove(open.path, proof, now).ok()?;
            Some((*id, established))
        })?;
        if let Some(waiting) = self.tickets.remove(&id) {
            self.forget(id, &waiting);
        }
        Some(established)
    }

    /// Once a second is enough.
    fn expire(&mut self, now: UnixTime) {
        if now == self.expired {
            return;
        }
        self.expired = now;
        for waiting in self.tickets.expire(now) {
            self.forget(waiting.ticket.id(), &waiting);
        }
    }

    fn forget(&mut self, id: TicketId, waiting: &Waiting) {
        self.answered.remove(&waiting.first);
        self.paths.retain(|(_, ticket), _| *ticket != id);
    }
}
