use alloc::vec::Vec;

use symbolon_keys::wire::Malformed;
use zeroize::Zeroizing;

/// The smallest bucket.
const SMALLEST: usize = 64;

/// The largest bucket that is a power of two; larger ones are its multiples, so that padding adds little to them.
const LARGEST_POWER: usize = 64 << 10;

/// Fills `plaintext` up to its bucket, so that its length shows less (`docs/table.md`).
#[must_use]
pub fn pad(plaintext: &[u8]) -> Zeroizing<Vec<u8>> {
    let bucket = bucket(plaintext.len().saturating_add(1));
    let mut padded = Zeroizing::new(Vec::with_capacity(bucket));
    padded.extend_from_slice(plaintext);
    padded.push(0x80);
    padded.resize(bucket, 0);
    padded
}

/// Takes the filling off again.
///
/// # Errors
/// [`Malformed`] if the bytes are not a filled bucket.
pub fn unpad(padded: &[u8]) -> Result<&[u8], Malformed> {
    let end = padded.iter().rposition(|&byte| byte != 0).ok_or(Malformed)?;
    let (plaintext, filling) = padded.split_at_checked(end).ok_or(Malformed)?;
    let fits = bucket(end.saturating_add(1)) == padded.len();
    if fits && filling.first() == Some(&0x80) { Ok(plaintext) } else { Err(Malformed) }
}

fn bucket(len: usize) -> usize {
    if len <= LARGEST_POWER {
        len.next_power_of_two().max(SMALLEST)
    } else {
        len.checked_next_multiple_of(LARGEST_POWER).unwrap_or(len)
    }
}
