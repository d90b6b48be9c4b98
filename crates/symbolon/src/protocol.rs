//! The protocol between client and server: every message, in this one file (`docs/protocol.md`).
//!
//! A message of a session is `u8 version || CBOR`. The encoding is canonical: what does not come out the same when it
//! is encoded again is refused. Byte strings inside (records, sealed messages, frames, envelopes) have formats and
//! authentication of their own.
//!
//! The messages have no `Debug`: they carry vouchers, profiles and halves of pads.

use minicbor::{Decode, Encode};
use symbolon_keys::Id;

// The fuzz target takes this file in from elsewhere.
#[path = "protocol/codec.rs"]
mod codec;
#[path = "protocol/refusal.rs"]
mod refusal;

use codec::id;
pub(crate) use codec::{decode, encode};
pub use refusal::{Refusal, RefusalCode};

/// The version of this protocol. A message of another version is refused.
pub(crate) const VERSION: u8 = 1;

/// The longest message: a table message or pad frame of the largest size, with room for what surrounds it.
pub(crate) const MAX_MESSAGE: usize = (1 << 20) + 4096;

/// The most bytes of a document or bundle in one message: so that a slow peer holds little memory.
pub(crate) const MAX_CHUNK: usize = 1 << 18;

/// The longest letter, and how many of them an answer fetches at once: so that an answer fits a message.
pub(crate) const MAX_LETTER: usize = 1 << 16;
pub(crate) const LETTERS_AT_ONCE: usize = 8;

/// The most ids, letters or records that one message carries.
pub(crate) const MAX_ITEMS: usize = 256;

