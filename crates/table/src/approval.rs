use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;

use symbolon_keys::wire::{Malformed, Reader, put_lp};
use symbolon_keys::{Id, Rejected, Signature, SigningKey, UnixTime, VerifyingKey, label};

use crate::document::Document;
use crate::store::{ApprovalStore, StoreError};

/// The most bytes of user information.
pub const MAX_USER_INFO: usize = 1024;

/// Version 1 of the format (`docs/approval.md`).
const VERSION: u8 = 1;

/// The button: whatever shows a document to a person and takes the answer.
pub trait Approver: Send + Sync {
    /// Shows `document`, by its own [`Document::render`] and nothing else, and waits for the answer; the document says
    /// when waiting is pointless.
    fn ask(&self, document: &Document) -> impl Future<Output = Answer> + Send;
}

/// What a person answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are three answers")]
pub enum Answer {
    /// They pressed the button.
    Approved,
    /// They said no.
    Declined,
    /// They said nothing in time.
    TimedOut,
}

/// A document that waits for a person: what they see is read from the bytes that are signed.
///
/// [`Approval::request`], then [`Approval::ask`], then [`Approved::sign`]: no step can be left out.
#[derive(Clone, Debug)]
#[must_use = "nothing is approved before `ask`"]
pub struct Approval {
    document: Document,
    bytes: Vec<u8>,
}

impl Approval {
    /// Reads the document that somebody asks to have approved.
    ///
    /// # Errors
    /// [`ApprovalError::Malformed`] if the bytes are not a document.
    pub fn request(bytes: &[u8]) -> Result<Self, ApprovalError> {
        Ok(Self { document: Document::from_bytes(bytes)?, bytes: bytes.to_vec() })
    }

    /// What is asked.
    #[must_use]
    pub const fn document(&self) -> &Document {
        &self.document
    }

    /// Asks the person.
    ///
    /// # Errors
    /// [`ApprovalError::Declined`], [`ApprovalError::TimedOut`].
    pub async fn ask<A: Approver>(self, approver: &A) -> Result<Approved, ApprovalError> {
        match approver.ask(&self.document).await {
            Answer::Approved => Ok(Approved(self)),
            Answer::Declined => Err(ApprovalError::Declined),
            Answer::TimedOut => Err(ApprovalError::TimedOut),
        }
    }
}

/// A document that a person approved and that is not signed yet.
#[derive(Debug)]
#[must_use = "an approval counts when it is signed"]
pub struct Approved(Approval);

impl Approved {
    /// Signs what was approved, with what `signer` says about themselves.
    ///
    /// # Errors
    /// [`ApprovalError::Expired`] if the answer came too late; [`ApprovalError::Malformed`] if `user_info` exceeds
    /// [`MAX_USER_INFO`].
    pub fn sign(
        self,
        signer: &Id,
        key: &SigningKey,
        user_info: &str,
        now: UnixTime,
    ) -> Result<SignedApproval, ApprovalError> {
        let Self(Approval { document, bytes }) = self;
        if now >= document.expires {
            return Err(ApprovalError::Expired);
        }
        if user_info.len() > MAX_USER_INFO {
            return Err(ApprovalError::Malformed);
        }
        let at = now.as_secs().to_be_bytes();
        let fields = fields(&bytes, signer, user_info, &at);
        let signature = key.sign(label::TABLE_APPROVAL, &fields).map_err(|_| ApprovalError::Malformed)?;
        Ok(SignedApproval { signer: *signer, user_info: user_info.to_string(), at: now, signature })
    }
}

/// What is signed, each with its length before it.
fn fields<'a>(document: &'a [u8], signer: &'a Id, user_info: &'a str, at: &'a [u8; 8]) -> [&'a [u8]; 4] {
    [document, signer.as_bytes(), user_info.as_bytes(), at]
}

/// A person's signature under a document, with who they are and when it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedApproval {
    signer: Id,
    user_info: String,
    at: UnixTime,
    signature: Signature,
}

