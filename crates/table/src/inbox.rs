use alloc::vec::Vec;
use core::{fmt, mem};

use symbolon_keys::{Epoch, Id};
use zeroize::{Zeroizing, optimization_barrier};

use crate::message::{Header, MessageId};
use crate::store::{InboxStore, StoreError};

/// A message that is authentic, but may have come before. Its plaintext comes out in one of two ways:
/// [`Inbox::accept`], or, where a repetition does no harm, [`Opened::accept_replays`].
#[must_use = "the plaintext comes out of `Inbox::accept`"]
pub struct Opened {
    header: Header,
    plaintext: Plaintext,
}

impl Opened {
    pub(crate) const fn new(header: Header, plaintext: Plaintext) -> Self {
        Self { header, plaintext }
    }

    /// Who sealed it.
    #[must_use]
    pub const fn from(&self) -> &Id {
        self.header.sender()
    }

    /// The epoch of the sender's key.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.header.sender_epoch()
    }

    /// The message's name.
    #[must_use]
    pub const fn message_id(&self) -> &MessageId {
        self.header.message_id()
    }

    /// Releases the message without looking whether it came before.
    ///
    /// # Security
    /// Whoever carried the message can deliver it again, at any time, and it will be released again.
    #[must_use]
    pub fn accept_replays(self) -> Received {
        Received { header: self.header, plaintext: self.plaintext }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { header, plaintext: _ } = self;
        write!(f, "Opened({} from {}, ..)", header.message_id(), header.sender())
    }
}

/// A message that was accepted. Wiped when dropped.
pub struct Received {
    header: Header,
    plaintext: Plaintext,
}

impl Received {
    /// Who sealed it.
    #[must_use]
    pub const fn from(&self) -> &Id {
        self.header.sender()
    }

    /// The epoch of the sender's key.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.header.sender_epoch()
    }

    /// The message's name.
    #[must_use]
    pub const fn message_id(&self) -> &MessageId {
        self.header.message_id()
    }

    /// What the sender wrote.
    #[must_use]
    pub fn plaintext(&self) -> &[u8] {
        &self.plaintext.0
    }

    /// What the sender wrote; wiped when dropped.
    #[must_use]
    pub fn into_plaintext(mut self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(mem::take(&mut self.plaintext.0))
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { header, plaintext: _ } = self;
        write!(f, "Received({} from {}, ..)", header.message_id(), header.sender())
    }
}

/// What was sealed, wiped when dropped: all at once, where `Zeroizing` goes byte by byte. Exactly as long as its memory.
pub(crate) struct Plaintext(pub(crate) Vec<u8>);

impl Drop for Plaintext {
    fn drop(&mut self) {
        self.0.fill(0);
        optimization_barrier(self.0.as_slice());
    }
}

/// Accepts each message once.
#[derive(Debug)]
pub struct Inbox<S>(S);

impl<S: InboxStore> Inbox<S> {
    /// An inbox that remembers in `store`.
    #[must_use]
    pub const fn new(store: S) -> Self {
        Self(store)
    }

    /// Commits that the message came, durably, and then releases it.
    ///
    /// Acknowledge it at the mailbox after that. A program that ends between the two gets the message once more, as
    /// [`InboxError::Replay`], and acknowledges it then. At most once: what the message was to bring about is lost if
    /// the program ends before that is durable. Where it must not be, commit both together, in an [`InboxStore`] of your
    /// own whose `remember` belongs to the same transaction.
    ///
    /// # Errors
    /// [`InboxError::Replay`] if it came before, in this run or in an earlier one; [`InboxError::Store`] if it is
    /// unknown whether the commit happened: then the message counts as accepted if it did.
    pub async fn accept(&self, opened: Opened) -> Result<Received, InboxError> {
        let header = &opened.header;
        let (epoch, id) = (header.recipient_epoch(), header.message_id());
        if self.0.remember(header.recipient(), header.sender(), id, epoch).await? {
            Ok(opened.accept_replays())
        } else {
            Err(InboxError::Replay)
        }
    }

    /// Forgets the messages to `recipient` under keys below `epoch`: call it with
    /// [`Table::oldest_epoch`](crate::Table::oldest_epoch), below which no message opens.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget(&self, recipient: &Id, epoch: Epoch) -> Result<u64, StoreError> {
        self.0.forget(recipient, epoch).await
    }
}

/// Why a message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InboxError {
    /// It was accepted before. Acknowledge it and go on.
    Replay,
    /// The store failed; the message is not released.
    Store(StoreError),
}

impl From<StoreError> for InboxError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for InboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replay => f.write_str("message was accepted before; acknowledge it and go on"),
            Self::Store(error) => write!(f, "message not accepted: {error}"),
        }
    }
}

impl core::error::Error for InboxError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Replay => None,
            Self::Store(error) => Some(error),
        }
    }
}
