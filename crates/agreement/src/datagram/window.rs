/// Which of the last packet numbers have been seen (after RFC 6479: a ring of words, of which whole ones are cleared
/// as the window moves on).
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    words: [u64; Self::WORDS],
    /// One more than the highest number seen; nothing was seen while it is zero.
    next: u64,
}

impl ReplayWindow {
    const WORDS: usize = 32;

    /// How far behind the highest number a packet may be: a burst of reordering on a fast path. One word of the ring
    /// is always being cleared.
    pub const LEN: u64 = 64 * (Self::WORDS as u64 - 1);

    /// Nothing seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: [0; Self::WORDS], next: 0 }
    }

    /// Whether `n` is new and not too old. It stays so until [`Self::mark`]: ask before a packet is verified, mark
    /// after. (The last number of all never is: Noise has it for rekeying.)
    #[must_use]
    pub fn is_new(&self, n: u64) -> bool {
        if n >= self.next {
            return n != u64::MAX;
        }
        let age = self.next.saturating_sub(n);
        age <= Self::LEN && self.words.get(index(n)).is_some_and(|word| word & bit(n) == 0)
    }

    /// Marks `n` as seen; whether it was new.
    pub fn mark(&mut self, n: u64) -> bool {
        if !self.is_new(n) {
            return false;
        }
        if n >= self.next {
            // The words between that of the highest so far and that of n are reused: at most all of them.
            let (from, to) = (self.next.div_ceil(64), n / 64);
            let count = to.saturating_add(1).saturating_sub(from).min(Self::WORDS as u64);
            for word in (0..count).map(|k| to.saturating_sub(k)) {
                if let Some(word) = self.words.get_mut(index(word.saturating_mul(64))) {
                    *word = 0;
                }
            }
            self.next = n.saturating_add(1);
        }
        if let Some(word) = self.words.get_mut(index(n)) {
            *word |= bit(n);
        }
        true
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

fn index(n: u64) -> usize {
    let words = ReplayWindow::WORDS as u64;
    usize::try_from((n / 64).checked_rem(words).unwrap_or_default()).unwrap_or_default()
}

const fn bit(n: u64) -> u64 {
    1 << (n % 64)
}
