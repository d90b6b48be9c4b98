use core::fmt;

use crate::suite::Suite;

/// What protects a payload of a handshake (Noise 7.7): how sure its receiver can be of its sender, and its sender of
/// its receiver.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Level {
    source: u8,
    destination: u8,
}

impl Level {
    /// 0: nobody in particular sent it. 1: its sender is authentic, unless the *receiver's* key was stolen. 2: its
    /// sender is authentic.
    #[must_use]
    pub const fn source(self) -> u8 {
        self.source
    }

    /// 0: in the clear. 1: for whoever sent the ephemeral key. 2: for the holder of a known key; can be replayed, and
    /// has no forward secrecy against the theft of that key. 3 and 4: with forward secrecy, weakly. 5: strongly.
    #[must_use]
    pub const fn destination(self) -> u8 {
        self.destination
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Level({}, {})", self.source, self.destination)
    }
}

impl Suite {
    /// The level of a payload in the first message, the second, and the initiator's messages from then on (Noise 7.7).
    /// The responder's own messages of the session have its source and, towards an initiator with a key, destination 5
    /// once the claim was verified.
    #[must_use]
    pub fn levels(self) -> [Level; 3] {
        let name = self.pattern().map(|pattern| pattern.name).unwrap_or_default();
        let levels: [(u8, u8); 3] = match name {
            "NK" => [(0, 2), (2, 1), (0, 5)],
            "NX" => [(0, 0), (2, 1), (0, 5)],
            "XK" => [(0, 2), (2, 1), (2, 5)],
            "XX" => [(0, 0), (2, 1), (2, 5)],
            "IK" | "KK" => [(1, 2), (2, 4), (2, 5)],
            "IX" | "KX" => [(0, 0), (2, 3), (2, 5)],
            _ => [(0, 0); 3],
        };
        levels.map(|(source, destination)| Level { source, destination })
    }
}

/// What an initiator sent in its first message. Its bytes come out only by a name that says what they are worth.
#[derive(Clone, Copy)]
pub struct EarlyPayload<'a> {
    bytes: &'a [u8],
    level: Level,
}

impl fmt::Debug for EarlyPayload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, level } = self;
        write!(f, "EarlyPayload({} bytes, {level:?})", bytes.len())
    }
}

impl<'a> EarlyPayload<'a> {
    pub(crate) const fn new(bytes: &'a [u8], level: Level) -> Self {
        Self { bytes, level }
    }

    /// Source 0 or 1, destination 2.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The bytes.
    ///
    /// # Security
    /// It may be a replay, however often it comes. Do with it only what may be done again.
    #[must_use]
    pub const fn replayable_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// What the responder's application said beside the assignment, in the second message. It is authentic; who may have
/// read it, its level says.
#[derive(Clone, Copy)]
pub struct AnswerPayload<'a> {
    bytes: &'a [u8],
    level: Level,
}

impl fmt::Debug for AnswerPayload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, level } = self;
        write!(f, "AnswerPayload({} bytes, {level:?})", bytes.len())
    }
}

impl<'a> AnswerPayload<'a> {
    pub(crate) fn new(bytes: &'a [u8], suite: Suite) -> Self {
        let [_, level, _] = suite.levels();
        Self { bytes, level }
    }

    /// Source 2. Destination 1 in XX, NX, XK and NK, whose initiator had proven nothing: anybody can have asked for it.
    /// 3 in IX and KX, 4 in IK and KK.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The bytes; none if the responder's application said nothing.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}
