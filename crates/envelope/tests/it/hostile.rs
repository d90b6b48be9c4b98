//! What must not open, and why it does not.

use rand_core::CryptoRng;
use symbolon_envelope::{
    Binding, CHUNK, Company, Context, ContextError, Expect, FileKey, Header, HeaderError, MAX_HEADER, Open,
    OpenError, PayloadError, Recipient, Rewrap, RewrapError, Seal, SealError, ServerKeys, Stanza, UserKey,
    open, payload_len,
};
use symbolon_keys::{AgeSecretKey, Backend};

use crate::support::{bytes, context, id, record, rng};

/// Sealed under a shared key, upwards, with a context; and its parts.
fn sealed(key: &UserKey, plaintext: &[u8], seed: u64) -> Vec<u8> {
    Seal::to(&[&key.up()]).context(&context(1)).bytes_with(plaintext, &mut rng(seed)).unwrap()
}

fn up(key: &UserKey, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    open(&key.up(), Expect::exactly(&context(1)), sealed).map(|opened| opened.into_plaintext())
}

#[test]
fn every_truncation_is_refused() {
    let key = UserKey::generate(&mut rng(1));
    let whole = sealed(&key, b"a hundred bytes or so", 2);
    let header = Header::parse(&whole).unwrap().0.as_bytes().len();
    for end in 0..whole.len() {
        let expected = match end {
            _ if end < header => OpenError::Header(HeaderError::Truncated),
            _ if end < header + 32 => OpenError::Payload(PayloadError::Truncated),
            _ => OpenError::Payload(PayloadError::Rejected),
        };
        let error = up(&key, &whole[..end]).unwrap_err();
        // Sixteen bytes of a final chunk are the tag of an empty one, which this is not.
        assert!(error == expected || end == header + 32, "{end}: {error:?}");
    }
    assert!(up(&key, &whole).is_ok());
}

