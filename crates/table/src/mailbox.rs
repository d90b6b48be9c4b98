use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use symbolon_keys::wire::{Malformed, Reader, put_lp};
use symbolon_keys::{Id, UnixTime};
use tokio::sync::watch;

use crate::letter::{Delivery, Deposit, Full, Letter, Quota};
use crate::message::MAX_MESSAGE_LEN;
use crate::store::{MailboxStore, StoreError};

/// The most letters of one answer.
pub const MAX_PAGE: usize = 64;

/// What a mailbox takes and how long it keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxLimits {
    /// How much may lie there for one recipient, and from one sender.
    pub quota: Quota,
    /// The most bytes of one message; at most [`MAX_MESSAGE_LEN`].
    pub message_len: usize,
    /// How long a letter lies there before [`Mailbox::expire`] removes it.
    pub keep_for: Duration,
}

impl Default for MailboxLimits {
    /// The default quota, messages up to 64 KiB, kept for 30 days.
    fn default() -> Self {
        Self {
            quota: Quota::default(),
            message_len: 64 << 10,
            keep_for: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// Takes letters for users who are away, and hands them out when their devices poll, or at once where one listens.
///
/// It sees ids, sizes and times, and no content. A letter stays until its recipient acknowledges it or it is too old:
/// delivery is at least once, and the recipient's [`Inbox`](crate::Inbox) makes it once.
pub struct Mailbox<S> {
    store: S,
    limits: MailboxLimits,
    /// One bell for each recipient who listens.
    bells: Arc<Bells>,
}

#[derive(Default)]
struct Bells(Mutex<BTreeMap<Id, watch::Sender<()>>>);

impl<S: MailboxStore> Mailbox<S> {
    /// A mailbox over `store`, with the default limits.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self::with_limits(store, MailboxLimits::default())
    }

    /// A mailbox over `store`.
    #[must_use]
    pub fn with_limits(store: S, limits: MailboxLimits) -> Self {
        Self { store, limits, bells: Arc::default() }
    }

    /// The store behind it.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Takes a sealed message from `sender`, whom the caller authenticated, and answers its number. The same message
    /// again gives the same number.
    ///
    /// # Security
    /// The quota is a recipient's and a sender's. The caller sees to it that both exist: whoever may write to ids, or
    /// under ids, that nobody registered fills as many mailboxes as they like.
    ///
    /// # Errors
    /// [`DepositError`] says what to do; nothing was stored, except perhaps after [`DepositError::Store`].
    pub async fn deposit(&self, sender: &Id, message: Vec<u8>, now: UnixTime) -> Result<u64, DepositError> {
        if message.len() > self.limits.message_len.min(MAX_MESSAGE_LEN) {
            return Err(DepositError::TooLong);
        }
        let letter = Letter::new(message, now)?;
        if letter.header().sender() != sender {
            return Err(DepositError::ForeignSender);
        }
        match self.store.deposit(&letter, &self.limits.quota).await? {
            Deposit::Stored(sequence) => {
                self.ring(letter.header().recipient());
                Ok(sequence)
            }
            Deposit::Already(sequence) => Ok(sequence),
            Deposit::Conflict => Err(DepositError::Conflict),
            Deposit::Full(full) => Err(DepositError::Full(full)),
        }
    }

    /// The letters to `recipient`, whom the caller authenticated: those after `cursor`, or all, at most `limit` and at
    /// most [`MAX_PAGE`]; and the cursor behind them.
    ///
    /// # Errors
    /// [`PollError::ForeignCursor`] if the cursor is another recipient's; [`PollError::Store`].
    pub async fn poll(
        &self,
        recipient: &Id,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<(Vec<Delivery>, Cursor), PollError> {
        let after = match cursor {
            None => 0,
            Some(cursor) if &cursor.recipient == recipient => cursor.after,
            Some(_) => return Err(PollError::ForeignCursor),
        };
        let letters = self.store.poll(recipient, after, limit.min(MAX_PAGE)).await?;
        let after = letters.last().map_or(after, |last| last.sequence);
        Ok((letters, Cursor { recipient: *recipient, after }))
    }

    /// Listens for letters to `recipient`, whom the caller authenticated: first those that lie there after `cursor`,
    /// then each as it comes, in order and without a gap.
    ///
    /// # Errors
    /// [`PollError::ForeignCursor`] if the cursor is another recipient's.
    pub fn subscribe(
        self: &Arc<Self>,
        recipient: &Id,
        cursor: Option<&Cursor>,
    ) -> Result<Subscription<S>, PollError> {
        let cursor = match cursor {
            None => Cursor { recipient: *recipient, after: 0 },
            Some(cursor) if &cursor.recipient == recipient => *cursor,
            Some(_) => return Err(PollError::ForeignCursor),
        };
        // Listening begins before the first look, so nothing falls between.
        let bell = self.bells.lock().entry(*recipient).or_default().subscribe();
        Ok(Subscription { mailbox: Arc::clone(self), cursor, ready: VecDeque::new(), bell: Some(bell) })
    }

    /// Removes letters that `recipient`, whom the caller authenticated, has committed; answers how many lay there.
    /// Acknowledging twice is harmless.
    ///
    /// # Errors
    /// [`StoreError`]; acknowledge again.
    pub async fn acknowledge(&self, recipient: &Id, sequences: &[u64]) -> Result<u64, StoreError> {
        self.store.acknowledge(recipient, sequences).await
    }

    /// Removes the letters that lay there too long, and answers how many. Call it now and then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn expire(&self, now: UnixTime) -> Result<u64, StoreError> {
        let age = self.limits.keep_for.as_secs();
        self.store.expire(UnixTime::from_secs(now.as_secs().saturating_sub(age))).await
    }

    /// Makes those who listen for `recipient` look: for letters that another process stored.
    pub fn ring(&self, recipient: &Id) {
        if let Some(bell) = self.bells.lock().get(recipient) {
            bell.send_replace(());
        }
    }

    /// Makes everybody who listens look: when word of other processes' letters may have been missed.
    pub fn ring_all(&self) {
        for bell in self.bells.lock().values() {
            bell.send_replace(());
        }
    }
}

impl Bells {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> fmt::Debug for Mailbox<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store: _, limits, bells } = self;
        f.debug_struct("Mailbox")
            .field("limits", limits)
            .field("listening", &bells.lock().len())
            .finish_non_exhaustive()
    }
}

