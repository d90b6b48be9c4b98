//! A file key under a key of its own: the body of every stanza that wraps one.

use subtle::ConstantTimeEq;
use symbolon_keys::{Backend, Label, OneTimeKey, RootKey, Secret, TAG_LEN};

use crate::error::{OpenError, SealError};
use crate::file_key::FileKey;

/// File key and tag.
pub(crate) const BODY_LEN: usize = 32;

pub(crate) fn seal(key: OneTimeKey, file_key: &FileKey) -> Result<[u8; BODY_LEN], SealError> {
    let mut body = [0; BODY_LEN];
    let (sealed, tag) = body.split_at_mut(BODY_LEN - TAG_LEN);
    sealed.copy_from_slice(file_key.expose());
    tag.copy_from_slice(&key.seal_in_place(b"", sealed).map_err(|_| SealError::Failed)?);
    Ok(body)
}

/// None if the body is not under this key.
pub(crate) fn open(key: OneTimeKey, body: &[u8; BODY_LEN]) -> Option<FileKey> {
    let (sealed, tag) = body.split_last_chunk::<TAG_LEN>()?;
    let file_key = Secret::<16>::try_init_with(|out| {
        out.copy_from_slice(sealed);
        key.open_in_place(b"", out, tag)
    });
    file_key.ok().map(FileKey::from)
}

/// C1: the single-use key of one stanza, and the commitment that says for whom it is.
pub(crate) struct Committed {
    key: OneTimeKey,
    commit: Secret<32>,
}

impl Committed {
    /// `None` cannot come: the fields are short.
    pub(crate) fn derive(root: &RootKey, label: Label, fields: &[&[u8]], backend: Backend) -> Option<Self> {
        let (wrap, commit) = root.derive::<64>(label, fields).ok()?.split::<32, 32>();
        Some(Self { key: OneTimeKey::new(backend, &wrap), commit })
    }

    /// The body and the commitment.
    pub(crate) fn seal(self, file_key: &FileKey) -> Result<([u8; BODY_LEN], [u8; 32]), SealError> {
        let commit = *self.commit.expose();
        Ok((seal(self.key, file_key)?, commit))
    }

    /// Commitment first, in constant time, then the tag: a wrong commitment is for another key, a wrong tag under the
    /// right one was altered.
    pub(crate) fn open(self, commit: &[u8; 32], body: &[u8; BODY_LEN]) -> Result<Option<FileKey>, OpenError> {
        if !self.is_for(commit) {
            return Ok(None);
        }
        open(self.key, body).map(Some).ok_or(OpenError::Rejected)
    }

    pub(crate) fn is_for(&self, commit: &[u8; 32]) -> bool {
        self.commit.expose().ct_eq(commit).into()
    }
}
