//! Ids, epochs, times, random ids, and the reader of formats.

use core::time::Duration;
use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;
use symbolon_keys::wire::{Malformed, Reader, TooLong, put_lp};
use symbolon_keys::{Backend, Epoch, Id, InvalidId, UnixTime};

use crate::common::Counter;

symbolon_keys::random_id! {
    /// For these tests.
    pub(crate) struct TestId;
    /// Another.
    pub(crate) struct OtherId;
}

#[test]
fn ids_have_one_spelling() {
    let longest = "a".repeat(Id::MAX_LEN);
    for good in ["a", "0", "alice", "alice@example.org", "a.b_c-d+e@f", "7-up", "a..", &longest] {
        let id: Id = good.parse().unwrap();
        assert_eq!((id.as_str(), id.as_bytes(), id.as_ref()), (good, good.as_bytes(), good.as_bytes()));
        assert_eq!((id.to_string(), format!("{id:?}")), (good.to_owned(), format!("Id({good})")));
        assert_eq!((Id::from_bytes(good.as_bytes()), Id::try_from(good.as_bytes())), (Ok(id), Ok(id)));
    }
    let longer = "a".repeat(Id::MAX_LEN + 1);
    for bad in ["", &longer, &"a".repeat(300)] {
        assert_eq!(bad.parse::<Id>(), Err(InvalidId::Length), "{bad}");
    }
    for bad in
        ["Alice", "al ice", "\u{e9}", "a\0", "a/b", "a\n", ".a", "-a", "@a", "+a", "_a", "a:b", "a\u{7f}"]
    {
        assert_eq!(bad.parse::<Id>(), Err(InvalidId::Character), "{bad:?}");
    }
    assert_eq!(InvalidId::Length.to_string(), "an id has 1 to 63 characters");
    assert_eq!(
        InvalidId::Character.to_string(),
        "an id is made of a-z 0-9 . _ - + @ and begins with a letter or digit"
    );
    assert_eq!(size_of::<Id>(), 64, "one cache line");
}

#[test]
fn ids_are_padded_when_asked_to() {
    let id: Id = "bob".parse().unwrap();
    assert_eq!(format!("[{id:>5}] [{id:<5}]"), "[  bob] [bob  ]");
}

#[test]
fn backends_have_names_and_the_fast_one_is_best() {
    let names: Vec<_> = Backend::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["portable", "aws-lc"]);
    assert_eq!((Backend::best(), Backend::default()), (Backend::AwsLc, Backend::AwsLc));
}

