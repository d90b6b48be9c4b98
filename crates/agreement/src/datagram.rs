//! The agreement over datagrams: stateless cookies (C6), packets that may be lost, repeated and out of order.
//!
//! [`Client`] and [`Server`] take datagrams in and give datagrams out; sockets, clocks and timers are the caller's.
//! Whoever waits sends [`Client::outgoing`] again from time to time: every message may be repeated, and the same bytes
//! get the same answer. Classical suites only: a hybrid first message does not fit one datagram. The bytes are in
//! `docs/cookie.md`.

mod client;
mod cookie;
mod packet;
mod server;
mod window;

pub use client::{Client, Progress};
pub use cookie::{Cookie, CookieJar, First};
pub use packet::{PacketOpener, PacketSealer};
pub use server::{Handled, Server};
pub use window::ReplayWindow;

/// The longest datagram of a handshake: what every path carries in one piece (RFC 9000, 14).
pub const MAX_DATAGRAM_LEN: usize = 1200;
