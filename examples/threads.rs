//! The agreement without any runtime: plain sockets and threads around the same state machine.
//!
//! `cargo run --release --example threads`
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "a program has std")]

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use symbolon_agreement::{
    Applicant, Arrival, Deframer, Established, Initiator, Kind, Opened, Responder, Terms, Ticket,
    TicketLimits, Tickets, ticket_of,
};
use symbolon_keys::{Backend, NoisePublicKey, NoiseSecretKey, OsRng, UnixTime};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let key = NoiseSecretKey::generate(Backend::best(), &mut OsRng);
    let server_key = *key.public_key();
    let well_known = TcpListener::bind("127.0.0.1:0")?;
    let assigned = TcpListener::bind("127.0.0.1:0")?;
    let (address, port) = (well_known.local_addr()?, assigned.local_addr()?.port());
    println!("well-known {address}, assigned {port}");
    let server = Arc::new(Server {
        responder: Responder::new(key),
        port,
        tickets: Mutex::new(Tickets::new(TicketLimits::default())),
    });
    let serving = Arc::clone(&server);
    thread::spawn(move || accept(&serving, &well_known, Server::greet));
    thread::spawn(move || accept(&server, &assigned, Server::claimed));
    let clients: Vec<_> = (0..4).map(|n| thread::spawn(move || client(address, server_key, n))).collect();
    for client in clients {
        client.join().map_err(|_| "a client panicked")??;
    }
    Ok(())
}

struct Server {
    responder: Responder,
    port: u16,
    tickets: Mutex<Tickets<Ticket>>,
}

/// A thread for each connection; a real server would count them.
fn accept(server: &Arc<Server>, listener: &TcpListener, serve: fn(&Server, TcpStream) -> Outcome<()>) {
    for stream in listener.incoming().flatten() {
        let server = Arc::clone(server);
        thread::spawn(move || {
            let deadline = Some(Duration::from_secs(5));
            if stream.set_read_timeout(deadline).is_ok()
                && let Err(error) = serve(&server, stream)
            {
                eprintln!("a connection ended: {error}");
            }
        });
    }
}

impl Server {
    /// The well-known port: hello and m1 in, m2 with the assignment out.
    fn greet(&self, stream: TcpStream) -> Outcome<()> {
        let source = Applicant::at(stream.peer_addr()?.ip());
        let mut wire = Wire::new(stream);
        let first = wire.receive(Kind::First)?;
        self.tickets().check(&source)?;
        let terms = Terms::new().port(self.port).application(b"welcome");
        let ttl = Duration::from_secs(20);
        let received = self.responder.receive(&first, None)?;
        let (m2, ticket) = received.answer(terms.ttl(ttl), UnixTime::now(), &mut OsRng)?;
        let (id, now) = (ticket.id(), UnixTime::now());
        let mut tickets = self.tickets();
        tickets.expire(now);
        tickets.insert(id, source, now, ttl, ticket)?;
        drop(tickets);
        wire.send(&Kind::Second.frame(&m2))
    }

    /// The assigned port: claim, challenge, proof, session.
    fn claimed(&self, stream: TcpStream) -> Outcome<()> {
        let mut wire = Wire::new(stream);
        let claim = wire.receive(Kind::Claim)?;
        let id = ticket_of(&claim)?;
        let arrival = Arrival::Port(self.port);
        let challenged = {
            let mut tickets = self.tickets();
            let ticket = tickets.get_mut(&id).ok_or("no such ticket")?;
            ticket.claim(&claim, arrival, UnixTime::now(), &mut OsRng)?
        };
        wire.send(&Kind::Challenge.frame(&challenged.message))?;
        let proof = wire.receive(Kind::Proof)?;
        let established = {
            let mut tickets = self.tickets();
            let ticket = tickets.get_mut(&id).ok_or("used on another path")?;
            let established = ticket.prove(challenged.path, &proof, UnixTime::now())?;
            tickets.remove(&id);
            established
        };
        let mut session = Session::new(wire, established);
        while let Some(message) = session.receive()? {
            session.send(&message)?;
        }
        session.end()
    }

    fn tickets(&self) -> std::sync::MutexGuard<'_, Tickets<Ticket>> {
        self.tickets.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn client(address: SocketAddr, server: NoisePublicKey, n: usize) -> Outcome<()> {
    let key = NoiseSecretKey::generate(Backend::best(), &mut OsRng);
    let mut i = Initiator::xx(&key).expect(server).start(&mut OsRng)?;
    let mut wire = Wire::new(TcpStream::connect(address)?);
    wire.send(&i.message())?;
    let (mut claim, to) = i.receive(&wire.receive(Kind::Second)?)?.claim()?;

    let port = to.port().ok_or("no port was assigned")?.get();
    let mut wire = Wire::new(TcpStream::connect((address.ip(), port))?);
    wire.send(&claim.message())?;
    let (proof, established) = claim.answer(&wire.receive(Kind::Challenge)?)?;
    wire.send(&Kind::Proof.frame(&proof))?;

    let mut session = Session::new(wire, established);
    let message = format!("pay {n}");
    session.send(message.as_bytes())?;
    let answer = session.receive()?.ok_or("the server ended the session")?;
    println!("client {n} on port {port}: {}", String::from_utf8_lossy(&answer));
    session.end()?;
    match session.receive()? {
        None => Ok(()),
        Some(_) => Err("something came after the end".into()),
    }
}

/// Messages over a stream.
struct Wire {
    stream: TcpStream,
    deframer: Deframer,
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        Self { stream, deframer: Deframer::new() }
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.stream.write_all(message)?)
    }

    fn receive(&mut self, kind: Kind) -> Outcome<Vec<u8>> {
        loop {
            if let Some((_, body)) = self.deframer.next(&[kind])? {
                return Ok(body.to_vec());
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes)? {
                0 => return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
                n => self.deframer.feed(bytes.get(..n).unwrap_or_default()),
            }
        }
    }
}

/// A session over a stream.
struct Session {
    wire: Wire,
    sealer: symbolon_agreement::Sealer,
    opener: symbolon_agreement::Opener,
}

impl Session {
    fn new(wire: Wire, established: Established) -> Self {
        let (sealer, opener, _) = established.into_session(UnixTime::now());
        Self { wire, sealer, opener }
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        let (mut out, mut rest) = (Vec::new(), Some(message));
        while let Some(part) = rest {
            rest = self.sealer.seal(part, UnixTime::now(), &mut out)?;
        }
        self.wire.send(&out)
    }

    fn receive(&mut self) -> Outcome<Option<Vec<u8>>> {
        let mut message = Vec::new();
        loop {
            let mut record = self.wire.receive(Kind::Record)?;
            match self.opener.open(&mut record)? {
                Opened::Part(part) => message.extend_from_slice(part),
                Opened::Last(part) => {
                    message.extend_from_slice(part);
                    return Ok(Some(message));
                }
                Opened::End => return Ok(None),
                _ => {}
            }
        }
    }

    fn end(&mut self) -> Outcome<()> {
        let mut out = Vec::new();
        self.sealer.end(&mut out)?;
        self.wire.send(&out)
    }
}

#[test]
fn the_story() -> Outcome<()> {
    main()
}
