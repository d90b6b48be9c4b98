//! The agreement over UDP: cookies, an assigned port, and a network that loses every fourth datagram.
//!
//! `cargo run --release --example datagram`
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "a program has std")]

use std::collections::HashMap;
use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use symbolon_agreement::datagram::{Client, Handled, PacketOpener, PacketSealer, Progress, Server};
use symbolon_agreement::{Initiator, Responder, Suite, TicketLimits};
use symbolon_keys::{Backend, NoisePublicKey, NoiseSecretKey, OsRng, UnixTime};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let key = NoiseSecretKey::generate(Backend::best(), &mut OsRng);
    let server_key = *key.public_key();
    let sockets = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
    let [well_known, assigned] = [sockets[0].local_addr()?, sockets[1].local_addr()?];
    println!("well-known {well_known}, assigned {}", assigned.port());
    let responder = Responder::new(key).suites(&[Suite::XX]);
    let host = Host {
        server: Server::new(responder, &[assigned.port()], TicketLimits::default(), &mut OsRng),
        sessions: HashMap::new(),
    };
    let host = Arc::new(Mutex::new(host));
    for socket in sockets {
        let host = Arc::clone(&host);
        thread::spawn(move || serve(&host, &socket));
    }
    client(well_known, server_key)
}

/// The server's state: handshakes under way, and sessions by the address whose path was proven.
struct Host {
    server: Server,
    sessions: HashMap<SocketAddr, (PacketSealer, PacketOpener)>,
}

fn serve(host: &Mutex<Host>, socket: &UdpSocket) -> Outcome<()> {
    let port = socket.local_addr()?.port();
    let (mut buffer, mut received) = ([0; 2048], 0_u32);
    loop {
        let (n, source) = socket.recv_from(&mut buffer)?;
        received = received.wrapping_add(1);
        if received.is_multiple_of(4) {
            continue; // lost
        }
        let Some(datagram) = buffer.get_mut(..n) else { continue };
        let reply = host.lock().unwrap_or_else(PoisonError::into_inner).handle(source, port, datagram)?;
        if let Some(reply) = reply {
            socket.send_to(&reply, source)?;
        }
    }
}

impl Host {
    fn handle(&mut self, source: SocketAddr, port: u16, datagram: &mut [u8]) -> Outcome<Option<Vec<u8>>> {
        let (now, mut reply) = (UnixTime::now(), Vec::new());
        match self.server.handle(source, port, datagram, now, &mut OsRng) {
            Handled::Reply(reply) => return Ok(Some(reply)),
            Handled::Session(established) => {
                let (mut sealer, opener, _) = established.into_datagrams(now);
                sealer.seal(b"", now, &mut reply)?;
                self.sessions.insert(source, (sealer, opener));
            }
            _ => {
                let Some((sealer, opener)) = self.sessions.get_mut(&source) else { return Ok(None) };
                // A proof that came again: the first packet was lost.
                let repeated = datagram.first() == Some(&7);
                match opener.open(datagram) {
                    Ok(message) => sealer.seal(message, now, &mut reply)?,
                    Err(_) if repeated => sealer.seal(b"", now, &mut reply)?,
                    Err(_) => return Ok(None),
                }
            }
        }
        Ok(Some(reply))
    }
}

fn client(server: SocketAddr, server_key: NoisePublicKey) -> Outcome<()> {
    let key = NoiseSecretKey::generate(Backend::best(), &mut OsRng);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut client = Client::new(Initiator::xx(&key).expect(server_key).classical().start(&mut OsRng)?)?;
    let mut buffer = [0; 2048];
    let established = loop {
        let port = client.port().unwrap_or_else(|| server.port());
        socket.send_to(client.outgoing(), (server.ip(), port))?;
        let Ok((n, _)) = socket.recv_from(&mut buffer) else { continue };
        let datagram = buffer.get(..n).unwrap_or_default();
        if let Progress::Session(established) = client.handle(datagram)? {
            break established;
        }
    };
    let assigned = SocketAddr::new(server.ip(), client.port().ok_or("no port was assigned")?);
    let (mut sealer, mut opener, _) = established.into_datagrams(UnixTime::now());
    let mut proven = false;
    for payment in 1..=5 {
        let message = format!("pay {payment}");
        // Each attempt is a packet of its own: what may be done once only must say so itself.
        loop {
            let mut packet = Vec::new();
            sealer.seal(message.as_bytes(), UnixTime::now(), &mut packet)?;
            if !proven {
                socket.send_to(client.outgoing(), assigned)?;
            }
            socket.send_to(&packet, assigned)?;
            if let Some(answer) = answer(&socket, &mut opener, &mut buffer, &mut proven)
                && answer == message
            {
                println!("{answer}");
                break;
            }
        }
    }
    Ok(())
}

/// The next packet with something in it, unless none comes.
fn answer(
    socket: &UdpSocket,
    opener: &mut PacketOpener,
    buffer: &mut [u8],
    proven: &mut bool,
) -> Option<String> {
    loop {
        let (n, _) = socket.recv_from(buffer).ok()?;
        let Ok(payload) = opener.open(buffer.get_mut(..n)?) else { continue };
        *proven = true;
        if !payload.is_empty() {
            return Some(String::from_utf8_lossy(payload).into_owned());
        }
    }
}

#[test]
fn the_story() -> Outcome<()> {
    main()
}
