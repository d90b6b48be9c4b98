//! The tasks of a listener: accepting, greeting, claims, and housekeeping.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use symbolon_keys::OsRng;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, interval, sleep, timeout};

use super::clock::Clock;
use super::connection::Connection;
use super::guests::{Guest, Guests, draw};
use super::listener::ACCEPT_DEADLINE;
use super::policy::{Policy, Ports};
use super::ports::Drawer;
use super::session::Session;
use crate::assignment::TicketId;
use crate::frame::Kind;
use crate::hello::Retried;
use crate::responder::{Declined, Received, Responder, Terms};
use crate::ticket::{Arrival, PATH_DEADLINE, PathId, Ticket, ticket_of};
use crate::tickets::{Applicant, Tickets};

/// What a listener's tasks share.
#[derive(Debug)]
pub(super) struct Server {
    responder: Responder,
    policy: Policy,
    clock: Clock,
    guests: Arc<Guests>,
    tickets: Mutex<Tickets<Arc<Pending>>>,
    drawer: Drawer,
    /// The ports to assign, each with what ends its task.
    pool: Mutex<Vec<(u16, Arc<Notify>)>>,
    phase: watch::Sender<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Open,
    Draining,
    Closed,
}

/// A ticket, the connections that try to claim it, and the port that is there for it alone.
#[derive(Debug)]
struct Pending {
    ticket: Mutex<Ticket>,
    paths: Mutex<HashMap<PathId, Arc<Notify>>>,
    _own_port: Option<OwnPort>,
}

/// A port that is there for one ticket; dropping this ends its task.
#[derive(Debug)]
struct OwnPort(Arc<Notify>);

