use alloc::vec::Vec;

use crate::Amount;

/// What use costs, as data: each part is counted in minor units.
///
/// ```
/// # use symbolon_ledger::{Amount, Tariff};
/// let tariff = Tariff { message: Amount::new(1), bytes: (Amount::new(3), 1000), ..Tariff::FREE };
/// assert_eq!(tariff.fee(1500, 0, 0), Some(Amount::new(1 + 6))); // begun thousands count whole
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "data that an operator writes")]
pub struct Tariff {
    /// For each message.
    pub message: Amount,
    /// For each begun so-many bytes.
    pub bytes: (Amount, u64),
    /// For each session key.
    pub key: Amount,
    /// For each unit of a service, whatever it counts.
    pub service: Amount,
}

impl Tariff {
    /// Nothing costs anything.
    pub const FREE: Self =
        Self { message: Amount::ZERO, bytes: (Amount::ZERO, 1), key: Amount::ZERO, service: Amount::ZERO };

    /// What a message of `bytes` costs, with the keys it began and the units of service that it asked for; none if it
    /// cannot be counted.
    #[must_use]
    pub fn fee(&self, bytes: u64, keys: u64, service: u64) -> Option<Amount> {
        let (price, per) = self.bytes;
        let begun = bytes.div_ceil(per.max(1));
        [(price, begun), (self.key, keys), (self.service, service)]
            .into_iter()
            .try_fold(self.message, |sum, (price, times)| sum.checked_add(price.checked_mul(times.into())?))
    }
}

impl Amount {
    /// Cuts the amount into parts in proportion to `weights`, without losing or making a unit: each part is rounded
    /// down, and the units that are left go to the parts with the largest remainders (the first of equals first).
    ///
    /// None if the weights are all zero.
    ///
    /// ```
    /// # use symbolon_ledger::Amount;
    /// let parts = Amount::new(100).split(&[1, 1, 1]).unwrap();
    /// assert_eq!(parts, [34, 33, 33].map(Amount::new));
    /// ```
    #[must_use]
    pub fn split(self, weights: &[u32]) -> Option<Vec<Self>> {
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        // Quotient and remainder apart: with weights of 32 bits no product can overflow.
        let (quotient, rest) =
            (self.minor_units().checked_div(total)?, self.minor_units().checked_rem(total)?);
        let mut parts = Vec::with_capacity(weights.len());
        let mut remainders = Vec::with_capacity(weights.len());
        let mut given = 0_u128;
        for (at, weight) in weights.iter().enumerate() {
            let weight = u128::from(*weight);
            let fraction = rest.checked_mul(weight)?;
            let part = quotient.checked_mul(weight)?.checked_add(fraction.checked_div(total)?)?;
            given = given.checked_add(part)?;
            parts.push(Self::new(part));
            remainders.push((fraction.checked_rem(total)?, at));
        }
        let mut left = self.minor_units().checked_sub(given)?;
        remainders.sort_by(|(a, i), (b, j)| b.cmp(a).then(i.cmp(j)));
        for (_, at) in remainders {
            if left == 0 {
                break;
            }
            let part = parts.get_mut(at)?;
            *part = part.checked_add(Self::new(1))?;
            left = left.checked_sub(1)?;
        }
        Some(parts)
    }
}
