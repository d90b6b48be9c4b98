use alloc::boxed::Box;
use core::convert::Infallible;
use core::fmt;

use chacha20::ChaCha20Rng;
use rand_core::utils::next_word_via_fill;
use rand_core::{Rng, SeedableRng, TryCryptoRng, TryRng};
use zeroize::{Zeroize, Zeroizing};

use crate::rng::OsRng;

const KEY_LEN: usize = 32;
/// One refill: the next key and what is given out, sixteen blocks of ChaCha20. Enough for 31 salts of 32 bytes, little
/// enough to wipe.
const BLOCK_LEN: usize = 1024;
/// Output between two seeds from the operating system: 1 MiB. Far below what ChaCha20 could give, so that a state that
/// somebody has seen, or a copied virtual machine, is of use for a fraction of a second of heavy work only; and rare
/// enough that the system call does not count.
const RESEED_AFTER: usize = 1 << 20;

/// A generator for whoever draws salts and nonces by the hundred thousand: ChaCha20, seeded by the operating system.
///
/// Fast key erasure: each refill overwrites the key that made it, and each byte is wiped when it is given out, so what
/// was given out cannot be computed from a later state. Seeds are mixed in after every mebibyte, and whenever the
/// process is found to be another one than at the last use.
///
/// ```
/// use rand_core::Rng;
/// use symbolon_keys::BufferedRng;
///
/// let mut rng = BufferedRng::new();
/// let (mut one, mut two) = ([0; 24], [0; 24]);
/// rng.fill_bytes(&mut one);
/// rng.fill_bytes(&mut two);
/// assert_ne!(one, two);
/// ```
///
/// # Panics
/// As [`OsRng`], when it is seeded: without randomness there is no safe way on.
///
/// # Security
/// [`OsRng`] is stateless and simpler: prefer it wherever its system call does not matter. Short draws cost about half
/// as much here, long ones a third; looking for a fork is a system call too, one for each draw, so draw what a batch
/// needs at once.
/// - A *fork* is seen by the process id, at each use; a child whose parent's parent had the same id (and is gone) is not
///   told apart. Threads each have their own generator, there is no sharing.
/// - A *copy of a running virtual machine* is not seen: both give the same bytes until the next seed, at most a mebibyte.
///   Where machines are cloned while they run, use [`OsRng`], whose kernel is told.
/// - Nonces drawn from it must not be the only thing between two keys: our constructions hedge their salts.
pub struct BufferedRng {
    /// The next key, then bytes to be given out; zero up to `next`.
    block: Box<Zeroizing<[u8; BLOCK_LEN]>>,
    next: usize,
    /// Bytes that may still be given out under this seed.
    until_seed: usize,
    process: u32,
}

impl BufferedRng {
    /// A generator with a seed of its own.
    #[must_use]
    pub fn new() -> Self {
        let block = Box::new(Zeroizing::new([0; BLOCK_LEN]));
        // Nothing to give out and nothing left of a seed: the first use asks for one.
        Self { block, next: BLOCK_LEN, until_seed: 0, process: process() }
    }

    /// Gives out up to as many bytes as are there.
    fn take(&mut self, out: &mut [u8]) -> usize {
        let ready = self.block.get_mut(self.next..).unwrap_or_default();
        let n = ready.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), ready.get_mut(..n)) {
            to.copy_from_slice(from);
            from.zeroize();
        }
        self.next = self.next.saturating_add(n);
        n
    }

    fn refill(&mut self) {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        if self.until_seed == 0 {
            OsRng.fill_bytes(&mut *key);
            self.until_seed = RESEED_AFTER;
        }
        // The seed is added to the key, so that the state is never worse than either.
        for (to, from) in key.iter_mut().zip(self.block.iter()) {
            *to ^= *from;
        }
        ChaCha20Rng::from_seed(*key).fill_bytes(&mut **self.block);
        self.next = KEY_LEN;
        self.until_seed = self.until_seed.saturating_sub(BLOCK_LEN);
    }
}

/// What tells a forked process from its parent. Where there is no fork, there is nothing to tell.
fn process() -> u32 {
    #[cfg(unix)]
    return std::process::id();
    #[cfg(not(unix))]
    0
}

impl Default for BufferedRng {
    fn default() -> Self {
        Self::new()
    }
}

