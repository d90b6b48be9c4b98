use sha2::{Digest, Sha256};
use symbolon_keys::wire::{Malformed, Reader};

use crate::Instance;

/// What changes about a half: written alternately into two slots, so that a torn write leaves the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) counter: u64,
    pub(super) instance: Option<Instance>,
    pub(super) floors: [u64; 2],
}

impl State {
    pub(super) const LEN: usize = 128;
    pub(super) const NEW: Self = Self { counter: 1, instance: None, floors: [0; 2] };

    /// The slot that this state goes into.
    pub(super) const fn slot(&self) -> u64 {
        self.counter % 2
    }

    pub(super) fn to_bytes(self, header_checksum: &[u8; 32]) -> [u8; Self::LEN] {
        let Self { counter, instance, floors: [zero, one] } = self;
        let mut out = [0; Self::LEN];
        let parts: [&[u8]; 6] = [
            &counter.to_be_bytes(),
            &[u8::from(instance.is_some()), 0, 0, 0, 0, 0, 0, 0],
            instance.as_ref().map_or(&[0; 16], |instance| instance.as_bytes()),
            &zero.to_be_bytes(),
            &one.to_be_bytes(),
            &[0; 48],
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
        let provisioned = match r.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed),
        };
        r.expect(&[0; 7])?;
        let instance: [u8; 16] = r.array()?;
        if !provisioned && instance != [0; 16] {
            return Err(Malformed);
        }
        let floors = [r.u64()?, r.u64()?];
        r.expect(&[0; 48])?;
        r.finish()?;
        Ok(Self { counter, instance: provisioned.then(|| instance.into()), floors })
    }
}

fn sum(header_checksum: &[u8; 32], content: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(header_checksum).chain_update(content).finalize().into()
}
