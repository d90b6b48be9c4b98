use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::MAX_DATAGRAM_LEN;
use super::cookie::First;
use crate::assignment::Assignment;
use crate::error::AgreementError;
use crate::established::Established;
use crate::frame::{HEADER_LEN, Kind};
use crate::initiator::{Claim, Initiator, Pinned};

/// How many cookies a client takes: one, and another if that came to be too old on its way. More would let anybody who
/// can forge its server's address keep it busy.
const MAX_COOKIES: u8 = 2;

/// The initiator over datagrams.
///
/// Send [`Self::outgoing`] to the server's address, and again after a while until something else is outgoing or
/// [`Progress::Session`] came; hand what arrives to [`Self::handle`].
pub struct Client<'k> {
    state: State<'k>,
    first: Vec<u8>,
    cookies: u8,
    outgoing: Vec<u8>,
    port: Option<u16>,
}

enum State<'k> {
    Waiting(Box<Initiator<'k, Pinned>>),
    Claiming(Box<Claim>),
    Done,
}

/// What a datagram brought.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress {
    /// Nothing: it was not for us, repeated, or forged.
    Ignored,
    /// There is something new to send.
    Send,
    /// The session, and the proof to send. Send the proof again, before packets, until the first packet arrives.
    Session(Box<Established>),
}

impl<'k> Client<'k> {
    /// Over datagrams, with an initiator that has started.
    ///
    /// # Errors
    /// [`AgreementError::TooLong`] if its first message does not fit a datagram: hybrid suites do not.
    pub fn new(initiator: Initiator<'k, Pinned>) -> Result<Self, AgreementError> {
        let first = initiator.body().to_vec();
        // With room for the header and a cookie.
        if first.len().saturating_add(HEADER_LEN).saturating_add(16) > MAX_DATAGRAM_LEN {
            return Err(AgreementError::TooLong);
        }
        let outgoing = Kind::First.frame(&first);
        Ok(Self { state: State::Waiting(Box::new(initiator)), first, cookies: 0, outgoing, port: None })
    }

    /// What to send now, and again while nothing else comes.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// The port to send it to, at the server's address; none for the well-known one.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Takes a datagram from the server's address.
    ///
    /// # Errors
    /// [`AgreementError::WrongServerKey`] to be told about; nothing has changed, and the true answer can still come.
    pub fn handle(&mut self, datagram: &[u8]) -> Result<Progress, AgreementError> {
        let Some((kind, body)) = unframe(datagram) else { return Ok(Progress::Ignored) };
        match (&mut self.state, kind) {
            (State::Waiting(_), Kind::Cookie) => Ok(self.take_cookie(body)),
            (State::Waiting(initiator), Kind::Second) => match initiator.receive(body) {
                Ok(verified) => {
                    let (claim, to) = verified.claim()?;
                    Ok(self.claim(claim, &to))
                }
                Err(error @ AgreementError::WrongServerKey { .. }) => Err(error),
                Err(_) => Ok(Progress::Ignored),
            },
            (State::Claiming(claim), Kind::Challenge) => {
                let Ok((proof, established)) = claim.answer(body) else { return Ok(Progress::Ignored) };
                self.outgoing = Kind::Proof.frame(&proof);
                self.state = State::Done;
                Ok(Progress::Session(Box::new(established)))
            }
            _ => Ok(Progress::Ignored),
        }
    }

    fn take_cookie(&mut self, body: &[u8]) -> Progress {
        let ours = First::parse(&self.first).map(|(first, _)| first.hash());
        let cookie = match (body.split_first_chunk::<8>(), ours) {
            (Some((prefix, cookie)), Ok(hash)) if hash.starts_with(prefix) && cookie.len() == 16 => cookie,
            _ => return Progress::Ignored,
        };
        if self.cookies >= MAX_COOKIES {
            return Progress::Ignored;
        }
        self.cookies = self.cookies.saturating_add(1);
        let mut body = self.first.clone();
        body.extend_from_slice(cookie);
        self.outgoing = Kind::First.frame(&body);
        Progress::Send
    }

    fn claim(&mut self, claim: Claim, to: &Assignment) -> Progress {
        self.outgoing = claim.message();
        self.port = to.port().map(u16::from);
        self.state = State::Claiming(Box::new(claim));
        Progress::Send
    }
}

impl fmt::Debug for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waiting(_) => "waiting",
            State::Claiming(_) => "claiming",
            State::Done => "done",
        };
        write!(f, "Client({state}, port {:?})", self.port)
    }
}

/// A message that is a whole datagram.
pub(super) fn unframe(datagram: &[u8]) -> Option<(Kind, &[u8])> {
    let (&[kind, high, low], body) = datagram.split_first_chunk()?;
    let kinds = [Kind::First, Kind::Second, Kind::Cookie, Kind::Claim, Kind::Challenge, Kind::Proof];
    let kind = kinds.into_iter().find(|known| *known as u8 == kind)?;
    (body.len() == usize::from(u16::from_be_bytes([high, low])) && body.len() <= kind.max_len())
        .then_some((kind, body))
}