impl Drop for OwnPort {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Which of our ports a connection came to.
#[derive(Clone, Copy, Debug)]
enum Place {
    WellKnown,
    Assigned(u16),
}

type Sessions = mpsc::Sender<Session>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of these: what a poisoned one guards is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    pub(super) fn start(
        listener: TcpListener,
        local: SocketAddr,
        responder: Responder,
        policy: Policy,
        sessions: Sessions,
    ) -> Arc<Self> {
        let server = Arc::new(Self {
            responder,
            clock: Clock::start(),
            guests: Guests::new(policy.strangers, policy.strangers_per_source),
            tickets: Mutex::new(Tickets::new(policy.tickets)),
            drawer: Drawer::new(local, policy.range.clone(), policy.quarantine),
            pool: Mutex::default(),
            phase: watch::Sender::new(Phase::Open),
            policy,
        });
        if let Ports::Pool(ports) = server.policy.ports {
            for _ in 0..ports {
                server.open_pool_port(&sessions);
            }
        }
        let never = Arc::new(Notify::new());
        tokio::spawn(accept_loop(Arc::clone(&server), listener, Place::WellKnown, sessions.clone(), never));
        tokio::spawn(housekeeping(Arc::clone(&server), sessions));
        server
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(super) fn ports(&self) -> Vec<u16> {
        lock(&self.pool).iter().map(|(port, _)| *port).collect()
    }

    pub(super) fn pending(&self) -> usize {
        lock(&self.tickets).len()
    }

    pub(super) fn strangers(&self) -> usize {
        self.guests.len()
    }

    fn open_pool_port(self: &Arc<Self>, sessions: &Sessions) {
        let Some((port, listener)) = self.drawer.draw() else {
            tracing::warn!("no free port for the pool");
            return;
        };
        let end = Arc::new(Notify::new());
        lock(&self.pool).push((port, Arc::clone(&end)));
        let place = Place::Assigned(port);
        tokio::spawn(accept_loop(Arc::clone(self), listener, place, sessions.clone(), end));
    }

    /// Replaces the oldest port of the pool. It is assigned no more, but open until its last ticket is over.
    fn rotate(self: &Arc<Self>, sessions: &Sessions) {
        let Ports::Pool(ports) = self.policy.ports else { return };
        self.open_pool_port(sessions);
        let mut pool = lock(&self.pool);
        if pool.len() <= ports {
            return;
        }
        let (_, end) = pool.remove(0);
        let rest = self.policy.ttl.saturating_add(PATH_DEADLINE);
        tokio::spawn(async move {
            sleep(rest).await;
            end.notify_one();
        });
    }

    /// A port for one more session, and what ends it if it is for that session alone.
    fn assign(self: &Arc<Self>, sessions: &Sessions) -> (u16, Option<OwnPort>) {
        match self.policy.ports {
            Ports::Pool(_) => {
                let pool = lock(&self.pool);
                (pool.get(draw(pool.len())).map_or(0, |(port, _)| *port), None)
            }
            Ports::PerSession(ports) => {
                let mut own = lock(&self.pool);
                if own.len() >= ports {
                    return (0, None);
                }
                let Some((port, listener)) = self.drawer.draw() else { return (0, None) };
                let end = Arc::new(Notify::new());
                own.push((port, Arc::clone(&end)));
                let place = Place::Assigned(port);
                tokio::spawn(accept_loop(
                    Arc::clone(self),
                    listener,
                    place,
                    sessions.clone(),
                    Arc::clone(&end),
                ));
                (port, Some(OwnPort(end)))
            }
            Ports::Stay => (0, None),
        }
    }

    fn expire(&self) {
        let expired = lock(&self.tickets).expire(self.clock.now());
        for pending in expired {
            tracing::debug!(ticket = %lock(&pending.ticket).id(), "expired unclaimed");
        }
    }
}

/// Expires tickets, rotates ports, and ends a drained listener.
async fn housekeeping(server: Arc<Server>, sessions: Sessions) {
    let mut phase = server.phase.subscribe();
    let mut tick = interval(Duration::from_secs(1));
    let mut rotation = Instant::now();
    let mut drained_by = None;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = phase.changed() => {}
        }
        server.expire();
        match server.phase() {
            Phase::Open if rotation.elapsed() >= server.policy.rotate => {
                rotation = Instant::now();
                server.rotate(&sessions);
            }
            Phase::Open => {}
            Phase::Draining => {
                tick.reset_after(Duration::from_millis(50));
                let longest = server.policy.ttl.saturating_add(PATH_DEADLINE.saturating_mul(2));
                let by = *drained_by.get_or_insert_with(|| after(longest));
                if server.pending() == 0 && server.strangers() == 0 || by.elapsed() > Duration::ZERO {
                    server.set_phase(Phase::Closed);
                }
            }
            Phase::Closed => return,
        }
    }
}

