use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use symbolon_keys::{MacKey, RootKey, Secret};

use super::registry::Taken;
use super::{Erased, MaterialError, PadHalf, PadHeader, PadKeys, PadMaterial, Stage, check_present};
use crate::frame::widen;
use crate::issue::PadSink;
use crate::{Instance, PadId};

/// Halves in memory, for tests. It can give copies of itself, as a backup or a cloned machine has them.
#[derive(Clone, Default)]
pub struct MemoryMaterial(Arc<Mutex<BTreeMap<PadId, Stored>>>);

struct Stored {
    header: PadHeader,
    keys: [[u8; 32]; 2],
    instance: Option<Instance>,
    stage: Stage,
    floors: [u64; 2],
    lanes: [Vec<u8>; 2],
}

impl Stored {
    fn lane(&self, lane: u8) -> &Vec<u8> {
        let [zero, one] = &self.lanes;
        if lane == 0 { zero } else { one }
    }

    fn lane_mut(&mut self, lane: u8) -> &mut Vec<u8> {
        let [zero, one] = &mut self.lanes;
        if lane == 0 { zero } else { one }
    }

    fn keys(&self) -> PadKeys {
        let [inner, witness] = self.keys;
        PadKeys::new(RootKey::from(Secret::from(inner)), MacKey::from(Secret::from(witness)))
    }
}

impl MemoryMaterial {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A second set of the same halves as they are now. (A clone is another handle to the same set.)
    #[must_use]
    pub fn backup(&self) -> Self {
        let copy = |stored: &Stored| Stored {
            header: stored.header.clone(),
            keys: stored.keys,
            instance: stored.instance,
            stage: stored.stage,
            floors: stored.floors,
            lanes: stored.lanes.clone(),
        };
        let halves = self.halves();
        Self(Arc::new(Mutex::new(halves.iter().map(|(id, stored)| (*id, copy(stored))).collect())))
    }

    /// Receives a half that is being issued.
    #[must_use]
    pub fn sink(&self) -> MemorySink {
        MemorySink { material: self.clone(), writing: None, finished: None }
    }

    fn halves(&self) -> MutexGuard<'_, BTreeMap<PadId, Stored>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.halves().keys()).finish()
    }
}

impl PadMaterial for MemoryMaterial {
    type Half = MemoryHalf;

    fn take(&self, pad: PadId) -> Result<MemoryHalf, MaterialError> {
        let halves = self.halves();
        let stored = halves.get(&pad).ok_or(MaterialError::NotFound(pad))?;
        let (header, keys) = (stored.header.clone(), stored.keys());
        drop(halves);
        let taken = Taken::new(pad, header.lane)?;
        Ok(MemoryHalf { material: self.clone(), header, keys, _taken: taken })
    }
}

/// One half of a pad in memory.
#[derive(Debug)]
pub struct MemoryHalf {
    material: MemoryMaterial,
    header: PadHeader,
    keys: PadKeys,
    _taken: Taken,
}

impl MemoryHalf {
    fn with<R>(
        &self,
        look: impl FnOnce(&mut Stored) -> Result<R, MaterialError>,
    ) -> Result<R, MaterialError> {
        let mut halves = self.material.halves();
        look(halves.get_mut(&self.header.pad).ok_or(MaterialError::NotFound(self.header.pad))?)
    }
}

/// A range of a lane as places in memory.
fn places(range: &Range<u64>) -> Result<Range<usize>, MaterialError> {
    let place = |at: u64| usize::try_from(at).map_err(|_| MaterialError::OutOfRange);
    Ok(place(range.start)?..place(range.end)?)
}

impl PadHalf for MemoryHalf {
    fn header(&self) -> &PadHeader {
        &self.header
    }

    fn keys(&self) -> &PadKeys {
        &self.keys
    }

    fn instance(&self) -> Option<Instance> {
        self.with(|stored| Ok(stored.instance)).unwrap_or_default()
    }

    fn bind(&self, instance: Instance) -> Result<(), MaterialError> {
        self.with(|stored| {
            stored.instance = Some(instance);
            Ok(())
        })
    }

    fn floor(&self, lane: u8) -> u64 {
        let [zero, one] = self.with(|stored| Ok(stored.floors)).unwrap_or_default();
        if lane == 0 { zero } else { one }
    }

    fn raise(&self, lane: u8, floor: u64) -> Result<(), MaterialError> {
        self.with(|stored| {
            let [zero, one] = &mut stored.floors;
            let slot = if lane == 0 { zero } else { one };
            *slot = floor.max(*slot);
            Ok(())
        })
    }

    fn read(&self, lane: u8, offset: u64, out: &mut [u8]) -> Result<(), MaterialError> {
        let end = offset.checked_add(widen(out.len())).ok_or(MaterialError::OutOfRange)?;
        self.with(|stored| {
            let bytes = stored.lane(lane).get(places(&(offset..end))?).ok_or(MaterialError::OutOfRange)?;
            out.copy_from_slice(bytes);
            check_present(offset, out)
        })
    }

    fn stage(&self) -> Stage {
        self.with(|stored| Ok(stored.stage)).unwrap_or(Stage::Destroyed)
    }

    fn advance(&self, stage: Stage) -> Result<(), MaterialError> {
        self.with(|stored| {
            stored.stage = stage.max(stored.stage);
            if stored.stage > Stage::InUse {
                stored.keys = [[0; 32]; 2];
            }
            Ok(())
        })
    }

    fn destroy(&self, lane: u8, range: Range<u64>) -> Result<Erased, MaterialError> {
        self.with(|stored| {
            let bytes = stored.lane_mut(lane).get_mut(places(&range)?).ok_or(MaterialError::OutOfRange)?;
            bytes.fill(0);
            Ok(Erased::Overwritten)
        })
    }
}

/// Receives a half that is being issued, into a [`MemoryMaterial`].
#[derive(Debug)]
pub struct MemorySink {
    material: MemoryMaterial,
    writing: Option<Writing>,
    finished: Option<PadId>,
}

struct Writing {
    stored: Stored,
    bytes: Vec<u8>,
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stored, bytes: _ } = self;
        write!(f, "Writing({:?}, ..)", stored.header)
    }
}

impl PadSink for MemorySink {
    fn start(&mut self, header: &PadHeader, keys: &PadKeys) -> Result<(), MaterialError> {
        if self.material.halves().contains_key(&header.pad) {
            return Err(MaterialError::Exists);
        }
        let stored = Stored {
            header: header.clone(),
            keys: [*keys.inner().expose(), *keys.witness().expose()],
            instance: None,
            stage: Stage::InUse,
            floors: [0; 2],
            lanes: [vec![], vec![]],
        };
        self.writing = Some(Writing { stored, bytes: vec![] });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), MaterialError> {
        self.writing.as_mut().ok_or(MaterialError::OutOfRange)?.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), MaterialError> {
        let Writing { mut stored, mut bytes } = self.writing.take().ok_or(MaterialError::OutOfRange)?;
        let [zero, one] = stored.header.lanes;
        if widen(bytes.len()) != zero.saturating_add(one) {
            return Err(MaterialError::OutOfRange);
        }
        self.finished = Some(stored.header.pad);
        let second = bytes.split_off(places(&(0..zero))?.end);
        stored.lanes = [bytes, second];
        self.material.halves().insert(stored.header.pad, stored);
        Ok(())
    }

    fn discard(&mut self) {
        self.writing = None;
        if let Some(pad) = self.finished.take() {
            self.material.halves().remove(&pad);
        }
    }
}
