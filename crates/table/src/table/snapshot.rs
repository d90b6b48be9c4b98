//! A table kept under a device's key (`docs/snapshot.md`).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use rand_core::Rng;
use subtle::ConstantTimeEq;
use symbolon_keys::wire::{Malformed, Reader, TooLong, put_lp};
use symbolon_keys::{Id, OneTimeKey, OsRng, Rejected, RootKey, Secret, TAG_LEN, label};
use zeroize::Zeroizing;

use super::Table;
use crate::directory::Directory;
use crate::peer::Peer;

/// Version 1 of the format (`docs/snapshot.md`).
const VERSION: u8 = 1;
const SALT_LEN: usize = 24;
const COMMIT_LEN: usize = 32;

/// The most peers of one snapshot: some 200 MB.
const MAX_PEERS: usize = 1 << 20;

impl<D: Directory> Table<D> {
    /// The table's peers, sealed under `device_key`: what to write to a file, and to [`Self::restore`] after a restart.
    ///
    /// # Errors
    /// [`SnapshotError::TooLarge`] beyond 2^20 peers.
    pub fn snapshot(&self, device_key: &RootKey) -> Result<Vec<u8>, SnapshotError> {
        let mut peers = Zeroizing::new(Vec::new());
        let mut count = 0_u32;
        // Reserved at once: growth would leave copies of secrets behind.
        peers.reserve_exact(self.peers.len().min(MAX_PEERS).saturating_add(64).saturating_mul(Peer::MAX_LEN));
        for (id, peer) in self.peers.iter().take(MAX_PEERS.saturating_add(1)) {
            put_lp(&mut peers, id.as_bytes())?;
            peer.write(&mut peers);
            count = count.checked_add(1).ok_or(SnapshotError::TooLarge)?;
        }
        if usize::try_from(count).is_ok_and(|count| count > MAX_PEERS) {
            return Err(SnapshotError::TooLarge);
        }
        let mut salt = [0; SALT_LEN];
        OsRng.fill_bytes(&mut salt);
        let (key, commit) = keys(device_key, &self.id, &salt)?;
        let mut out = Vec::with_capacity(peers.len().saturating_add(256));
        out.push(VERSION);
        put_lp(&mut out, self.id.as_bytes())?;
        out.extend_from_slice(&salt);
        out.extend_from_slice(commit.expose());
        let mut body = Zeroizing::new([&count.to_be_bytes(), peers.as_slice()].concat());
        let tag = OneTimeKey::new(self.backend, &key).seal_in_place(&out, &mut body)?;
        out.extend_from_slice(&body);
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// Puts the peers of a snapshot into the table, except those that it holds already; answers how many.
    ///
    /// # Errors
    /// [`SnapshotError`]; the table is as it was.
    ///
    /// # Security
    /// An old snapshot is as authentic as a new one. What it can do is forget: heads that were seen since. The
    /// directory's histories still have to include the heads that are in it, and retirement dates still hold.
    pub fn restore(&self, device_key: &RootKey, snapshot: &[u8]) -> Result<usize, SnapshotError> {
        let mut r = Reader::new(snapshot);
        r.expect(&[VERSION])?;
        if r.lp()? != self.id.as_bytes() {
            return Err(SnapshotError::Foreign);
        }
        let salt: [u8; SALT_LEN] = r.array()?;
        let given: [u8; COMMIT_LEN] = r.array()?;
        let (body, tag) = r.rest().split_last_chunk::<TAG_LEN>().ok_or(Malformed)?;
        let head_len = snapshot.len().saturating_sub(body.len()).saturating_sub(TAG_LEN);
        let aad = snapshot.get(..head_len).unwrap_or_default();
        let (key, commit) = keys(device_key, &self.id, &salt)?;
        if !bool::from(commit.expose().ct_eq(&given)) {
            return Err(SnapshotError::Rejected);
        }
        let mut body = Zeroizing::new(body.to_vec());
        OneTimeKey::new(self.backend, &key).open_in_place(aad, &mut body, tag)?;

        let mut r = Reader::new(&body);
        let mut peers = Vec::new();
        for _ in 0..r.u32()? {
            let id = Id::from_bytes(r.lp()?).map_err(|_| Malformed)?;
            peers.push((id, Arc::new(Peer::read(&mut r)?)));
        }
        r.finish()?;
        let new: Vec<_> = peers.into_iter().filter(|(id, _)| self.peers.peek(id).is_none()).collect();
        let count = new.len();
        self.peers.reserve(count.min(self.policy.capacity));
        for (id, peer) in new {
            self.peers.insert(&id, peer);
        }
        Ok(count)
    }
}

fn keys(device_key: &RootKey, id: &Id, salt: &[u8]) -> Result<(Secret<32>, Secret<COMMIT_LEN>), TooLong> {
    Ok(device_key.derive::<64>(label::TABLE_SNAPSHOT, &[id.as_bytes(), salt])?.split())
}

/// Why a snapshot was not made or not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The bytes are not a snapshot.
    Malformed,
    /// It is the snapshot of another user's table.
    Foreign,
    /// It was altered, or made under another key. Start with an empty table.
    Rejected,
    /// The table has more peers than a snapshot holds.
    TooLarge,
}

impl From<Malformed> for SnapshotError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<Rejected> for SnapshotError {
    fn from(_: Rejected) -> Self {
        Self::Rejected
    }
}

impl From<TooLong> for SnapshotError {
    fn from(_: TooLong) -> Self {
        Self::TooLarge
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not the snapshot of a table; start with an empty one",
            Self::Foreign => "snapshot of another user's table",
            Self::Rejected => "snapshot altered or made under another key; start with an empty table",
            Self::TooLarge => "more peers than a snapshot holds",
        })
    }
}

impl core::error::Error for SnapshotError {}