/// Accepts on one port until `end`, or until the listener closes.
async fn accept_loop(
    server: Arc<Server>,
    listener: TcpListener,
    place: Place,
    sessions: Sessions,
    end: Arc<Notify>,
) {
    let mut phase = server.phase.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.notified() => break,
            _ = phase.wait_for(|phase| *phase == Phase::Closed) => break,
        };
        match accepted {
            Ok((stream, remote)) => {
                let guest = server.guests.admit(remote.ip());
                tokio::spawn(serve(Arc::clone(&server), stream, remote, place, sessions.clone(), guest));
            }
            Err(error) => {
                // Out of descriptors, most often: nothing is gained by spinning.
                tracing::warn!(%error, "cannot accept");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    if let Place::Assigned(port) = place {
        // At rest before it is free: nobody draws it in between.
        server.drawer.rest(port);
        drop(listener);
        lock(&server.pool).retain(|(open, _)| *open != port);
    }
}

/// One connection, as long as it has a place among the guests; then its session, if it has earned one.
async fn serve(
    server: Arc<Server>,
    stream: TcpStream,
    remote: SocketAddr,
    place: Place,
    sessions: Sessions,
    guest: Guest,
) {
    let mut phase = server.phase.subscribe();
    let session = tokio::select! {
        session = receive(&server, Connection::new(stream), remote, place, &sessions) => session,
        () = guest.displaced() => return tracing::debug!(%remote, "displaced by another stranger"),
        _ = phase.wait_for(|phase| *phase == Phase::Closed) => return,
    };
    let Some(session) = session else { return };
    // The guest keeps its place until the session is handed over: a listener that drains waits for it.
    if timeout(ACCEPT_DEADLINE, sessions.send(session)).await.is_err() {
        tracing::warn!(%remote, "nobody accepts sessions: one is closed");
    }
    drop(guest);
}

async fn receive(
    server: &Arc<Server>,
    mut connection: Connection,
    remote: SocketAddr,
    place: Place,
    sessions: &Sessions,
) -> Option<Session> {
    let expected = match place {
        Place::WellKnown if server.phase() == Phase::Open => &[Kind::First, Kind::Claim][..],
        Place::WellKnown | Place::Assigned(_) => &[Kind::Claim],
    };
    let (kind, body) = message(server, &mut connection, expected, remote).await?;
    match (kind, place) {
        (Kind::First, _) => greet(server, connection, body, remote, sessions).await,
        (_, Place::WellKnown) => claim(server, connection, &body, Arrival::WellKnown, remote).await,
        (_, Place::Assigned(port)) => claim(server, connection, &body, Arrival::Port(port), remote).await,
    }
}

async fn message(
    server: &Server,
    connection: &mut Connection,
    expected: &[Kind],
    remote: SocketAddr,
) -> Option<(Kind, Vec<u8>)> {
    let deadlines = server.policy.deadlines;
    match connection.receive(expected, deadlines.first_byte, deadlines.message).await {
        Ok(message) => Some(message),
        Err(error) => {
            tracing::debug!(%remote, ?error, "no message");
            None
        }
    }
}

/// Answers a first message. Only where the assignment says to stay does anything more happen on this connection.
async fn greet(
    server: &Arc<Server>,
    mut connection: Connection,
    first: Vec<u8>,
    remote: SocketAddr,
    sessions: &Sessions,
) -> Option<Session> {
    let applicant = Applicant::at(remote.ip());
    if let Err(error) = lock(&server.tickets).check(&applicant) {
        tracing::warn!(%remote, %error, "turned away");
        return None;
    }
    let received = match server.responder.receive(&first, None) {
        Err(Declined::Refused(retried)) => retry(server, &mut connection, &retried, remote).await?,
        other => other.map_err(|error| tracing::debug!(%remote, %error, "declined")).ok()?,
    };
    let applicant = match received.initiator() {
        Some(initiator) => applicant.proven(initiator, received.ephemeral()),
        None => applicant,
    };
    let refuse = |error| tracing::warn!(%remote, %error, "turned away");
    lock(&server.tickets).check(&applicant).map_err(refuse).ok()?;

    let (port, own_port) = server.assign(sessions);
    let terms = Terms::new()
        .port(port)
        .ttl(server.policy.ttl)
        .fallback(server.policy.fallback)
        .application(&server.policy.application);
    let now = server.clock.now();
    let (m2, ticket) = received
        .answer(terms, now, &mut OsRng)
        .map_err(|error| tracing::warn!(%remote, %error, "no answer"))
        .ok()?;
    let id = ticket.id();
    let pending =
        Arc::new(Pending { ticket: Mutex::new(ticket), paths: Mutex::default(), _own_port: own_port });
    lock(&server.tickets).insert(id, applicant, now, server.policy.ttl, pending).map_err(refuse).ok()?;
    tracing::debug!(%remote, ticket = %id, port, "assigned");
    // Where it stays, nobody can claim it elsewhere: it goes with this connection.
    let _here = (port == 0).then(|| Here { server, id });
    connection.send(&Kind::Second.frame(&m2), server.policy.deadlines.message).await.ok()?;
    if port == 0 { stay(server, connection, id, remote).await } else { None }
}

/// A ticket that only one connection can claim; forgotten when dropped.
struct Here<'a> {
    server: &'a Server,
    id: TicketId,
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        lock(&self.server.tickets).remove(&self.id);
    }
}