impl TryRng for BufferedRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, mut out: &mut [u8]) -> Result<(), Infallible> {
        if self.process != process() {
            // What is there, the parent gives out too.
            self.process = process();
            (self.next, self.until_seed) = (BLOCK_LEN, 0);
        }
        loop {
            let n = self.take(out);
            out = out.get_mut(n..).unwrap_or_default();
            if out.is_empty() {
                return Ok(());
            }
            self.refill();
        }
    }
}

impl TryCryptoRng for BufferedRng {}

impl fmt::Debug for BufferedRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block: _, next: _, until_seed: _, process: _ } = self;
        f.write_str("BufferedRng(..)")
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    /// A generator in a known state, which has just been seeded.
    fn known(key: [u8; KEY_LEN]) -> BufferedRng {
        let mut rng = BufferedRng::new();
        rng.block[..KEY_LEN].copy_from_slice(&key);
        rng.until_seed = RESEED_AFTER;
        rng
    }

    fn draw(rng: &mut BufferedRng, n: usize) -> Vec<u8> {
        let mut out = vec![0; n];
        rng.fill_bytes(&mut out);
        out
    }

    /// The same, written naively: each block gives the key of the next and then the output.
    fn model(mut key: [u8; KEY_LEN], n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < n {
            let mut block = [0; BLOCK_LEN];
            ChaCha20Rng::from_seed(key).fill_bytes(&mut block);
            key.copy_from_slice(&block[..KEY_LEN]);
            out.extend_from_slice(&block[KEY_LEN..]);
        }
        out.truncate(n);
        out
    }

    #[test]
    fn output_is_fast_key_erasure_however_it_is_drawn() {
        let expected = model([7; 32], 5000);
        for step in [1, 3, 24, 32, 991, 992, 993, 5000] {
            let mut rng = known([7; 32]);
            let drawn: Vec<u8> = expected.chunks(step).flat_map(|part| draw(&mut rng, part.len())).collect();
            assert_eq!(drawn, expected, "{step} at a time");
        }
        let mut rng = known([7; 32]);
        assert_eq!(rng.next_u32().to_le_bytes(), expected[..4]);
        assert_eq!(rng.next_u64().to_le_bytes(), expected[4..12]);
    }

    #[test]
    fn what_was_given_out_is_gone() {
        let mut rng = known([7; 32]);
        let drawn = draw(&mut rng, 100);
        assert_eq!(rng.block[KEY_LEN..KEY_LEN + 100], [0; 100]);
        assert!(!rng.block.windows(8).any(|window| drawn.windows(8).any(|other| window == other)));
        assert_ne!(rng.block[..KEY_LEN], [7; KEY_LEN], "the key that made the block is gone too");
    }

    #[test]
    fn a_seed_comes_after_a_mebibyte_and_not_before() {
        let blocks = RESEED_AFTER / BLOCK_LEN;
        let per_block = BLOCK_LEN - KEY_LEN;
        let expected = model([7; 32], (blocks + 1) * per_block);
        let mut rng = known([7; 32]);
        assert_eq!(draw(&mut rng, blocks * per_block), expected[..blocks * per_block]);
        assert_ne!(draw(&mut rng, per_block), expected[blocks * per_block..], "from here on with a new seed");
        assert_eq!(rng.until_seed, RESEED_AFTER - BLOCK_LEN);
    }

    #[test]
    fn another_process_gives_other_bytes() {
        let (mut parent, mut child, mut same) = (known([7; 32]), known([7; 32]), known([7; 32]));
        for rng in [&mut parent, &mut child, &mut same] {
            draw(rng, 10);
        }
        child.process ^= 1;
        let drawn = [&mut parent, &mut child, &mut same].map(|rng| draw(rng, 32));
        assert_eq!(drawn[0], drawn[2]);
        assert_ne!(drawn[0], drawn[1]);
        assert_ne!(draw(&mut parent, 32), draw(&mut child, 32));
    }

    #[test]
    fn generators_differ_from_the_first_byte() {
        let mut drawn: Vec<_> = (0..50).map(|_| draw(&mut BufferedRng::new(), 16)).collect();
        drawn.sort();
        drawn.dedup();
        assert_eq!(drawn.len(), 50);
        assert_eq!(alloc::format!("{:?}", BufferedRng::default()), "BufferedRng(..)");
        assert_eq!(draw(&mut BufferedRng::new(), 0), b"");
    }
}
