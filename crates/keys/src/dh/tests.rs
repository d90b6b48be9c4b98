use super::{DhPublicKey, LOW_ORDER, MODULUS, Noise};
use crate::InvalidKey;

#[test]
fn every_point_of_the_list_gives_an_all_zero_secret() {
    for (i, point) in LOW_ORDER.iter().enumerate() {
        for scalar in [[0; 32], [7; 32], [0xff; 32]] {
            assert_eq!(x25519_dalek::x25519(scalar, *point), [0; 32], "entry {i}");
        }
        assert!(point.iter().rev().lt(MODULUS.iter().rev()), "entry {i} is canonical");
        assert!(!LOW_ORDER[..i].contains(point), "entry {i} is new");
    }
}

#[test]
fn the_border_of_the_canonical_encodings() {
    let import = |bytes| DhPublicKey::<Noise>::from_bytes(bytes).map(|_| ());
    let at = |low: u8| {
        let mut bytes = MODULUS;
        bytes[0] = low;
        bytes
    };
    assert_eq!(import(at(0xeb)), Ok(()), "p - 2");
    assert_eq!(import(at(0xec)), Err(InvalidKey::LowOrder), "p - 1");
    for low in 0xed..=0xff {
        assert_eq!(import(at(low)), Err(InvalidKey::NonCanonical), "p + {}", low - 0xed);
    }
    let mut two = [0; 32];
    two[0] = 2;
    assert_eq!(import(two), Ok(()));
    two[31] = 0x80;
    assert_eq!(import(two), Err(InvalidKey::NonCanonical), "high bit");
    // A smaller high byte decides, whatever the low ones are.
    assert_eq!(import([0x7e; 32]), Ok(()));
    assert_eq!(import([0xff; 32]), Err(InvalidKey::NonCanonical));
}