#[test]
fn epochs_count_up_and_end() {
    assert_eq!((Epoch::FIRST, Epoch::default()), (Epoch::new(0), Epoch::new(0)));
    assert_eq!(Epoch::FIRST.next(), Some(Epoch::new(1)));
    assert_eq!(Epoch::new(u64::MAX - 1).next(), Some(Epoch::new(u64::MAX)));
    assert_eq!(Epoch::new(u64::MAX).next(), None);
    assert_eq!(Epoch::new(258).to_bytes(), [0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(
        (Epoch::new(7).number(), u64::from(Epoch::new(7)), Epoch::new(7).to_string()),
        (7, 7, "7".into())
    );
    assert_eq!(("0".parse(), "18446744073709551615".parse()), (Ok(Epoch::FIRST), Ok(Epoch::new(u64::MAX))));
    for bad in ["", "00", "07", "+7", "-7", " 7", "7 ", "0x7", "18446744073709551616", "\u{661}"] {
        assert_eq!(bad.parse::<Epoch>(), Err(Malformed), "{bad:?}");
    }
}

#[test]
fn times_saturate() {
    let time = UnixTime::from_secs(100);
    assert_eq!(time.saturating_add(Duration::from_millis(1_999)), UnixTime::from_secs(101));
    assert_eq!(
        UnixTime::from_secs(u64::MAX).saturating_add(Duration::from_secs(1)),
        UnixTime::from_secs(u64::MAX)
    );
    assert_eq!(time.saturating_since(UnixTime::from_secs(40)), Duration::from_secs(60));
    assert_eq!(time.saturating_since(UnixTime::from_secs(101)), Duration::ZERO, "a clock was set back");
    assert_eq!(UnixTime::from_secs(258).to_bytes(), [0, 0, 0, 0, 0, 0, 1, 2]);
    assert!(UnixTime::now() > UnixTime::from_secs(1_700_000_000));
    assert_eq!((time.as_secs(), UnixTime::default()), (100, UnixTime::from_secs(0)));
}

#[test]
fn times_print_as_rfc_3339() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (86_399, "1970-01-01T23:59:59Z"),
        (68_169_599, "1972-02-28T23:59:59Z"),
        (68_169_600, "1972-02-29T00:00:00Z"),
        (68_256_000, "1972-03-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (978_307_199, "2000-12-31T23:59:59Z"),
        (1_234_567_890, "2009-02-13T23:31:30Z"),
        (4_107_542_399, "2100-02-28T23:59:59Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (13_574_563_200, "2400-02-29T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
        (253_402_300_800, "10000-01-01T00:00:00Z"),
        (u64::MAX, "584554051223-11-09T07:00:15Z"),
    ] {
        assert_eq!(UnixTime::from_secs(seconds).to_string(), text);
    }
}

#[test]
fn random_ids_print_and_read() {
    let id = TestId::from([0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0x0f]);
    let text = "f00102030405060708090a0b0c0d0e0f";
    assert_eq!((id.to_string(), format!("{id:?}")), (text.into(), format!("TestId({text})")));
    assert_eq!(text.parse(), Ok(id));
    for bad in [
        "",
        "f0",
        "f00102030405060708090a0b0c0d0e0",
        "f00102030405060708090a0b0c0d0e0f0",
        "f00102030405060708090a0b0c0d0e0f00",
        "F00102030405060708090a0b0c0d0e0f",
        "g00102030405060708090a0b0c0d0e0f",
        "+00102030405060708090a0b0c0d0e0f",
        "\u{e9}0102030405060708090a0b0c0d0e0f",
    ] {
        assert_eq!(bad.parse::<TestId>(), Err(Malformed), "{bad:?}");
    }
    let mut rng = Counter::default();
    assert_ne!(TestId::generate(&mut rng), TestId::generate(&mut rng));
    assert_eq!(OtherId::from([3; 16]).as_bytes(), &[3; 16]);
}

#[test]
fn the_reader_never_reads_past_the_end() {
    let bytes: Vec<u8> = (1..=31).collect();
    let mut r = Reader::new(&bytes);
    assert_eq!((r.u8(), r.u16(), r.u32()), (Ok(1), Ok(0x0203), Ok(0x0405_0607)));
    assert_eq!(
        (r.u64(), r.u128()),
        (Ok(0x0809_0a0b_0c0d_0e0f), Ok(0x1011_1213_1415_1617_1819_1a1b_1c1d_1e1f))
    );
    assert_eq!(r.clone().finish(), Ok(()));
    assert_eq!((r.u8(), r.take(0), r.take(1)), (Err(Malformed), Ok(&[][..]), Err(Malformed)));

    let mut r = Reader::new(&[0, 3, b'a', b'b']);
    assert_eq!(r.lp(), Err(Malformed), "the length says more than there is");
    let mut r = Reader::new(&[0, 2, b'a', b'b', 9]);
    assert_eq!(r.lp(), Ok(&b"ab"[..]));
    assert_eq!(r.clone().finish(), Err(Malformed), "something follows");
    assert_eq!(r.clone().rest(), [9]);
    assert_eq!(
        (r.clone().expect(&[9]), r.clone().expect(&[8]), r.expect(&[9, 9])),
        (Ok(()), Err(Malformed), Err(Malformed))
    );
    assert_eq!(Reader::new(&[]).array::<1>(), Err(Malformed));
    assert_eq!(Reader::new(&[1]).take(usize::MAX), Err(Malformed));
}

#[test]
fn what_is_too_long_is_not_written() {
    let mut out = vec![7];
    assert_eq!(put_lp(&mut out, &vec![0; 0x1_0000]), Err(TooLong));
    assert_eq!(out, [7]);
    put_lp(&mut out, &vec![1; 0xffff]).unwrap();
    assert_eq!((out.len(), &out[..4]), (0x1_0002, &[7, 0xff, 0xff, 1][..]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::common::cases()))]

    #[test]
    fn ids_order_and_hash_as_their_text(texts in prop::collection::vec("[a-z0-9][a-z0-9._+@-]{0,6}", 0..40)) {
        let ids: Vec<Id> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let sorted: Vec<String> = ids.iter().collect::<BTreeSet<_>>().iter().map(ToString::to_string).collect();
        prop_assert_eq!(sorted, texts.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect::<Vec<_>>());
        prop_assert_eq!(ids.iter().collect::<HashSet<_>>().len(), texts.iter().collect::<HashSet<_>>().len());
    }

    #[test]
    fn any_text_is_an_id_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(id) = Id::from_bytes(&bytes) {
            prop_assert_eq!(id.as_bytes(), &bytes[..]);
            prop_assert_eq!(id.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn what_is_written_is_read(fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10)) {
        let mut out = Vec::new();
        for field in &fields {
            put_lp(&mut out, field).unwrap();
        }
        let mut r = Reader::new(&out);
        for field in &fields {
            prop_assert_eq!(r.lp(), Ok(&field[..]));
        }
        prop_assert_eq!(r.finish(), Ok(()));
    }
}
