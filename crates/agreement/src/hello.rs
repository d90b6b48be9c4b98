//! The hello before the first message, the refusal of a suite, and the prologue that binds both (C5).

use alloc::vec::Vec;

use symbolon_keys::label;
use symbolon_keys::wire::{Malformed, Reader, TooLong, put_lp};

use crate::suite::Suite;

/// The version of everything that this crate sends.
pub const VERSION: u8 = 1;

/// The most suites of a hello or a refusal: twice as many as there are patterns.
pub const MAX_SUITES: usize = 16;

/// What the initiator says in the clear before its first message: `version || suite || n || n * offered`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    suite: u16,
    offered: Vec<u16>,
}

impl Hello {
    /// Uses `suite`; would also take any of `offered`.
    pub(crate) fn new(suite: Suite, offered: &[Suite]) -> Self {
        Self { suite: suite.number(), offered: offered.iter().map(|suite| suite.number()).collect() }
    }

    /// Reads a hello from the front of a first message.
    ///
    /// # Errors
    /// [`HelloError::Version`] if it is of another version, else [`HelloError::Malformed`]: 1 to [`MAX_SUITES`]
    /// offered suites, each once, the used one among them.
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, HelloError> {
        let version = r.u8()?;
        if version != VERSION {
            return Err(HelloError::Version(version));
        }
        let (suite, offered) = (r.u16()?, read_suites(r)?);
        if !offered.contains(&suite) {
            return Err(HelloError::Malformed);
        }
        Ok(Self { suite, offered })
    }

    /// The suite that the first message uses, if this crate knows it.
    #[must_use]
    pub fn suite(&self) -> Option<Suite> {
        Suite::from_number(self.suite)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.offered.len().saturating_mul(2).saturating_add(4));
        out.push(VERSION);
        out.extend_from_slice(&self.suite.to_be_bytes());
        put_suites(&mut out, &self.offered);
        out
    }
}

/// Why a hello was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HelloError {
    Malformed,
    Version(u8),
}

impl From<Malformed> for HelloError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// What a responder answers when it does not take the suite: those it does take. A hint that nothing authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    supported: Vec<u16>,
}

impl Refusal {
    pub(crate) fn new(supported: &[Suite]) -> Self {
        Self { supported: supported.iter().map(|suite| suite.number()).collect() }
    }

    /// Parses the body of a refusal.
    ///
    /// # Errors
    /// [`Malformed`] unless it lists 1 to [`MAX_SUITES`] suites, each once.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let supported = read_suites(&mut r)?;
        r.finish()?;
        Ok(Self { supported })
    }

    /// The suites that this crate knows among those listed.
    pub fn supported(&self) -> impl Iterator<Item = Suite> + '_ {
        self.supported.iter().filter_map(|&number| Suite::from_number(number))
    }

    /// `n || n * suite`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_suites(&mut out, &self.supported);
        out
    }
}

fn read_suites(r: &mut Reader<'_>) -> Result<Vec<u16>, Malformed> {
    let n = usize::from(r.u8()?);
    if !(1..=MAX_SUITES).contains(&n) {
        return Err(Malformed);
    }
    let mut suites = Vec::with_capacity(n);
    for _ in 0..n {
        let suite = r.u16()?;
        if suites.contains(&suite) {
            return Err(Malformed);
        }
        suites.push(suite);
    }
    Ok(suites)
}

fn put_suites(out: &mut Vec<u8>, suites: &[u16]) {
    out.push(u8::try_from(suites.len()).unwrap_or(u8::MAX));
    for suite in suites {
        out.extend_from_slice(&suite.to_be_bytes());
    }
}

/// What both ends hash before the handshake. A hello or refusal changed on its way breaks the first tag.
///
/// `LP(label) || LP(hello) || LP(first hello) || LP(refusal)`; the last two are empty unless this is a retry. A retry
/// comes on the connection of the refused attempt, where both ends remember it: whoever forges a refusal, or answers
/// in the responder's place and then connects to it, has given one end a prologue that the other does not have.
pub(crate) fn prologue(hello: &[u8], retried: Option<&Retried>) -> Result<Vec<u8>, TooLong> {
    let (first, refusal) =
        retried.map_or((&[][..], &[][..]), |retried| (&retried.first_hello[..], &retried.refusal[..]));
    let mut out = Vec::new();
    for field in [label::AGREEMENT.as_bytes(), hello, first, refusal] {
        put_lp(&mut out, field)?;
    }
    Ok(out)
}

/// The attempt that a refusal ended, as one end remembers it for the retry on the same connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retried {
    pub(crate) first_hello: Vec<u8>,
    pub(crate) refusal: Vec<u8>,
}