/// Letters to one recipient as they come. Dropping it stops listening; nothing is lost, for letters stay until they
/// are acknowledged.
pub struct Subscription<S> {
    mailbox: Arc<Mailbox<S>>,
    cursor: Cursor,
    ready: VecDeque<Delivery>,
    /// Always there until the drop.
    bell: Option<watch::Receiver<()>>,
}

impl<S: MailboxStore> Subscription<S> {
    /// The next letter; waits until there is one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`StoreError`]; the call after it tries again at the same place.
    pub async fn next(&mut self) -> Result<Delivery, StoreError> {
        loop {
            if let Some(delivery) = self.ready.pop_front() {
                self.cursor.after = delivery.sequence;
                return Ok(delivery);
            }
            if let Some(bell) = &mut self.bell {
                bell.mark_unchanged();
            }
            let (recipient, after) = (self.cursor.recipient, self.cursor.after);
            self.ready = self.mailbox.store.poll(&recipient, after, MAX_PAGE).await?.into();
            if self.ready.is_empty()
                && let Some(bell) = &mut self.bell
                && bell.changed().await.is_err()
            {
                return Err(StoreError::retryable("the mailbox is closed"));
            }
        }
    }

    /// The place behind the last letter that came out: where a later subscription goes on.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }
}

impl<S> Drop for Subscription<S> {
    fn drop(&mut self) {
        self.bell = None;
        let mut bells = self.mailbox.bells.lock();
        if bells.get(&self.cursor.recipient).is_some_and(|bell| bell.receiver_count() == 0) {
            bells.remove(&self.cursor.recipient);
        }
    }
}

impl<S> fmt::Debug for Subscription<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mailbox: _, cursor, ready, bell: _ } = self;
        f.debug_struct("Subscription")
            .field("cursor", cursor)
            .field("ready", &ready.len())
            .finish_non_exhaustive()
    }
}

/// A place in one recipient's mailbox. It skips letters and removes none: a forged one harms only who forged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    recipient: Id,
    after: u64,
}

impl Cursor {
    /// The place behind the letter with this number; 0 is the beginning.
    #[must_use]
    pub const fn after(recipient: Id, sequence: u64) -> Self {
        Self { recipient, after: sequence }
    }

    /// Reads a cursor.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes do not follow the format (`docs/mailbox.md`).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let recipient = Id::from_bytes(r.lp()?).map_err(|_| Malformed)?;
        let after = r.u64()?;
        r.finish()?;
        Ok(Self { recipient, after })
    }

    /// The cursor as it is sent and kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(74);
        // An id is far shorter than a length prefix can say.
        put_lp(&mut out, self.recipient.as_bytes()).unwrap_or_default();
        out.extend_from_slice(&self.after.to_be_bytes());
        out
    }
}

/// Why a mailbox did not take a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DepositError {
    /// The bytes are not a sealed message.
    Malformed,
    /// The message is longer than this mailbox takes.
    TooLong,
    /// The message names another sender than the one who deposits it.
    ForeignSender,
    /// Another message with this id lies there already: seal it anew.
    Conflict,
    /// The mailbox is full, or the sender's share. Try again when letters were polled.
    Full(Full),
    /// The store failed. Deposit the same message again; it will not be stored twice.
    Store(StoreError),
}

impl From<Malformed> for DepositError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<StoreError> for DepositError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for DepositError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a sealed message"),
            Self::TooLong => f.write_str("message is longer than this mailbox takes; send it as an envelope"),
            Self::ForeignSender => f.write_str("message names another sender than the one who deposits it"),
            Self::Conflict => f.write_str("another message with this id lies there; seal it anew"),
            Self::Full(Full::Sender) => f.write_str(
                "the sender's share of the mailbox is full; try again when the recipient has polled",
            ),
            Self::Full(Full::SenderLetters | Full::SenderBytes) => f.write_str(
                "too much of the sender's mail lies unread; try again when some recipients have polled",
            ),
            Self::Full(Full::Letters | Full::Bytes) => {
                f.write_str("the mailbox is full; try again when the recipient has polled")
            }
            Self::Store(error) => write!(f, "deposit in doubt: {error}; deposit the same message again"),
        }
    }
}

impl core::error::Error for DepositError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a mailbox was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PollError {
    /// The cursor is another recipient's. Start without one.
    ForeignCursor,
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for PollError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for PollError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignCursor => f.write_str("cursor belongs to another mailbox; start without one"),
            Self::Store(error) => write!(f, "mailbox not read: {error}"),
        }
    }
}

impl core::error::Error for PollError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::ForeignCursor => None,
            Self::Store(error) => Some(error),
        }
    }
}
