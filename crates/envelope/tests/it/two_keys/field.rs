//! Numbers modulo 2^130 - 5, to divide by: what the AEAD has no need of.

const BITS: u32 = 26;
const MASK: u64 = (1 << BITS) - 1;

/// Five limbs of 26 bits, always the smallest number of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element([u64; 5]);

impl Element {
    pub(super) const ZERO: Self = Self([0; 5]);

    /// `low + high * 2^128`, with `high` below 64.
    pub(super) fn new(low: u128, high: u128) -> Self {
        let mut limbs = [0; 5];
        for (limb, shift) in limbs.iter_mut().zip((0..).step_by(26)) {
            *limb = (low >> shift) & u128::from(MASK);
        }
        limbs[4] += high << 24;
        Self::reduce(limbs)
    }

    /// The number modulo 2^128, and how many 2^128 there are.
    pub(super) fn parts(self) -> (u128, u64) {
        let low = self.0.iter().rev().fold(0_u128, |sum, limb| (sum << BITS) | u128::from(*limb));
        (low, self.0[4] >> 24)
    }

    pub(super) fn add(self, other: Self) -> Self {
        Self::reduce(core::array::from_fn(|n| u128::from(self.0[n] + other.0[n])))
    }

    pub(super) fn sub(self, other: Self) -> Self {
        // Twice the modulus, so that no limb falls below zero.
        let modulus = [MASK - 4, MASK, MASK, MASK, MASK];
        Self::reduce(core::array::from_fn(|n| u128::from(self.0[n] + 2 * modulus[n] - other.0[n])))
    }

    pub(super) fn mul(self, other: Self) -> Self {
        let mut limbs = [0; 5];
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in other.0.iter().enumerate() {
                // 2^130 is 5.
                let times = if i + j < 5 { 1 } else { 5 };
                limbs[(i + j) % 5] += u128::from(*a) * u128::from(*b) * times;
            }
        }
        Self::reduce(limbs)
    }

    /// By Fermat: the power of 2^130 - 7, whose bits are all set but two.
    pub(super) fn inverse(self) -> Self {
        (0..130).rev().fold(Self::new(1, 0), |power, bit| {
            let square = power.mul(power);
            if bit == 1 || bit == 2 { square } else { square.mul(self) }
        })
    }

    fn reduce(mut limbs: [u128; 5]) -> Self {
        for _ in 0..4 {
            let mut carry = 0;
            for limb in &mut limbs {
                *limb += carry;
                carry = *limb >> BITS;
                *limb &= u128::from(MASK);
            }
            limbs[0] += carry * 5;
        }
        let limbs = limbs.map(|limb| u64::try_from(limb).unwrap());
        // Only the modulus itself and the four numbers after it have another name.
        let top = limbs[1..].iter().all(|limb| *limb == MASK) && limbs[0] >= MASK - 4;
        if top { Self([limbs[0] - (MASK - 4), 0, 0, 0, 0]) } else { Self(limbs) }
    }
}

#[test]
fn inverses_and_differences() {
    let numbers = [(1, 0), (2, 0), (u128::MAX, 3), (u128::MAX - 5, 3), (0, 1), (12_345, 2)];
    for (low, high) in numbers {
        let number = Element::new(low, high);
        assert_eq!(number.mul(number.inverse()), Element::new(1, 0));
        assert_eq!(number.sub(number), Element::ZERO);
        assert_eq!(Element::new(7, 0).sub(number).add(number), Element::new(7, 0));
    }
    assert_eq!(Element::new(u128::MAX - 4, 3), Element::ZERO, "the modulus");
}
