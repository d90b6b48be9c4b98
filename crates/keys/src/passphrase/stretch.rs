//! Argon2id (RFC 9106), within limits.

use alloc::vec::Vec;
use core::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

use super::Passphrase;
use crate::secret::Secret;

/// What the stretching of a passphrase costs: memory in KiB, passes over it, lanes.
///
/// Parameters come from files and servers that nobody has authenticated yet. So there are floors, below which a
/// passphrase would be guessed too cheaply, and caps, above which a hostile file would hold memory and time at will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Argon2Params {
    m: u32,
    t: u32,
    p: u32,
}

impl Argon2Params {
    /// The cheapest accepted: 19 MiB, 2 passes, 1 lane, the least that OWASP's password storage guide recommends.
    pub const FLOOR: Self = Self { m: 19_456, t: 2, p: 1 };
    /// At most 1 GiB: a quarter of what a small machine has, and more than any device spares for one passphrase.
    pub const MAX_MEMORY_KIB: u32 = 1 << 20;
    /// At most 64 passes: who wants more adds memory, which costs an attacker more than time does.
    pub const MAX_PASSES: u32 = 64;
    /// At most 16 lanes: they are computed one after the other here, so that more of them only weaken the memory bound.
    pub const MAX_LANES: u32 = 16;
    /// Memory times passes is at most 4 GiB: seconds of one core, whatever the split.
    pub const MAX_WORK_KIB: u32 = 4 << 20;

    /// Checks and takes parameters: `m` KiB of memory, `t` passes, `p` lanes.
    ///
    /// # Errors
    /// [`InvalidParams`] if they are below [`Self::FLOOR`] or above a cap.
    pub const fn new(m: u32, t: u32, p: u32) -> Result<Self, InvalidParams> {
        if m < Self::FLOOR.m || t < Self::FLOOR.t || p < Self::FLOOR.p {
            return Err(InvalidParams::TooWeak);
        }
        if m > Self::MAX_MEMORY_KIB
            || t > Self::MAX_PASSES
            || p > Self::MAX_LANES
            || m.saturating_mul(t) > Self::MAX_WORK_KIB
        {
            return Err(InvalidParams::TooCostly);
        }
        Ok(Self { m, t, p })
    }

    /// Memory in KiB.
    #[must_use]
    pub const fn memory_kib(self) -> u32 {
        self.m
    }

    /// Passes over the memory.
    #[must_use]
    pub const fn passes(self) -> u32 {
        self.t
    }

    /// Lanes.
    #[must_use]
    pub const fn lanes(self) -> u32 {
        self.p
    }
}

impl Default for Argon2Params {
    /// 64 MiB, 3 passes, 4 lanes: the second choice of RFC 9106, section 4, for where 2 GiB are too much.
    fn default() -> Self {
        Self { m: 65_536, t: 3, p: 4 }
    }
}

/// Why parameters are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidParams {
    /// One is below [`Argon2Params::FLOOR`].
    TooWeak,
    /// One is above its cap, or memory times passes is.
    TooCostly,
}

impl fmt::Display for InvalidParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let floor = Argon2Params::FLOOR;
        match self {
            Self::TooWeak => write!(
                f,
                "Argon2id parameters too weak: at least {} KiB, {} passes, {} lane",
                floor.m, floor.t, floor.p
            ),
            Self::TooCostly => write!(
                f,
                "Argon2id parameters too costly: at most {} KiB, {} passes, {} lanes, and {} KiB times passes",
                Argon2Params::MAX_MEMORY_KIB,
                Argon2Params::MAX_PASSES,
                Argon2Params::MAX_LANES,
                Argon2Params::MAX_WORK_KIB
            ),
        }
    }
}

impl core::error::Error for InvalidParams {}

/// The memory that the stretching needs cannot be had.
#[expect(clippy::exhaustive_structs, reason = "one value")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not enough memory to stretch the passphrase: free some, then try again")
    }
}

impl core::error::Error for OutOfMemory {}

/// `Argon2id(v 0x13, passphrase, salt, m, t, p, 32)`: slow on purpose, so call it where blocking is allowed.
///
/// The result is input for [`extract`](crate::extract), not a key to use as it is.
///
/// # Errors
/// [`OutOfMemory`].
///
/// # Security
/// From the second slice on, which memory is read depends on the passphrase: Argon2id trades this for its resistance
/// to hardware. The memory is wiped.
pub fn stretch(
    passphrase: &Passphrase,
    salt: &[u8; 16],
    params: Argon2Params,
) -> Result<Secret<32>, OutOfMemory> {
    // With the limits checked, only memory can be lacking.
    let Argon2Params { m, t, p } = params;
    let params = Params::new(m, t, p, Some(32)).map_err(|_| OutOfMemory)?;
    let mut memory = Zeroizing::new(Vec::new());
    memory.try_reserve_exact(params.block_count()).map_err(|_| OutOfMemory)?;
    memory.resize(params.block_count(), Block::new());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Secret::try_init_with(|out| {
        argon2
            .hash_password_into_with_memory(passphrase.expose(), salt, out, memory.as_mut_slice())
            .map_err(|_| OutOfMemory)
    })
}
