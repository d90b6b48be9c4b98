//! Listening ports, drawn at random.

use core::net::SocketAddr;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::guests::draw;

/// Below the ranges that Linux (32768 and up) and IANA (49152 and up) give to outgoing connections: a port taken from
/// those would sooner or later be somebody's source port.
const RANGE: RangeInclusive<u16> = 16_384..=32_767;

/// How many ports are tried before an assignment does without.
const TRIES: usize = 64;

/// Connections that the kernel holds for us; the usual maximum.
const BACKLOG: i32 = 1024;

/// Draws ports and remembers which must rest.
#[derive(Debug)]
pub(super) struct Drawer {
    /// The well-known address: that of each port, too.
    local: SocketAddr,
    candidates: Vec<u16>,
    quarantine: Duration,
    resting: Mutex<HashMap<u16, Instant>>,
}

impl Drawer {
    pub(super) fn new(local: SocketAddr, range: Option<RangeInclusive<u16>>, quarantine: Duration) -> Self {
        let candidates: Vec<u16> =
            range.map_or_else(default_range, |range| range.filter(|port| *port != 0).collect());
        Self { local, candidates, quarantine, resting: Mutex::default() }
    }

    /// A listener on a port that nobody uses and that has not been used lately; none if none is found.
    pub(super) fn draw(&self) -> Option<(u16, TcpListener)> {
        self.lock().retain(|_, since| since.elapsed() < self.quarantine);
        // In a small range every port is tried; in a large one, enough of them.
        let candidates = self.candidates.len();
        let few = candidates <= TRIES;
        let start = draw(candidates);
        (0..TRIES.min(candidates)).find_map(|n| {
            let index = if few { start.checked_add(n)?.checked_rem(candidates)? } else { draw(candidates) };
            let port = *self.candidates.get(index)?;
            if self.lock().contains_key(&port) {
                return None;
            }
            let mut addr = self.local;
            addr.set_port(port);
            Some((port, listen(addr).ok()?))
        })
    }

    /// Puts a port that was given up to rest: late claims must not reach whoever has it next.
    pub(super) fn rest(&self, port: u16) {
        self.lock().insert(port, Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u16, Instant>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without `SO_REUSEADDR`, let alone `SO_REUSEPORT`: a port that is in use, or was a moment ago, is not shared.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn default_range() -> Vec<u16> {
    let outgoing = outgoing_range();
    let free: Vec<u16> = RANGE.filter(|port| !outgoing.contains(port)).collect();
    // A host that gives all its ports to outgoing connections: then from among them.
    if free.is_empty() { RANGE.collect() } else { free }
}

/// The system's range for outgoing connections, where it says so.
fn outgoing_range() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = text.split_whitespace().filter_map(|bound| bound.parse().ok());
    match (bounds.next(), bounds.next()) {
        (Some(low), Some(high)) => low..=high,
        _ => 32_768..=65_535,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ports that nobody uses at the moment, side by side.
    fn two_free() -> RangeInclusive<u16> {
        let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        // Below what the other tests draw from.
        let pairs = (10_000..16_000).step_by(2).zip((10_001..16_000).step_by(2));
        let (low, high) = pairs.skip(draw(2000)).find(|(low, high)| free(*low) && free(*high)).unwrap();
        low..=high
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_was_given_up_rests() {
        // proves A9
        let quarantine = Duration::from_secs(60);
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let drawer = Drawer::new(local, Some(two_free()), quarantine);
        let (first, listener) = drawer.draw().unwrap();
        let (second, other) = drawer.draw().unwrap();
        assert_ne!(first, second, "one that is open is nobody else's");
        assert!(drawer.draw().is_none(), "both are open");

        drawer.rest(first);
        drop(listener);
        for _ in 0..10 {
            assert!(drawer.draw().is_none(), "one is open, the other at rest");
        }
        drawer.rest(second);
        drop(other);
        tokio::time::advance(quarantine - Duration::from_millis(1)).await;
        assert!(drawer.draw().is_none(), "both are at rest");
        tokio::time::advance(Duration::from_millis(1)).await;
        let (again, _listener) = drawer.draw().unwrap();
        assert!([first, second].contains(&again));
    }
}