/// What a client sends.
#[derive(PartialEq, Eq, Encode, Decode)]
pub(crate) enum ToServer {
    /// The request of this number, counted up within a session. Answers carry the number.
    #[n(0)]
    Request(#[n(0)] u64, #[n(1)] Request),
    /// The next bytes of the document that the request of this number announced.
    #[n(1)]
    Data(
        #[n(0)] u64,
        #[n(1)]
        #[cbor(with = "minicbor::bytes")]
        Vec<u8>,
    ),
    /// The document of the request of this number is complete.
    #[n(2)]
    End(#[n(0)] u64),
    /// The answer to [`ToClient::Witness`].
    #[n(3)]
    Witness(
        #[n(0)] u64,
        #[n(1)]
        #[cbor(with = "minicbor::bytes")]
        Vec<u8>,
    ),
    /// The answer to [`ToClient::Ping`].
    #[n(4)]
    Pong,
}

/// What a server sends.
#[derive(PartialEq, Eq, Encode, Decode)]
pub(crate) enum ToClient {
    /// The answer to the request of this number.
    #[n(0)]
    Reply(#[n(0)] u64, #[n(1)] Reply),
    /// The request of this number is refused; nothing of it was done.
    #[n(1)]
    Refused(#[n(0)] u64, #[n(1)] Refusal),
    /// The next bytes of what the reply of this number announced.
    #[n(2)]
    Data(
        #[n(0)] u64,
        #[n(1)]
        #[cbor(with = "minicbor::bytes")]
        Vec<u8>,
    ),
    /// What the reply of this number announced is complete.
    #[n(3)]
    End(#[n(0)] u64),
    /// A letter that arrived for a client that subscribed.
    #[n(4)]
    Pushed(#[n(0)] Letter),
    /// Before the request of this number, a frame, can be answered: the server's message to the witness of its lane.
    #[n(5)]
    Witness(
        #[n(0)] u64,
        #[n(1)]
        #[cbor(with = "minicbor::bytes")]
        Vec<u8>,
    ),
    /// To a client that subscribed: "are you there?"
    #[n(6)]
    Ping,
}

/// What can be asked. Requests marked *(login)* need [`Request::Login`] before them.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Request {
    /// "I am this user": true if the directory's newest record of the user names the Noise key of this session.
    #[n(0)]
    Login(#[cbor(n(0), with = "id")] Id),
    /// *(login)* Compares profile data with what was stored earlier (A7). A mismatch ends the session.
    #[n(1)]
    VerifyProfile(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Asks for a challenge to register, or to change, the keys of a user.
    #[n(2)]
    BeginRegistration(#[cbor(n(0), with = "id")] Id),
    /// Answers the challenge.
    #[n(3)]
    Register(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Asks for the newest records of users.
    #[n(4)]
    LookUp(#[n(0)] Ids),
    /// Asks for the records of one user from an epoch on.
    #[n(5)]
    History(#[cbor(n(0), with = "id")] Id, #[n(1)] u64),
    /// *(login)* Leaves a sealed message for a user.
    #[n(6)]
    Deposit(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// *(login)* Asks for letters after a cursor; an empty one asks from the beginning.
    #[n(7)]
    Poll(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>, #[n(1)] u32),
    /// *(login)* "I have these letters": they may go.
    #[n(8)]
    Acknowledge(#[n(0)] Vec<u64>),
    /// *(login)* Asks to be sent letters as they arrive, those after a cursor first.
    #[n(9)]
    Subscribe(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Pays with a voucher for a pad of so many bytes. Whoever has the voucher may; no login. The purchase has a name of
    /// the client's own: asked again under it, the same pad is sent again until it is used.
    #[n(10)]
    BuyPad(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32], #[n(1)] PurchaseRef, #[n(2)] u64),
    /// A frame under a pad. The pad's id is in the frame; no login.
    #[n(11)]
    Frame(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Asks for the salt and costs of a user's key (C8). Unknown users get stable ones.
    #[n(12)]
    KeyParameters(#[cbor(n(0), with = "id")] Id),
    /// *(login)* Announces a document under the user's key: its record, and the sequence that it replaces if any.
    #[n(13)]
    Put(#[n(0)] RecordRef, #[n(1)] Option<u64>),
    /// *(login)* Asks for a document, re-wrapped under the user's key.
    #[n(14)]
    Get(#[n(0)] RecordRef),
    /// *(login)* Lets another user have a document of one's own.
    #[n(15)]
    Grant(#[n(0)] RecordRef, #[cbor(n(1), with = "id")] Id),
    /// *(login)* Takes that back.
    #[n(16)]
    Revoke(#[n(0)] RecordRef, #[cbor(n(1), with = "id")] Id),
    /// A message to the witness of the client's lane of a pad (C3w). Who may is told by its authentication; no login.
    #[n(17)]
    Witness(#[n(0)] PadRef, #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>),
    /// *(login)* Has a document processed, by name and instruction, and the result sealed for a user (E7).
    #[n(18)]
    Process(
        #[n(0)] RecordRef,
        #[n(1)] String,
        #[n(2)]
        #[cbor(with = "minicbor::bytes")]
        Vec<u8>,
        #[n(3)]
        #[cbor(with = "id")]
        Id,
    ),
    /// Closes a pad for good: what is left of its value goes back to the voucher that paid for it. Whoever has the
    /// voucher may; no login.
    #[n(19)]
    ClosePad(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32], #[n(1)] PadRef),
}

impl Request {
    /// What it is called, in metrics.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Login(_) => "login",
            Self::VerifyProfile(_) => "verify profile",
            Self::BeginRegistration(_) => "begin registration",
            Self::Register(_) => "register",
            Self::LookUp(_) => "look up",
            Self::History(..) => "history",
            Self::Deposit(_) => "deposit",
            Self::Poll(..) => "poll",
            Self::Acknowledge(_) => "acknowledge",
            Self::Subscribe(_) => "subscribe",
            Self::BuyPad(..) => "buy pad",
            Self::Frame(_) => "frame",
            Self::KeyParameters(_) => "key parameters",
            Self::Put(..) => "put",
            Self::Get(_) => "get",
            Self::Grant(..) => "grant",
            Self::Revoke(..) => "revoke",
            Self::Witness(..) => "witness",
            Self::Process(..) => "process",
            Self::ClosePad(..) => "close pad",
        }
    }
}

/// What is answered; one for each request, unless it says otherwise.
#[derive(PartialEq, Eq, Encode, Decode)]
pub(crate) enum Reply {
    /// It is done.
    #[n(0)]
    Done,
    /// The directory's challenge.
    #[n(1)]
    Challenge(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Records, in the order asked for; empty where there is none.
    #[n(2)]
    Records(#[n(0)] Vec<Bytes>),
    /// The letter lies in the mailbox, under this number.
    #[n(3)]
    Deposited(#[n(0)] u64),
    /// Letters, and the cursor after the last.
    #[n(4)]
    Letters(#[n(0)] Vec<Letter>, #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>),
    /// A frame under the pad.
    #[n(5)]
    Frame(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// The public inputs of a user's key: salt, memory in KiB, passes, lanes, epoch.
    #[n(6)]
    KeyParameters(#[n(0)] Salt, #[n(1)] u32, #[n(2)] u32, #[n(3)] u32, #[n(4)] u64),
    /// The document is stored at this sequence.
    #[n(7)]
    Stored(#[n(0)] u64),
    /// So many bytes follow: half a pad, or an envelope.
    #[n(8)]
    Follows(#[n(0)] u64),
    /// The answer of the witness.
    #[n(9)]
    Witness(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
}

/// What is asked under a pad, as the plaintext of a frame.
#[derive(PartialEq, Eq, Encode, Decode)]
pub(crate) enum PadRequest {
    /// What a request to a service will cost at most; that much is set aside.
    #[n(0)]
    Quote(#[n(0)] String, #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>),
    /// Performs a service within what this quote set aside.
    #[n(1)]
    Perform(#[n(0)] String, #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>, #[n(2)] QuoteRef),
    /// What is left of the pad and its value.
    #[n(2)]
    Balance,
}

/// What is answered under a pad.
#[derive(PartialEq, Eq, Encode, Decode)]
pub(crate) enum PadReply {
    /// The quote's name, and the most that it will cost.
    #[n(0)]
    Quoted(#[n(0)] QuoteRef, #[n(1)] Units),
    /// The service's answer, its fee, and the value that is left.
    #[n(1)]
    Performed(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>, #[n(1)] Units, #[n(2)] Units),
    /// The value that is left, and the bytes left on the user's lane and on the server's.
    #[n(2)]
    Balance(#[n(0)] Units, #[n(1)] u64, #[n(2)] u64),
    /// Not done, and not charged.
    #[n(3)]
    Refused(#[n(0)] Refusal),
}

/// A message at rest in a mailbox.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Letter {
    /// Its number, which acknowledges it.
    #[n(0)]
    pub(crate) sequence: u64,
    /// The sealed message.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) message: Vec<u8>,
}

/// A byte string in a list.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(crate) struct Bytes(#[cbor(n(0), with = "minicbor::bytes")] pub(crate) Vec<u8>);

/// Sixteen bytes, one type for each use.
macro_rules! sixteen_bytes {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
        #[cbor(transparent)]
        pub(crate) struct $name(#[cbor(n(0), with = "minicbor::bytes")] pub(crate) [u8; 16]);
    )+};
}

sixteen_bytes! {
    /// The name of a record: 16 bytes.
    RecordRef;
    /// The name of a purchase: 16 bytes, random, made and kept by the client.
    PurchaseRef;
    /// The name of a pad: 16 bytes.
    PadRef;
    /// The name of a quote: the id of the hold behind it.
    QuoteRef;
    /// Minor units of value: 16 bytes, big-endian.
    Units;
    /// A salt: 16 bytes.
    Salt;
}

/// Ids in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ids(pub(crate) Vec<Id>);
