use sha2::{Digest, Sha256};
use symbolon_keys::wire::{Malformed, Reader};

use super::Stage;
use crate::Instance;

/// What changes about a half: written alternately into two slots, so that a torn write leaves the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) counter: u64,
    pub(super) instance: Option<Instance>,
    pub(super) stage: Stage,
    pub(super) floors: [u64; 2],
    /// Of the header without its keys, once these are destroyed; zero before.
    pub(super) header: [u8; 32],
}

impl State {
    pub(super) const LEN: usize = 128;
    pub(super) const NEW: Self =
        Self { counter: 1, instance: None, stage: Stage::InUse, floors: [0; 2], header: [0; 32] };

    /// The slot that this state goes into.
    pub(super) const fn slot(&self) -> u64 {
        self.counter % 2
    }

    pub(super) fn to_bytes(self, header_checksum: &[u8; 32]) -> [u8; Self::LEN] {
        let Self { counter, instance, stage, floors: [zero, one], header } = self;
        let code = match stage {
            Stage::InUse => u8::from(instance.is_some()),
            Stage::Ended => 2,
            Stage::Destroyed => 3,
        };
        let mut out = [0; Self::LEN];
        let parts: [&[u8]; 7] = [
            &counter.to_be_bytes(),
            &[code, 0, 0, 0, 0, 0, 0, 0],
            instance.as_ref().map_or(&[0; 16], |instance| instance.as_bytes()),
            &zero.to_be_bytes(),
            &one.to_be_bytes(),
            &header,
            &[0; 16],
        ];
        let (content, checksum) = out.split_at_mut(96);
        for (to, from) in content.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        checksum.copy_from_slice(&sum(header_checksum, content));
        out
    }

    pub(super) fn parse(bytes: &[u8; Self::LEN], header_checksum: &[u8; 32]) -> Result<Self, Malformed> {
        let (content, checksum) = bytes.split_at(96);
        if sum(header_checksum, content) != checksum {
            return Err(Malformed);
        }
        let mut r = Reader::new(content);
        let counter = r.u64()?;
        let (provisioned, stage) = match r.u8()? {
            0 => (false, Stage::InUse),
            1 => (true, Stage::InUse),
            2 => (true, Stage::Ended),
            3 => (true, Stage::Destroyed),
            _ => return Err(Malformed),
        };
        r.expect(&[0; 7])?;
        let instance: [u8; 16] = r.array()?;
        if !provisioned && instance != [0; 16] {
            return Err(Malformed);
        }
        let floors = [r.u64()?, r.u64()?];
        let header: [u8; 32] = r.array()?;
        if stage == Stage::InUse && header != [0; 32] {
            return Err(Malformed);
        }
        r.expect(&[0; 16])?;
        r.finish()?;
        Ok(Self { counter, instance: provisioned.then(|| instance.into()), stage, floors, header })
    }
}

fn sum(header_checksum: &[u8; 32], content: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(header_checksum).chain_update(content).finalize().into()
}