#[test]
fn every_flipped_bit_is_refused() {
    let key = UserKey::generate(&mut rng(1));
    let whole = sealed(&key, b"short", 2);
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(up(&key, &flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn what_follows_the_end_is_refused() {
    let key = UserKey::generate(&mut rng(1));
    for len in [0, 5, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
        for extra in [1, 16, 17, CHUNK + 16, CHUNK + 17] {
            let mut whole = sealed(&key, &bytes(len), 2);
            whole.extend(bytes(extra));
            assert!(matches!(up(&key, &whole), Err(OpenError::Payload(_))), "{len} + {extra}");
        }
    }
}

#[test]
fn chunks_keep_their_places() {
    let key = UserKey::generate(&mut rng(1));
    let plaintext = bytes(3 * CHUNK);
    let whole = sealed(&key, &plaintext, 2);
    let body = whole.len() - payload_len(plaintext.len() as u64).unwrap() as usize + 16;
    let chunk = |n: usize| whole[body + n * (CHUNK + 16)..body + (n + 1) * (CHUNK + 16)].to_vec();
    for order in [[1, 0, 2], [0, 2, 1], [0, 0, 2], [2, 1, 0]] {
        let mut changed = whole[..body].to_vec();
        order.iter().for_each(|n| changed.extend(chunk(*n)));
        assert_eq!(up(&key, &changed), Err(OpenError::Payload(PayloadError::Rejected)), "{order:?}");
    }
    for kept in [0, 1, 2] {
        let cut = &whole[..body + kept * (CHUNK + 16)];
        assert_eq!(up(&key, cut), Err(OpenError::Payload(PayloadError::Truncated)), "{kept} chunks");
    }
    assert_eq!(up(&key, &whole).unwrap(), plaintext);
}

#[test]
fn other_keys_and_directions_do_not_open() {
    let (mine, other) = (UserKey::generate(&mut rng(1)), UserKey::generate(&mut rng(2)));
    let envelope = sealed(&mine, b"up", 3);
    let anything = Expect::anything;
    assert_eq!(up(&other, &envelope), Err(OpenError::NoMatch));
    assert_eq!(open(&mine.down(), anything(), &envelope).unwrap_err(), OpenError::Direction);
    assert_eq!(open(&mine.local(), anything(), &envelope).unwrap_err(), OpenError::Direction);
    // Another's stanza in another direction is not a reflection of mine.
    assert_eq!(open(&other.down(), anything(), &envelope).unwrap_err(), OpenError::NoMatch);

    let age = AgeSecretKey::generate(Backend::best(), &mut rng(4));
    assert_eq!(open(&age, anything(), &envelope).unwrap_err(), OpenError::NoMatch);
    let for_age = Seal::to(&[age.public_key()]).bytes_with(b"to age", &mut rng(5)).unwrap();
    assert_eq!(open(&age, Expect::absent(), &for_age).unwrap().plaintext(), b"to age");
    let stranger = AgeSecretKey::generate(Backend::best(), &mut rng(6));
    assert_eq!(open(&stranger, anything(), &for_age).unwrap_err(), OpenError::NoMatch);
}

#[test]
fn retired_and_unknown_versions_are_refused() {
    let mut ring = ServerKeys::generate(&mut rng(1));
    let old = Seal::to(&[&ring.current()]).bytes_with(b"old", &mut rng(2)).unwrap();
    assert_eq!(ring.rotate(&mut rng(3)), Ok(2));
    let new = Seal::to(&[&ring.current()]).bytes_with(b"new", &mut rng(4)).unwrap();
    let read = |ring: &ServerKeys, sealed: &[u8]| {
        open(ring, Expect::absent(), sealed).map(|opened| opened.into_plaintext())
    };
    assert_eq!(read(&ring, &old).unwrap(), b"old");
    ring.retire(2).unwrap();
    assert_eq!(read(&ring, &old), Err(OpenError::Retired { version: 1 }));
    ring.retire(1).unwrap();
    assert_eq!(read(&ring, &old).unwrap(), b"old", "retiring can be taken back");
    ring.retire(2).unwrap();
    assert_eq!(ring.destroy_retired(), 1);
    ring.retire(1).unwrap();
    assert_eq!(read(&ring, &old), Err(OpenError::UnknownVersion { version: 1 }), "destroying cannot");
    assert_eq!(read(&ring, &new).unwrap(), b"new");
    let other = ServerKeys::generate(&mut rng(9));
    let mut other2 = other.rotated(&mut rng(8)).unwrap();
    assert_eq!(read(&other2, &new), Err(OpenError::NoMatch), "another server's version 2");
    assert!(other2.retire(3).is_err() && other2.retire(0).is_err());
}

#[test]
fn the_context_must_be_as_expected() {
    let key = UserKey::generate(&mut rng(1));
    let envelope = sealed(&key, b"document", 2);
    let try_with = |expect: Expect| open(&key.up(), expect, &envelope).map(|_| ());
    let mismatch = Err(OpenError::Context(ContextError::Mismatch));
    let part = Expect::context;
    assert_eq!(try_with(Expect::absent()), Err(OpenError::Context(ContextError::Unexpected)));
    assert_eq!(try_with(part().realm(id("elsewhere"))), mismatch);
    assert_eq!(try_with(part().record(record(2))), mismatch);
    assert_eq!(try_with(part().owner(id("bob"))), mismatch);
    assert_eq!(try_with(part().sequence(2)), mismatch);
    assert_eq!(try_with(part().policy(symbolon_envelope::Policy::VIEW_ONLY)), mismatch);
    assert_eq!(try_with(Expect::exactly(&context(1).with(vec![1]))), mismatch);
    assert_eq!(
        try_with(part().realm(id("example")).record(record(1)).owner(id("alice")).sequence(1)),
        Ok(())
    );
    let bare = Seal::to(&[&key.up()]).bytes_with(b"bare", &mut rng(3)).unwrap();
    let missing = open(&key.up(), part(), &bare).map(|_| ());
    assert_eq!(missing, Err(OpenError::Context(ContextError::Missing)));
}

/// Rewrites the lines of a header, leaving its MAC as it is.
fn edit(envelope: &[u8], change: impl Fn(&mut Vec<String>)) -> Vec<u8> {
    let (header, payload) = Header::parse(envelope).unwrap();
    let text = String::from_utf8(header.as_bytes().to_vec()).unwrap();
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    change(&mut lines);
    [(lines.join("\n") + "\n").as_bytes(), payload].concat()
}

#[test]
fn stanzas_are_bound_to_the_context() {
    let key = UserKey::generate(&mut rng(1));
    let envelope = sealed(&key, b"document", 2);
    let other = edit(&sealed(&key, b"another", 3), |_| ());
    let context_of = |sealed: &[u8]| {
        let header = String::from_utf8(Header::parse(sealed).unwrap().0.as_bytes().to_vec()).unwrap();
        header.lines().skip(1).take(3).map(String::from).collect::<Vec<_>>()
    };
    assert!(context_of(&envelope)[0].starts_with("-> symbolon.dev/context "));
    // Without the wrapping key nobody can put another context there, nor none: the wrap is then for another key.
    let swapped = edit(&envelope, |lines| {
        lines.splice(1..4, context_of(&other));
    });
    let removed = edit(&envelope, |lines| {
        lines.drain(1..4);
    });
    for changed in [swapped, removed] {
        assert_eq!(open(&key.up(), Expect::anything(), &changed).unwrap_err(), OpenError::NoMatch);
    }
}

#[test]
fn header_and_wrap_are_authenticated() {
    let key = UserKey::generate(&mut rng(1));
    let envelope = sealed(&key, b"document", 2);
    let unknown = edit(&envelope, |lines| {
        let end = lines.len() - 1;
        lines.splice(end..end, ["-> example.com/unknown".to_string(), String::new()]);
    });
    assert_eq!(up(&key, &unknown), Err(OpenError::HeaderMac));
    let altered = edit(&envelope, |lines| {
        let body = lines.len() - 2;
        let first = if lines[body].starts_with('A') { "B" } else { "A" };
        lines[body].replace_range(..1, first);
    });
    assert_eq!(up(&key, &altered), Err(OpenError::Rejected), "the commitment is right, the tag is not");
}

#[test]
fn limits_hold_early() {
    let key = UserKey::generate(&mut rng(1));
    let up = key.up();
    let recipients: Vec<&dyn Recipient> = vec![&up; 33];
    assert!(Seal::to(&recipients[..32]).bytes_with(b"", &mut rng(2)).is_ok());
    assert_eq!(Seal::to(&recipients).bytes_with(b"", &mut rng(2)), Err(SealError::TooLong));
    assert_eq!(Seal::to(&[]).bytes_with(b"", &mut rng(2)), Err(SealError::NoRecipients));
    let long = context(1).with(vec![0; 4096]);
    assert_eq!(Seal::to(&[&up]).context(&long).bytes_with(b"", &mut rng(2)), Err(SealError::Context));

    let stanzas = "-> example.com/x\n\n".repeat(33);
    let many = format!("age-encryption.org/v1\n{stanzas}");
    assert_eq!(Header::parse(many.as_bytes()).unwrap_err(), HeaderError::TooLong);
    // A line without an end, fed piece by piece: refused at the limit, whatever would still come.
    let mut reader = symbolon_envelope::HeaderReader::new();
    reader.push(b"age-encryption.org/v1\n-> ").unwrap();
    let pieces = (1..).map(|_| reader.push(&[b'a'; 1000])).position(|outcome| outcome.is_err()).unwrap();
    assert_eq!(pieces, (MAX_HEADER - 25) / 1000);
    // 64 KiB is accepted, one byte more is not.
    let fit = |len: usize| {
        let fixed = format!("age-encryption.org/v1\n-> \n\n--- {}\n", "A".repeat(43)).len();
        format!("age-encryption.org/v1\n-> {}\n\n--- {}\n", "a".repeat(len - fixed), "A".repeat(43))
    };
    assert!(Header::parse(fit(MAX_HEADER).as_bytes()).is_ok());
    assert_eq!(Header::parse(fit(MAX_HEADER + 1).as_bytes()).unwrap_err(), HeaderError::TooLong);
}

#[test]
fn rewrap_checks_before_it_writes() {
    let (alice, bob) = (UserKey::generate(&mut rng(1)), UserKey::generate(&mut rng(2)));
    let envelope = sealed(&alice, &bytes(100_000), 3);
    let (alice_up, bob_down) = (alice.up(), bob.down());
    let for_bob = Rewrap::from(&alice_up).to(&bob_down).apply(&envelope).unwrap();
    let (old, new) = (Header::parse(&envelope).unwrap(), Header::parse(&for_bob).unwrap());
    assert!(old.1 == new.1, "the payload is the same");
    assert_eq!(new.0.stanzas().len(), 2);
    assert_ne!(old.0.stanzas()[0], new.0.stanzas()[0], "the context has a new salt");
    let opened = open(&bob_down, Expect::exactly(&context(1)), &for_bob).unwrap();
    assert_eq!(opened.plaintext(), bytes(100_000));
    assert_eq!(up(&alice, &for_bob), Err(OpenError::NoMatch), "the old key opens the new header no more");

    let refused = |rewrap: Rewrap<'_>, sealed: &[u8]| match rewrap.to(&bob_down).apply(sealed) {
        Err(RewrapError::Open(error)) => error,
        other => panic!("{other:?}"),
    };
    let unknown = edit(&envelope, |lines| {
        let end = lines.len() - 1;
        lines.splice(end..end, ["-> example.com/unknown".to_string(), String::new()]);
    });
    assert_eq!(refused(Rewrap::from(&alice_up), &unknown), OpenError::HeaderMac);
    assert_eq!(refused(Rewrap::from(&bob_down), &envelope), OpenError::NoMatch);
    assert_eq!(refused(Rewrap::from(&alice.down()), &envelope), OpenError::Direction);
    let expect = Expect::exactly(&context(2));
    assert_eq!(
        refused(Rewrap::from(&alice_up).expect(expect), &envelope),
        OpenError::Context(ContextError::Mismatch)
    );
    assert_eq!(Rewrap::from(&alice_up).apply(&envelope), Err(RewrapError::Seal(SealError::NoRecipients)));
    assert!(
        Rewrap::from(&alice_up).to(&bob_down).detached(&envelope).is_err(),
        "a header, and nothing after it"
    );
}

/// A recipient of somebody else's, of a kind that nobody here knows.
struct Foreign;

impl Recipient for Foreign {
    fn wrap(&self, _: &FileKey, _: &Binding, _: &mut dyn CryptoRng) -> Result<Stanza, SealError> {
        Ok(Stanza::new(&["example.com/foreign", "1"], vec![7; 48]).unwrap())
    }

    fn company(&self) -> Company {
        Company::Any
    }
}

#[test]
fn a_rewrap_names_only_those_whom_it_is_for() {
    let (alice, bob) = (UserKey::generate(&mut rng(1)), UserKey::generate(&mut rng(2)));
    let (alice_up, bob_down) = (alice.up(), bob.down());
    let envelope = Seal::to(&[&alice_up, &Foreign]).bytes_with(b"document", &mut rng(3)).unwrap();
    let kinds = |sealed: &[u8]| {
        let (header, _) = Header::parse(sealed).unwrap();
        header.stanzas().iter().map(|stanza| stanza.kind().to_string()).collect::<Vec<_>>()
    };
    assert!(kinds(&envelope).contains(&"example.com/foreign".to_string()));
    assert_eq!(open(&alice_up, Expect::anything(), &envelope).unwrap().plaintext(), b"document");
    let for_bob = Rewrap::from(&alice_up).to(&bob_down).apply(&envelope).unwrap();
    assert_eq!(kinds(&for_bob).len(), 1, "{:?}", kinds(&for_bob));
    assert_eq!(open(&bob_down, Expect::anything(), &for_bob).unwrap().plaintext(), b"document");
}

#[test]
fn of_a_batch_each_has_its_own_result() {
    let (alice, bob) = (UserKey::generate(&mut rng(1)), UserKey::generate(&mut rng(2)));
    let (alice_up, bob_down) = (alice.up(), bob.down());
    let envelopes = [4, 5, 6].map(|seed| sealed(&alice, b"document", seed));
    let headers = envelopes.each_ref().map(|envelope| {
        let (_, payload) = Header::parse(envelope).unwrap();
        envelope[..envelope.len() - payload.len()].to_vec()
    });
    let mut spoilt = headers[1].clone();
    let end = spoilt.len() - 2;
    spoilt[end] = if spoilt[end] == b'A' { b'E' } else { b'A' };
    let batch = [&headers[0][..], &spoilt, &headers[2], b"", &headers[1]];
    let results: Vec<_> = Rewrap::from(&alice_up).to(&bob_down).batch(batch).collect();
    assert!(results[1].is_err() && results[3].is_err() && results.len() == 5);
    for (result, n) in [(&results[0], 0), (&results[2], 2), (&results[4], 1)] {
        let (_, payload) = Header::parse(&envelopes[n]).unwrap();
        let joined = [result.as_ref().unwrap(), payload].concat();
        let opened = open(&bob_down, Expect::exactly(&context(1)), &joined).unwrap();
        assert_eq!(opened.plaintext(), b"document");
    }
}

#[test]
fn contexts_are_kept_changed_or_dropped() {
    let (alice, ring) = (UserKey::generate(&mut rng(1)), ServerKeys::generate(&mut rng(2)));
    let envelope = sealed(&alice, b"document", 3);
    let (up, current) = (alice.up(), ring.current());
    let other = Context::new(id("example"), record(9), id("alice")).at(7);
    let found = |rewrap: Rewrap<'_>| {
        let sealed = rewrap.to(&current).apply(&envelope).unwrap();
        open(&ring, Expect::anything(), &sealed).unwrap().context().cloned()
    };
    assert_eq!(found(Rewrap::from(&up)), Some(context(1)));
    assert_eq!(found(Rewrap::from(&up).context(&other)), Some(other.clone()));
    assert_eq!(found(Rewrap::from(&up).without_context()), None);
}

#[test]
fn exported_rings_come_back_whole() {
    let root = UserKey::generate(&mut rng(1));
    let mut ring = ServerKeys::generate(&mut rng(2));
    for _ in 0..3 {
        ring.rotate(&mut rng(u64::from(ring.version()))).unwrap();
    }
    ring.retire(2).unwrap();
    let sealed = Seal::to(&[&ring.current()]).bytes_with(b"x", &mut rng(3)).unwrap();
    let export = ring.export(&[&root.local()], &mut rng(4)).unwrap();
    let back = ServerKeys::import(&[&root.local()], &export).unwrap();
    assert_eq!((back.version(), back.minimum()), (4, 2));
    assert!(back.versions().eq(1..=4));
    assert_eq!(open(&back, Expect::absent(), &sealed).unwrap().plaintext(), b"x");
    assert!(ServerKeys::import(&[&root.up()], &export).is_err());
    // A document under the same key is not a ring.
    let document = Seal::to(&[&root.local()]).bytes_with(&bytes(200), &mut rng(5)).unwrap();
    assert_eq!(
        ServerKeys::import(&[&root.local()], &document).unwrap_err(),
        symbolon_envelope::RingError::Malformed
    );
    for backend in Backend::ALL {
        let open = Open::with(&[&back]).backend(*backend).bytes(&sealed);
        assert_eq!(open.unwrap().plaintext(), b"x");
    }
}
