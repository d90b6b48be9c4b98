//! Approvals through the mailbox: an order goes out, what a person answered comes back (T3, T4).

use core::fmt;

use symbolon_keys::{Id, SigningKey, UnixTime};
use symbolon_table::{
    Answer, Approval, ApprovalError, ApprovalId, ApprovalStore, Approver, Consent, Directory, Document,
    Received, SignedApproval, Table, pad, unpad,
};

use super::{Client, ClientError};

/// What a letter about approvals begins with (`docs/approval.md`).
const MAGIC: &[u8; 4] = b"SYA1";

/// What follows.
const ORDER: u8 = 0;
const APPROVED: u8 = 1;
const DECLINED: u8 = 2;
const TIMED_OUT: u8 = 3;

/// An order that somebody is asked to approve: keep it until their answer is here.
#[derive(Clone, PartialEq, Eq)]
pub struct Asked {
    of: Id,
    id: ApprovalId,
    document: Vec<u8>,
}

/// An order that came from another user, and waits for a person.
#[derive(Clone, Debug)]
#[must_use = "somebody waits for the answer"]
pub struct Order {
    from: Id,
    approval: Approval,
}

/// What a person answered to an order, on its way back. Keep it until it was sent: a person is asked once.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "somebody waits for the answer"]
pub struct OrderReply {
    to: Id,
    answer: Answer,
    letter: Vec<u8>,
}

impl Client {
    /// Asks for an approval (T3): seals the order for whom it was made for, and leaves it at the server.
    ///
    /// Asking again is safe: the person may see the order twice, and an approval of it counts once.
    ///
    /// # Errors
    /// [`ClientError::Table`] if it cannot be sealed; [`ClientError::Refused`] if the mailbox is full.
    pub async fn ask_approval<D: Directory>(
        &self,
        table: &Table<D>,
        asked: &Asked,
    ) -> Result<u64, ClientError> {
        self.send_letter(table, &asked.of, &letter(ORDER, &asked.document)).await
    }

    /// Sends what a person answered to whoever asked (T4): sealed, so that the server learns neither order nor answer.
    ///
    /// Sending again is safe.
    ///
    /// # Errors
    /// As [`Self::ask_approval`].
    pub async fn answer_approval<D: Directory>(
        &self,
        table: &Table<D>,
        reply: &OrderReply,
    ) -> Result<u64, ClientError> {
        self.send_letter(table, &reply.to, &reply.letter).await
    }

    /// In a bucket, so that its length tells little.
    async fn send_letter<D: Directory>(
        &self,
        table: &Table<D>,
        to: &Id,
        letter: &[u8],
    ) -> Result<u64, ClientError> {
        self.deposit(&table.seal(to, &pad(letter)).await?).await
    }
}

impl Asked {
    /// `document`, for `of` to approve.
    ///
    /// # Errors
    /// [`ApprovalError::Malformed`] if a field exceeds its limit.
    pub fn new(of: Id, document: &Document) -> Result<Self, ApprovalError> {
        Ok(Self { of, id: document.id, document: document.to_bytes()? })
    }

    /// Who was asked.
    #[must_use]
    pub const fn of(&self) -> &Id {
        &self.of
    }

    /// What was asked, byte for byte: [`Document::from_bytes`] and [`Self::new`] make the same of it after a restart.
    #[must_use]
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// What `received` says to this order: consent, which is spent in `store` and may be acted upon; none if it is about
    /// something else, or from somebody else.
    ///
    /// # Errors
    /// [`ClientError::Approval`] if they declined or said nothing in time, or if the approval does not hold: then it
    /// counts for nothing. [`ClientError::Table`] if the signer's record could not be had: the letter is good for
    /// another try.
    ///
    /// # Security
    /// The verifying key is that of the newest record that `table` trusts, by its policy for changed keys.
    pub async fn consent<D: Directory, S: ApprovalStore>(
        &self,
        table: &Table<D>,
        received: &Received,
        store: &S,
    ) -> Result<Option<Consent>, ClientError> {
        if received.from() != &self.of {
            return Ok(None);
        }
        let Some((kind, body)) = read(received) else { return Ok(None) };
        let signed = match kind {
            APPROVED | DECLINED | TIMED_OUT => body.strip_prefix(self.id.as_bytes()),
            _ => None,
        };
        match (signed, kind) {
            (None, _) => Ok(None),
            (Some(_), DECLINED) => Err(ApprovalError::Declined.into()),
            (Some(_), TIMED_OUT) => Err(ApprovalError::TimedOut.into()),
            (Some(signed), _) => {
                let signed = SignedApproval::from_bytes(signed).map_err(ApprovalError::from)?;
                let record = table.record(&self.of).await?;
                let signer = (&self.of, &record.keys().verifying);
                let verified = signed.verify(signer, &self.document, UnixTime::now())?;
                Ok(Some(verified.spend(store).await?))
            }
        }
    }
}

impl Order {
    /// The order in a letter; none if it is about something else.
    ///
    /// # Security
    /// Whoever knows the id of a user can send one. Its payee need not be its sender: compare them, or show both.
    #[must_use]
    pub fn read(received: &Received) -> Option<Self> {
        let (ORDER, body) = read(received)? else { return None };
        Some(Self { from: *received.from(), approval: Approval::request(body).ok()? })
    }

    /// Who asks.
    #[must_use]
    pub const fn from(&self) -> &Id {
        &self.from
    }

    /// What they ask to have approved.
    #[must_use]
    pub const fn document(&self) -> &Document {
        self.approval.document()
    }

    /// Shows the order to the person behind `approver`, and signs it as `signer` if they approve, with what they say about
    /// themselves.
    ///
    /// # Errors
    /// [`ApprovalError::Expired`] if the answer came too late; [`ApprovalError::Malformed`] if `user_info` is too long.
    pub async fn ask<A: Approver>(
        self,
        approver: &A,
        (signer, key): (&Id, &SigningKey),
        user_info: &str,
    ) -> Result<OrderReply, ApprovalError> {
        let Self { from, approval } = self;
        let id = approval.document().id;
        let (answer, letter) = match approval.ask(approver).await {
            Ok(approved) => {
                let signed = approved.sign(signer, key, user_info, UnixTime::now())?.to_bytes();
                (Answer::Approved, letter(APPROVED, &[&id.as_bytes()[..], &signed].concat()))
            }
            Err(ApprovalError::Declined) => (Answer::Declined, letter(DECLINED, id.as_bytes())),
            Err(ApprovalError::TimedOut) => (Answer::TimedOut, letter(TIMED_OUT, id.as_bytes())),
            Err(other) => return Err(other),
        };
        Ok(OrderReply { to: from, answer, letter })
    }
}

impl OrderReply {
    /// Who waits for it.
    #[must_use]
    pub const fn to(&self) -> &Id {
        &self.to
    }

    /// What the person said.
    #[must_use]
    pub const fn answer(&self) -> Answer {
        self.answer
    }
}

fn letter(kind: u8, body: &[u8]) -> Vec<u8> {
    [MAGIC, &[kind][..], body].concat()
}

fn read(received: &Received) -> Option<(u8, &[u8])> {
    let letter = unpad(received.plaintext()).ok()?;
    let (kind, body) = letter.strip_prefix(MAGIC)?.split_first()?;
    Some((*kind, body))
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, id, document: _ } = self;
        write!(f, "Asked({id} of {of})")
    }
}

impl fmt::Debug for OrderReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, answer, letter: _ } = self;
        write!(f, "OrderReply({answer:?} to {to})")
    }
}
