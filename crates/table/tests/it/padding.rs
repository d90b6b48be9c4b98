//! Buckets hide lengths.

use proptest::prelude::*;
use symbolon_table::{pad, unpad};

#[test]
fn buckets() {
    for (len, bucket) in [
        (0, 64),
        (63, 64),
        (64, 128),
        (1000, 1024),
        (65_535, 65_536),
        (65_536, 131_072),
        (131_071, 131_072),
        (200_000, 262_144),
    ] {
        let padded = pad(&vec![0; len]);
        assert_eq!(padded.len(), bucket, "{len}");
        assert_eq!(unpad(&padded).unwrap().len(), len);
    }
}

#[test]
fn what_is_not_a_filled_bucket_is_refused() {
    let good = pad(b"hello").to_vec();
    unpad(&good).unwrap();
    let bad = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut padded = good.clone();
        change(&mut padded);
        unpad(&padded).unwrap_err();
    };
    bad(&Vec::clear);
    bad(&|padded| padded.fill(0));
    bad(&|padded| padded.push(0));
    bad(&|padded| padded.truncate(63));
    bad(&|padded| padded[63] = 1);
    bad(&|padded| padded[5] = 0x81);
    // In a bucket larger than its own.
    bad(&|padded| padded.resize(128, 0));
}

proptest! {
    #[test]
    fn what_is_padded_comes_back(plaintext: Vec<u8>) {
        let padded = pad(&plaintext);
        prop_assert!(padded.len() > plaintext.len() && padded.len() <= 2 * plaintext.len().max(32));
        prop_assert_eq!(unpad(&padded).unwrap(), plaintext.as_slice());
    }

    #[test]
    fn whatever_unpads_is_one_filling(padded: Vec<u8>) {
        if let Ok(plaintext) = unpad(&padded) {
            let again = pad(plaintext);
            prop_assert_eq!(again.as_slice(), padded.as_slice());
        }
    }
}
