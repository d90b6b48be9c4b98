use core::convert::Infallible;

use getrandom::SysRng;
use rand_core::{TryCryptoRng, TryRng};

/// The operating system's generator: the default source of randomness, stateless, safe across forks and snapshots.
///
/// # Panics
/// If the operating system has no randomness to give. Nothing safe can be done then.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit, built by whoever needs randomness")]
pub struct OsRng;

#[expect(
    clippy::expect_used,
    clippy::unwrap_in_result,
    reason = "without randomness there is no safe way on"
)]
impl TryRng for OsRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(SysRng.try_next_u32().expect("the operating system gives no randomness"))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(SysRng.try_next_u64().expect("the operating system gives no randomness"))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        SysRng.try_fill_bytes(bytes).expect("the operating system gives no randomness");
        Ok(())
    }
}

impl TryCryptoRng for OsRng {}
