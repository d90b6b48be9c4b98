use alloc::vec::Vec;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use symbolon_keys::wire::{Malformed, Reader, TooLong, put_lp};
use symbolon_keys::{Backend, Epoch, Id, OneTimeKey, Rejected, TAG_LEN};

use crate::inbox::{Opened, Plaintext};
use crate::pair::PairRoot;

/// The most bytes of a sealed message: a mailbox and a reader can hold a few of them.
pub const MAX_MESSAGE_LEN: usize = 1 << 20;

/// Version 1 of the format (`docs/table.md`).
const VERSION: u8 = 1;
const SALT_LEN: usize = 24;
const COMMIT_LEN: usize = 32;

symbolon_keys::random_id! {
    /// Names a message; random, drawn by its sender.
    pub struct MessageId;
}

/// The clear part of a sealed message: from whom, to whom, under which keys (C4: `hdr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    sender: Id,
    sender_epoch: Epoch,
    recipient: Id,
    recipient_epoch: Epoch,
    message_id: MessageId,
    salt: [u8; SALT_LEN],
}

impl Header {
    /// A header with a fresh message id and salt: one draw of 40 random bytes.
    pub fn fresh<R: CryptoRng + ?Sized>(sender: (Id, Epoch), recipient: (Id, Epoch), rng: &mut R) -> Self {
        let mut random = [0; 16 + SALT_LEN];
        rng.fill_bytes(&mut random);
        let (mut id, mut salt) = ([0; 16], [0; SALT_LEN]);
        let (first, last) = random.split_at(id.len());
        id.copy_from_slice(first);
        salt.copy_from_slice(last);
        Self {
            sender: sender.0,
            sender_epoch: sender.1,
            recipient: recipient.0,
            recipient_epoch: recipient.1,
            message_id: id.into(),
            salt,
        }
    }

    /// Reads the header of a sealed message, and checks that the message is as long as one must be.
    ///
    /// Nothing of it is authentic yet.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes do not follow the format, or exceed [`MAX_MESSAGE_LEN`].
    pub fn read(message: &[u8]) -> Result<Self, Malformed> {
        Parts::split(message).map(|parts| parts.header)
    }

    /// Who sealed it.
    #[must_use]
    pub const fn sender(&self) -> &Id {
        &self.sender
    }

    /// The epoch of the sender's key.
    #[must_use]
    pub const fn sender_epoch(&self) -> Epoch {
        self.sender_epoch
    }

    /// For whom.
    #[must_use]
    pub const fn recipient(&self) -> &Id {
        &self.recipient
    }

    /// The epoch of the recipient's key.
    #[must_use]
    pub const fn recipient_epoch(&self) -> Epoch {
        self.recipient_epoch
    }

    /// The message's name; with the sender's it is unique.
    #[must_use]
    pub const fn message_id(&self) -> &MessageId {
        &self.message_id
    }

    pub(crate) const fn salt(&self) -> &[u8] {
        &self.salt
    }

    fn len(&self) -> usize {
        [1, 2, self.sender.as_bytes().len(), 8, 2, self.recipient.as_bytes().len(), 8, 16, SALT_LEN]
            .iter()
            .fold(0, |sum: usize, part| sum.saturating_add(*part))
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        out.push(VERSION);
        put_lp(out, self.sender.as_bytes())?;
        out.extend_from_slice(&self.sender_epoch.to_bytes());
        put_lp(out, self.recipient.as_bytes())?;
        out.extend_from_slice(&self.recipient_epoch.to_bytes());
        out.extend_from_slice(self.message_id.as_bytes());
        out.extend_from_slice(&self.salt);
        Ok(())
    }
}

/// Seals `plaintext` under the root of the pair that `header` names (C4: `msg`). The output is the one allocation.
///
/// # Errors
/// [`TooLong`] if the message would exceed [`MAX_MESSAGE_LEN`].
pub fn seal(
    root: &PairRoot,
    header: &Header,
    backend: Backend,
    plaintext: &[u8],
) -> Result<Vec<u8>, TooLong> {
    let aad_len = header.len().saturating_add(COMMIT_LEN);
    let len = aad_len.saturating_add(plaintext.len()).saturating_add(TAG_LEN);
    if len > MAX_MESSAGE_LEN {
        return Err(TooLong);
    }
    let (key, commit) = root.message_keys(header)?.split::<32, COMMIT_LEN>();
    let mut message = Vec::with_capacity(len);
    header.write(&mut message)?;
    message.extend_from_slice(commit.expose());
    message.extend_from_slice(plaintext);
    let (aad, body) = message.split_at_mut_checked(aad_len).ok_or(TooLong)?;
    let tag = OneTimeKey::new(backend, &key).seal_in_place(aad, body).map_err(|Rejected| TooLong)?;
    message.extend_from_slice(&tag);
    Ok(message)
}

/// Opens a sealed message under the root of the pair that its header names.
///
/// # Errors
/// [`Rejected`] if it is malformed, forged, altered, or sealed under another root.
pub fn open(root: &PairRoot, backend: Backend, message: &[u8]) -> Result<Opened, Rejected> {
    Parts::split(message).map_err(|Malformed| Rejected)?.open(root, backend)
}

/// A sealed message cut at its joints.
pub(crate) struct Parts<'a> {
    pub(crate) header: Header,
    /// Header and commitment, as they are authenticated.
    aad: &'a [u8],
    commit: &'a [u8; COMMIT_LEN],
    body: &'a [u8],
    tag: &'a [u8; TAG_LEN],
}

impl<'a> Parts<'a> {
    pub(crate) fn split(message: &'a [u8]) -> Result<Self, Malformed> {
        if message.len() > MAX_MESSAGE_LEN {
            return Err(Malformed);
        }
        let mut r = Reader::new(message);
        r.expect(&[VERSION])?;
        let sender = Id::from_bytes(r.lp()?).map_err(|_| Malformed)?;
        let sender_epoch = Epoch::new(r.u64()?);
        let recipient = Id::from_bytes(r.lp()?).map_err(|_| Malformed)?;
        let recipient_epoch = Epoch::new(r.u64()?);
        let message_id = r.array()?.into();
        let salt = r.array()?;
        if sender == recipient {
            return Err(Malformed);
        }
        let header = Header { sender, sender_epoch, recipient, recipient_epoch, message_id, salt };
        let (aad, sealed) =
            message.split_at_checked(header.len().saturating_add(COMMIT_LEN)).ok_or(Malformed)?;
        let commit = aad.last_chunk().ok_or(Malformed)?;
        let (body, tag) = sealed.split_last_chunk().ok_or(Malformed)?;
        Ok(Self { header, aad, commit, body, tag })
    }

    /// As [`open`].
    pub(crate) fn open(self, root: &PairRoot, backend: Backend) -> Result<Opened, Rejected> {
        let (key, commit) =
            root.message_keys(&self.header).map_err(|TooLong| Rejected)?.split::<32, COMMIT_LEN>();
        // The commitment first: a message that opens under two keys is found here (C4).
        if !bool::from(commit.expose().ct_eq(self.commit)) {
            return Err(Rejected);
        }
        let mut plaintext = Plaintext(self.body.to_vec());
        OneTimeKey::new(backend, &key).open_in_place(self.aad, &mut plaintext.0, self.tag)?;
        Ok(Opened::new(self.header, plaintext))
    }
}
