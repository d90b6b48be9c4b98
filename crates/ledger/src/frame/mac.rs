use polyval::Polyval;
use polyval::universal_hash::UniversalHash;
use subtle::ConstantTimeEq;
use symbolon_keys::{Rejected, TAG_LEN};
use zeroize::Zeroizing;

use super::{MAC_KEY_LEN, widen};

/// A one-time MAC: POLYVAL under a fresh key, its value hidden by a fresh mask (C3; the hash of RFC 8452).
///
/// An attacker with unlimited power forges with probability at most (blocks + 1) / 2^128 per attempt.
pub(super) fn tag(key: &[u8; MAC_KEY_LEN], header: &[u8], body: &[u8]) -> [u8; TAG_LEN] {
    let (h, mask) = key.split_at(TAG_LEN);
    let mut block = Zeroizing::new([0; TAG_LEN]);
    block.copy_from_slice(h);
    let mut polyval = Polyval::new((&*block).into());
    polyval.update_padded(header);
    polyval.update_padded(body);
    let mut lengths = [0; TAG_LEN];
    let (first, second) = lengths.split_at_mut(8);
    first.copy_from_slice(&widen(header.len()).saturating_mul(8).to_le_bytes());
    second.copy_from_slice(&widen(body.len()).saturating_mul(8).to_le_bytes());
    polyval.update(&[lengths.into()]);
    let mut tag: [u8; TAG_LEN] = polyval.finalize().into();
    for (tag, mask) in tag.iter_mut().zip(mask) {
        *tag ^= mask;
    }
    tag
}

/// Compares in constant time.
pub(super) fn verify(
    key: &[u8; MAC_KEY_LEN],
    header: &[u8],
    body: &[u8],
    expected: &[u8; TAG_LEN],
) -> Result<(), Rejected> {
    if bool::from(tag(key, header, body).ct_eq(expected)) { Ok(()) } else { Err(Rejected) }
}
