//! The pads that this process owns.

use alloc::sync::Arc;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex as Lock, MutexGuard, PoisonError};

use symbolon_ledger::material::{FileHalf, MaterialError};
use symbolon_ledger::{Folder, Pad, PadError, PadId, PadStatus, Policy};
use symbolon_store::AnyStore;
use tokio::sync::Mutex;

use super::frames::refused;
use super::operator::REVENUE;
use crate::protocol::{Refusal, RefusalCode};

/// The most pads attached at once: each has an open file and up to 128 KiB of keystream in memory. One more makes the one
/// that was idle the longest go; what that had reserved and not used is burnt, so this is not to be small.
const MAX_ATTACHED: usize = 1024;

pub(super) type Half = Pad<AnyStore, FileHalf>;

/// The pads that this process owns, attached when they are first asked for.
pub(super) struct Pads {
    store: AnyStore,
    path: PathBuf,
    folder: Folder,
    attached: Lock<Attached>,
    /// One is attached at a time, so that none is attached twice.
    attaching: Mutex<()>,
    /// The lock that tells other processes that the folder is in use.
    pub(super) share: Option<File>,
    /// Other processes of this server have pads of their own.
    pub(super) is_one_of_many: bool,
}

#[derive(Default)]
struct Attached {
    pads: HashMap<PadId, Place>,
    /// Counts uses, to know what was used last.
    clock: u64,
}

/// A pad, in which one request at a time works.
struct Place {
    pad: Arc<Mutex<Half>>,
    used: u64,
}

impl Attached {
    fn find(&mut self, id: PadId) -> Option<Arc<Mutex<Half>>> {
        self.clock = self.clock.saturating_add(1);
        let place = self.pads.get_mut(&id)?;
        place.used = self.clock;
        Some(Arc::clone(&place.pad))
    }

    /// Takes in a pad; false if there is no room because every pad is at work.
    fn insert(&mut self, id: PadId, pad: &Arc<Mutex<Half>>) -> bool {
        if self.pads.len() >= MAX_ATTACHED {
            let idle = self.pads.iter().filter(|(_, place)| Arc::strong_count(&place.pad) == 1);
            let Some(longest) = idle.min_by_key(|(_, place)| place.used).map(|(id, _)| *id) else {
                return false;
            };
            self.pads.remove(&longest);
        }
        self.pads.insert(id, Place { pad: Arc::clone(pad), used: self.clock });
        true
    }
}

impl Pads {
    pub(super) fn new(store: AnyStore, path: PathBuf) -> Self {
        let folder = Folder::new(&path);
        Self {
            store,
            path,
            folder,
            attached: Lock::default(),
            attaching: Mutex::default(),
            share: None,
            is_one_of_many: false,
        }
    }

    pub(super) const fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The pad of this name. A name that nobody sold a pad under leaves nothing behind.
    pub(super) async fn find(&self, id: PadId) -> Result<Arc<Mutex<Half>>, Refusal> {
        if let Some(pad) = self.lock().find(id) {
            return Ok(pad);
        }
        let _alone = self.attaching.lock().await;
        if let Some(pad) = self.lock().find(id) {
            return Ok(pad);
        }
        let policy = Policy::default().income(REVENUE);
        let pad = match Pad::attach_with(&self.store, &self.folder, id, policy).await {
            // Whether there is such a pad is told to nobody: this is said of any.
            Err(PadError::Material(MaterialError::NotFound(_))) if self.is_one_of_many => {
                let why = "no process of the server that has such a pad is there: ask again";
                return Err(Refusal::new(RefusalCode::Unavailable, why));
            }
            attached => attached.map_err(refused)?,
        };
        if pad.status() == PadStatus::Open && pad.remaining().receive == 0 {
            // What asked before is answered by nobody any more, and must not keep the pad from its end.
            pad.dismiss_all().await.map_err(refused)?;
        }
        let pad = Arc::new(Mutex::new(pad));
        if self.lock().insert(id, &pad) {
            return Ok(pad);
        }
        Err(Refusal::new(RefusalCode::Unavailable, "too many pads are at work: ask again"))
    }

    /// Whether the pad is attached here.
    pub(super) fn has(&self, id: PadId) -> bool {
        self.lock().pads.contains_key(&id)
    }

    /// Lets go of a handle that is of no more use, unless another took its place.
    pub(super) fn forget(&self, id: PadId, pad: &Arc<Mutex<Half>>) {
        let mut attached = self.lock();
        if attached.pads.get(&id).is_some_and(|place| Arc::ptr_eq(&place.pad, pad)) {
            attached.pads.remove(&id);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().pads.len()
    }

    /// Gives every pad back, for another process to attach.
    pub(super) async fn detach(&self) {
        let places = core::mem::take(&mut self.lock().pads);
        for (id, place) in places {
            let Some(pad) = Arc::into_inner(place.pad) else { continue };
            if let Err(error) = pad.into_inner().detach().await {
                tracing::warn!(pad = %id, %error, "not detached");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Attached> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