/// Reads the claim on the connection of the first message.
async fn stay(
    server: &Arc<Server>,
    mut connection: Connection,
    id: TicketId,
    remote: SocketAddr,
) -> Option<Session> {
    let (_, body) = message(server, &mut connection, &[Kind::Claim], remote).await?;
    if ticket_of(&body) != Ok(id) {
        return None;
    }
    claim(server, connection, &body, Arrival::SameConnection, remote).await
}

/// Refuses a suite and reads the one retry that may follow on this connection.
async fn retry(
    server: &Server,
    connection: &mut Connection,
    retried: &Retried,
    remote: SocketAddr,
) -> Option<Received> {
    tracing::info!(%remote, "refused a suite");
    connection.send(&retried.refusal(), server.policy.deadlines.message).await.ok()?;
    let (_, second) = message(server, connection, &[Kind::First], remote).await?;
    let declined = |error| tracing::debug!(%remote, %error, "declined");
    server.responder.receive(&second, Some(retried)).map_err(declined).ok()
}

/// Checks a claim, challenges its path, and gives the session to the first that proves itself.
async fn claim(
    server: &Arc<Server>,
    mut connection: Connection,
    body: &[u8],
    arrival: Arrival,
    remote: SocketAddr,
) -> Option<Session> {
    let refuse = |error| tracing::debug!(%remote, %error, "claim not taken");
    let id = ticket_of(body).map_err(refuse).ok()?;
    let pending = lock(&server.tickets).get(&id).cloned()?;
    let challenged = {
        let mut ticket = lock(&pending.ticket);
        ticket.claim(body, arrival, server.clock.now(), &mut OsRng).map_err(refuse).ok()?
    };
    let path = pending.open(challenged.path, challenged.evicted);
    tracing::debug!(%remote, ticket = %id, "claimed");
    connection.send(&Kind::Challenge.frame(&challenged.message), PATH_DEADLINE).await.ok()?;

    let proof = tokio::select! {
        proof = message(server, &mut connection, &[Kind::Proof], remote) => proof?.1,
        () = path.displaced.notified() => {
            tracing::debug!(%remote, "path displaced");
            return None;
        }
        () = sleep(PATH_DEADLINE) => return None,
    };
    let established =
        lock(&pending.ticket).prove(challenged.path, &proof, server.clock.now()).map_err(refuse).ok()?;
    server.consumed(&id, &pending);
    tracing::info!(%remote, ticket = %id, "session");
    Session::new(connection, established, server.clock).ok()
}

fn after(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration).unwrap_or(now)
}

impl Server {
    /// The ticket is used: other paths of it have no hope left.
    fn consumed(&self, id: &TicketId, pending: &Pending) {
        lock(&self.tickets).remove(id);
        for (_, path) in lock(&pending.paths).drain() {
            path.notify_one();
        }
    }
}

/// A path in its proof; forgotten when dropped.
struct OpenPath<'a> {
    pending: &'a Pending,
    id: PathId,
    displaced: Arc<Notify>,
}

impl Pending {
    fn open(&self, id: PathId, evicted: Option<PathId>) -> OpenPath<'_> {
        let displaced = Arc::new(Notify::new());
        let mut paths = lock(&self.paths);
        if let Some(evicted) = evicted.and_then(|evicted| paths.remove(&evicted)) {
            evicted.notify_one();
        }
        paths.insert(id, Arc::clone(&displaced));
        OpenPath { pending: self, id, displaced }
    }
}

impl Drop for OpenPath<'_> {
    fn drop(&mut self) {
        lock(&self.pending.paths).remove(&self.id);
        lock(&self.pending.ticket).close(self.id);
    }
}
