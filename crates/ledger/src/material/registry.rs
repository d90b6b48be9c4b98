use alloc::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::MaterialError;
use crate::PadId;

static TAKEN: Mutex<BTreeSet<(PadId, u8)>> = Mutex::new(BTreeSet::new());

/// The halves that this process holds: two files of one half are one half, whatever their paths.
#[derive(Debug)]
pub(super) struct Taken(PadId, u8);

impl Taken {
    pub(super) fn new(pad: PadId, lane: u8) -> Result<Self, MaterialError> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.insert((pad, lane)) { Ok(Self(pad, lane)) } else { Err(MaterialError::InUse(pad)) }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Self(pad, lane) = self;
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&(*pad, *lane));
    }
}