impl SignedApproval {
    /// Reads an approval.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes do not follow the format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.expect(&[VERSION])?;
        let signer = Id::from_bytes(r.lp()?).map_err(|_| Malformed)?;
        let user_info = str::from_utf8(r.lp()?).map_err(|_| Malformed)?.to_string();
        let at = UnixTime::from_secs(r.u64()?);
        let signature = Signature::from(r.array::<64>()?);
        r.finish()?;
        if user_info.len() > MAX_USER_INFO {
            return Err(Malformed);
        }
        Ok(Self { signer, user_info, at, signature })
    }

    /// The approval as it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.push(VERSION);
        for field in [self.signer.as_bytes(), self.user_info.as_bytes()] {
            // Both are far shorter than a length prefix can say.
            put_lp(&mut out, field).unwrap_or_default();
        }
        out.extend_from_slice(&self.at.as_secs().to_be_bytes());
        out.extend_from_slice(self.signature.as_bytes());
        out
    }

    /// Who says to have signed it: whose verifying key to look up.
    #[must_use]
    pub const fn signer(&self) -> &Id {
        &self.signer
    }

    /// Checks that it approves `document`, by `signer`, whose newest record names `key`, and that it is not void.
    ///
    /// # Errors
    /// [`ApprovalError::Rejected`] if it names another signer, or the signature is wrong; [`ApprovalError::Expired`] if it was made or comes too
    /// late; [`ApprovalError::Malformed`] if `document` is none.
    ///
    /// # Security
    /// It is good once: [`Verified::spend`] sees to that.
    pub fn verify(
        &self,
        (signer, key): (&Id, &VerifyingKey),
        document: &[u8],
        now: UnixTime,
    ) -> Result<Verified, ApprovalError> {
        // A key signs whatever name it likes: only the directory says whose it is.
        if &self.signer != signer {
            return Err(ApprovalError::Rejected);
        }
        let at = self.at.as_secs().to_be_bytes();
        let fields = fields(document, &self.signer, &self.user_info, &at);
        key.verify(label::TABLE_APPROVAL, &fields, &self.signature)?;
        let document = Document::from_bytes(document)?;
        if now >= document.expires || self.at >= document.expires {
            return Err(ApprovalError::Expired);
        }
        let Self { signer, user_info, at, signature: _ } = self;
        Ok(Verified(Consent { document, signer: *signer, user_info: user_info.clone(), at: *at }))
    }
}

/// An approval whose signature holds. It may have been used before; [`Verified::spend`] tells.
#[derive(Debug)]
#[must_use = "`spend` it before acting upon it"]
pub struct Verified(Consent);

impl Verified {
    /// What was approved, to look at.
    #[must_use]
    pub const fn document(&self) -> &Document {
        &self.0.document
    }

    /// Commits that the approval is used, durably; what comes out may be acted upon.
    ///
    /// # Errors
    /// [`ApprovalError::Replay`] if it was used before; [`ApprovalError::Store`] if it is unknown whether the commit
    /// happened.
    pub async fn spend<S: ApprovalStore>(self, store: &S) -> Result<Consent, ApprovalError> {
        let Document { id, expires, .. } = self.0.document;
        if store.spend(&id, expires).await? { Ok(self.0) } else { Err(ApprovalError::Replay) }
    }
}

/// What a person agreed to, once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Consent {
    /// What was approved.
    pub document: Document,
    /// By whom.
    pub signer: Id,
    /// What they say about themselves.
    pub user_info: String,
    /// When, by their clock.
    pub at: UnixTime,
}

/// Why something is not approved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApprovalError {
    /// The bytes are not a document or not an approval, or a field exceeds its limit.
    Malformed,
    /// The person said no.
    Declined,
    /// The person said nothing in time.
    TimedOut,
    /// The document is past its time.
    Expired,
    /// The signature is wrong: another document, another signer, or altered.
    Rejected,
    /// The approval was used before.
    Replay,
    /// The store failed.
    Store(StoreError),
}

impl From<Malformed> for ApprovalError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<Rejected> for ApprovalError {
    fn from(_: Rejected) -> Self {
        Self::Rejected
    }
}

impl From<StoreError> for ApprovalError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for ApprovalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a document, or one of its fields is too long"),
            Self::Declined => f.write_str("declined"),
            Self::TimedOut => f.write_str("nobody answered in time; ask again"),
            Self::Expired => f.write_str("the document is past its time; ask for a new one"),
            Self::Rejected => f.write_str("approval rejected: not this document, or not this signer"),
            Self::Replay => f.write_str("this approval was used before"),
            Self::Store(error) => {
                write!(f, "approval in doubt: {error}; look up what became of the document")
            }
        }
    }
}

impl core::error::Error for ApprovalError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}
