use alloc::vec::Vec;

use symbolon_keys::UnixTime;
use symbolon_keys::wire::Malformed;

use crate::message::Header;

/// A message as it lies in a mailbox: sealed, with the time it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    header: Header,
    deposited: UnixTime,
    message: Vec<u8>,
}

impl Letter {
    /// Reads from a sealed message whose it is; its header says so in the clear (`docs/table.md`).
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are not a sealed message.
    pub fn new(message: Vec<u8>, deposited: UnixTime) -> Result<Self, Malformed> {
        Ok(Self { header: Header::read(&message)?, deposited, message })
    }

    /// Sender, recipient and message id.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// When it was deposited.
    #[must_use]
    pub const fn deposited(&self) -> UnixTime {
        self.deposited
    }

    /// The sealed message.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The sealed message, without its envelope.
    #[must_use]
    pub fn into_message(self) -> Vec<u8> {
        self.message
    }
}

/// A letter on its way to its recipient, under the number that acknowledges it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Delivery {
    /// Its place in the recipient's mailbox: every later letter has a larger one.
    pub sequence: u64,
    /// The letter.
    pub letter: Letter,
}

/// How much may lie in one mailbox, and in all of them from one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "numbers, set by the operator")]
pub struct Quota {
    /// Letters to one recipient.
    pub letters: u64,
    /// Bytes of all letters to one recipient.
    pub bytes: u64,
    /// Letters from one sender to one recipient: so that nobody fills another's mailbox alone.
    pub letters_per_sender: u64,
    /// Letters from one sender to all recipients together: so that nobody fills the store alone.
    pub sender_letters: u64,
    /// Bytes of all letters from one sender.
    pub sender_bytes: u64,
}

impl Default for Quota {
    /// 1,024 letters and 64 MiB to a recipient, 256 of the letters from one sender; 4,096 letters and 256 MiB from a
    /// sender to all recipients together.
    fn default() -> Self {
        Self {
            letters: 1024,
            bytes: 64 << 20,
            letters_per_sender: 256,
            sender_letters: 4096,
            sender_bytes: 256 << 20,
        }
    }
}

/// What became of a deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever deposits answers each case")]
pub enum Deposit {
    /// It is stored under this number.
    Stored(u64),
    /// It lies there already, under this number.
    Already(u64),
    /// Another letter from this sender with this message id lies there.
    Conflict,
    /// There is no room for it.
    Full(Full),
}

/// Which part of the [`Quota`] is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one case for each field of the quota")]
pub enum Full {
    /// The recipient's letters.
    Letters,
    /// The recipient's bytes.
    Bytes,
    /// The sender's share of the recipient's letters.
    Sender,
    /// The sender's letters, to all recipients together.
    SenderLetters,
    /// The bytes of the sender's letters, to all recipients together.
    SenderBytes,
}
