//! Amounts as `numeric`: PostgreSQL has no integer of 128 bits.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::error::Error;

use symbolon_ledger::Amount;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// Digits of a `numeric` are of this base.
const BASE: u128 = 10_000;
/// The most digits of 128 bits.
const MAX_DIGITS: usize = 10;

/// An amount in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numeric(pub(super) Amount);

type Failure = Box<dyn Error + Sync + Send>;

impl ToSql for Numeric {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        // Number of digits, weight of the first one, sign, digits after the point; then the digits.
        let mut digits = Vec::with_capacity(MAX_DIGITS);
        let mut rest = self.0.minor_units();
        while rest > 0 {
            digits.push(u16::try_from(rest % BASE)?);
            rest /= BASE;
        }
        let weight = i16::try_from(digits.len())?.saturating_sub(1).max(0);
        out.extend_from_slice(&u16::try_from(digits.len())?.to_be_bytes());
        out.extend_from_slice(&weight.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        for digit in digits.iter().rev() {
            out.extend_from_slice(&digit.to_be_bytes());
        }
        Ok(IsNull::No)
    }

    accepts!(NUMERIC);
    to_sql_checked!();
}

impl FromSql<'_> for Numeric {
    fn from_sql(_: &Type, bytes: &[u8]) -> Result<Self, Failure> {
        Ok(Self(parse(bytes).ok_or("not a whole number of 128 bits")?))
    }

    accepts!(NUMERIC);
}

fn parse(bytes: &[u8]) -> Option<Amount> {
    let (words, rest) = bytes.as_chunks::<2>();
    let mut words = words.iter().map(|word| u16::from_be_bytes(*word));
    let (digits, weight) = (words.next()?, words.next()?);
    let (sign, _scale) = (words.next()?, words.next()?);
    if sign != 0 || !rest.is_empty() || words.len() != usize::from(digits) {
        return None;
    }
    let mut value = 0_u128;
    for digit in words {
        value = value.checked_mul(BASE)?.checked_add(digit.into())?;
    }
    // Zeros at the end are not written.
    let zeros = if digits == 0 { 0 } else { weight.checked_add(1)?.checked_sub(digits)? };
    Some(Amount::new(value.checked_mul(BASE.checked_pow(zeros.into())?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_amount_comes_back() {
        let tens = (0..39).map(|n| 10_u128.pow(n));
        for value in tens.flat_map(|ten| [ten - 1, ten, ten + 1]).chain([0, u128::MAX, u128::MAX - 1]) {
            let mut bytes = BytesMut::new();
            Numeric(Amount::new(value)).to_sql(&Type::NUMERIC, &mut bytes).unwrap();
            assert_eq!(parse(&bytes), Some(Amount::new(value)));
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        let whole = [0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
        assert_eq!(parse(&whole), Some(Amount::new(7)));
        let zeros_left_out = [0, 1, 0, 1, 0, 0, 0, 0, 0, 7];
        assert_eq!(parse(&zeros_left_out), Some(Amount::new(70_000)));
        let bad: [&[u8]; 6] = [
            &[],
            &[0, 1, 0, 0, 0x40, 0, 0, 0, 0, 7],    // negative
            &[0, 0, 0, 0, 0xc0, 0, 0, 0],          // not a number
            &[0, 1, 0xff, 0xff, 0, 0, 0, 4, 0, 7], // a fraction
            &[0, 2, 0, 0, 0, 0, 0, 0, 0, 7],       // too short
            &[0, 1, 0, 10, 0, 0, 0, 0, 0, 7],      // too large
        ];
        for bytes in bad {
            assert_eq!(parse(bytes), None, "{bytes:?}");
        }
    }
}
