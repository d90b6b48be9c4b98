use symbolon_agreement::{
    AgreementError, Arrival, Declined, GuessableKey, Initiator, Responder, Suite, Terms,
};
use symbolon_keys::{NoisePublicKey, OsRng, Psk, Secret};

use super::{NOW, PORT, World, all_suites, key, prove, talk};
use crate::tampered;

#[test]
fn every_suite_goes_all_the_way() {
    // proves A2, A4, A5, A8, A10
    let world = World::new();
    for suite in all_suites() {
        let (mut claim, mut ticket) = world.assigned(world.initiator(suite));
        let (mine, theirs) = prove(&mut claim, &mut ticket, PORT);
        assert_eq!((mine.context().suite(), theirs.context().suite()), (suite, suite));
        assert_eq!(mine.context().peer(), Some(&world.server()));
        let anonymous = [Suite::NK, Suite::NX].contains(&suite.hybrid(false));
        let initiator = Some(world.initiator.public_key()).filter(|_| !anonymous);
        assert_eq!(theirs.context().peer(), initiator);
        talk((mine, theirs));
    }
}

#[test]
fn the_answer_carries_application_data() {
    let world = World::new();
    let mut i = world.xx().start(&mut OsRng).unwrap();
    let received = world.responder.receive(i.body(), None).unwrap();
    let terms = Terms::new().port(7).application(b"welcome").fallback(true);
    let (m2, _) = received.answer(terms, NOW, &mut OsRng).unwrap();
    let verified = i.receive(&m2).unwrap();
    assert_eq!(verified.application().bytes(), b"welcome");
    let (_, to) = verified.claim().unwrap();
    assert_eq!((to.port().unwrap().get(), to.ttl().as_secs(), to.fallback()), (7, 20, true));
    let received = world.responder.receive(i.body(), None).unwrap();
    let too_long = Terms::new().application(&[0; 4097]);
    assert_eq!(received.answer(too_long, NOW, &mut OsRng).unwrap_err(), AgreementError::TooLong);
}

#[test]
fn application_data_comes_with_its_level() {
    let world = World::new();
    for suite in all_suites() {
        let mut i = world.initiator(suite).start(&mut OsRng).unwrap();
        let received = world.responder.receive(i.body(), None).unwrap();
        let terms = Terms::new().port(40_123).application(b"welcome");
        let (m2, mut ticket) = received.answer(terms, NOW, &mut OsRng).unwrap();
        let verified = i.receive(&m2).unwrap();
        let destination = match suite.hybrid(false) {
            Suite::IK | Suite::KK => 4,
            Suite::IX | Suite::KX => 3,
            _ => 1,
        };
        let said = verified.application();
        assert_eq!(said.bytes(), b"welcome");
        assert_eq!((said.level().source(), said.level().destination()), (2, destination), "{suite}");
        assert_eq!(format!("{said:?}"), format!("AnswerPayload(7 bytes, Level(2, {destination}))"));
        // Both ends still have it, at that level, in their session.
        let (mut claim, _) = verified.claim().unwrap();
        let (mine, theirs) = prove(&mut claim, &mut ticket, PORT);
        for context in [mine.context(), theirs.context()] {
            assert_eq!(context.application().bytes(), b"welcome");
            assert_eq!(context.application().level().destination(), destination);
        }
    }
}

#[test]
fn a_changed_second_message_changes_nothing() {
    let world = World::new();
    for suite in all_suites() {
        let mut i = world.initiator(suite).start(&mut OsRng).unwrap();
        let received = world.responder.receive(i.body(), None).unwrap();
        let (m2, mut ticket) = received.answer(Terms::new().port(40_123), NOW, &mut OsRng).unwrap();
        // Its own message, turned round, and that of another session.
        let own = i.body();
        // Behind the hello and the length of m1: version, suite, so many suites offered.
        let m1 = &own[4 + 2 * usize::from(own[3]) + 2..];
        let reflected = [own.to_vec(), m1.to_vec()];
        let other = world.initiator(suite).start(&mut OsRng).unwrap();
        let foreign = world.responder.receive(other.body(), None).unwrap();
        let (foreign, _) = foreign.answer(Terms::new().port(40_123), NOW, &mut OsRng).unwrap();
        for bad in reflected.iter().chain([&foreign]) {
            assert_eq!(i.receive(bad).unwrap_err(), AgreementError::Rejected, "{suite}");
        }
        // Hybrid ones in steps, from the last, which is longer: `noise` changes every byte of them.
        let step = if suite.is_hybrid() { 37 } else { 1 };
        for bad in tampered(&m2).iter().rev().step_by(step) {
            assert_eq!(i.receive(bad).unwrap_err(), AgreementError::Rejected);
        }
        let (mut claim, _) = i.receive(&m2).unwrap().claim().unwrap();
        talk(prove(&mut claim, &mut ticket, PORT));
        assert_eq!(i.receive(&m2).unwrap_err(), AgreementError::OutOfTurn);
    }
}

/// Hello and m1: whatever is changed, no session comes of it, and the true message still makes one.
#[test]
fn a_changed_first_message_ends_in_nothing() {
    let world = World::new();
    for suite in all_suites() {
        let mut i = world.initiator(suite).start(&mut OsRng).unwrap();
        let step = if suite.is_hybrid() { 37 } else { 1 };
        for bad in tampered(i.body()).iter().rev().step_by(step) {
            let Ok(received) = world.responder.receive(bad, None) else { continue };
            let Ok((m2, _)) = received.answer(Terms::new(), NOW, &mut OsRng) else { continue };
            assert_eq!(i.receive(&m2).unwrap_err(), AgreementError::Rejected);
        }
        let received = world.responder.receive(i.body(), None).unwrap();
        let (m2, _) = received.answer(Terms::new(), NOW, &mut OsRng).unwrap();
        assert!(i.receive(&m2).is_ok());
    }
}

#[test]
fn another_servers_key_is_named() {
    // proves A8
    let world = World::new();
    let impostor = Responder::new(key());
    let mut i = world.xx().start(&mut OsRng).unwrap();
    let received = impostor.receive(i.body(), None).unwrap();
    let (m2, _) = received.answer(Terms::new().port(1), NOW, &mut OsRng).unwrap();
    let error = i.receive(&m2).unwrap_err();
    assert_eq!(error, AgreementError::WrongServerKey { found: *impostor.public_key() });
    assert!(error.to_string().starts_with("server key differs from the pinned one: found "));
    // The impostor's answer has cost nothing: the true one is still taken.
    let received = world.responder.receive(i.body(), None).unwrap();
    let (m2, mut ticket) = received.answer(Terms::new().port(40_123), NOW, &mut OsRng).unwrap();
    let (mut claim, _) = i.receive(&m2).unwrap().claim().unwrap();
    talk(prove(&mut claim, &mut ticket, PORT));
    // Where the key must be known beforehand, the impostor cannot even read the first message.
    let i = world.initiator(Suite::IK).start(&mut OsRng).unwrap();
    let impostor = impostor.suites(&all_suites());
    assert_eq!(impostor.receive(i.body(), None).unwrap_err(), Declined::Rejected);
}

#[test]
fn an_unpinned_responder_is_verified_before_anything_else() {
    let world = World::new();
    let unverified = || {
        let mut i = Initiator::xx(world.initiator.clone()).unpinned().start(&mut OsRng).unwrap();
        let received = world.responder.receive(i.body(), None).unwrap();
        let (m2, ticket) = received.answer(Terms::new().port(40_123), NOW, &mut OsRng).unwrap();
        (i.receive(&m2).unwrap(), ticket)
    };
    let (unknown, _) = unverified();
    let error = unknown.verify(key().public_key()).unwrap_err();
    assert_eq!(error, AgreementError::WrongServerKey { found: world.server() });
    let (known, mut ticket) = unverified();
    assert_eq!(*known.responder(), world.server());
    let (mut claim, _) = known.verify(&world.server()).unwrap().claim().unwrap();
    talk(prove(&mut claim, &mut ticket, Arrival::Port(40_123)));
    // IK needs the key before it can begin.
    let ik = Initiator::ik(world.initiator.clone()).unpinned().start(&mut OsRng);
    assert_eq!(ik.unwrap_err(), AgreementError::Keys);
}

#[test]
fn an_early_payload_needs_its_method_and_a_known_responder() {
    let world = World::new();
    for suite in [Suite::IK, Suite::NK_HYBRID, Suite::XK, Suite::KK] {
        let i = world.initiator(suite).replayable_early_payload(b"early").start(&mut OsRng).unwrap();
        let received = world.responder.receive(i.body(), None).unwrap();
        let early = received.early_payload().unwrap();
        assert_eq!(early.replayable_bytes(), b"early");
        let level = early.level();
        assert_eq!((level.source(), level.destination()), (u8::from(suite.authenticates_first()), 2));
        // Nothing hinders a replay here: hence the name.
        let again = world.responder.receive(i.body(), None).unwrap();
        assert_eq!(again.early_payload().unwrap().replayable_bytes(), b"early");
    }
    for suite in [Suite::XX, Suite::NX, Suite::IX, Suite::KX] {
        let i = world.initiator(suite).replayable_early_payload(b"early").start(&mut OsRng);
        assert_eq!(i.unwrap_err(), AgreementError::Keys, "it would go out in the clear");
    }
    let long = world.initiator(Suite::IK).replayable_early_payload(&[0; 4097]).start(&mut OsRng);
    assert_eq!(long.unwrap_err(), AgreementError::TooLong);
}

#[test]
fn a_payload_in_the_clear_is_not_taken() {
    // A foreign initiator could put one into m1 of XX: 32 bytes of key, then the payload.
    let world = World::new();
    let i = world.initiator(Suite::XX).start(&mut OsRng).unwrap();
    let mut body = i.body()[..i.body().len() - 34].to_vec();
    body.extend_from_slice(&35_u16.to_be_bytes());
    body.extend_from_slice(&i.body()[i.body().len() - 32..]);
    body.extend_from_slice(b"hey");
    assert_eq!(world.responder.receive(&body, None).unwrap_err(), Declined::Malformed);
}

#[test]
fn levels_follow_from_the_tokens() {
    for suite in all_suites() {
        let [first, second, third] = suite.levels();
        assert_eq!(first.destination() > 0, suite.knows_responder());
        assert_eq!(first.source() > 0, suite.authenticates_first());
        assert_eq!(second.source(), 2, "the responder is authentic from its first message on");
        assert!(second.destination() >= 1);
        assert_eq!(third.destination(), 5);
        let anonymous = suite.to_string().starts_with("Noise_N");
        assert_eq!(third.source(), if anonymous { 0 } else { 2 });
    }
}

#[test]
fn a_guessable_key_goes_in_two_places_only() {
    // proves A10
    let world = World::new();
    let guess = |byte: u8| GuessableKey::from(Secret::from([byte; 32]));
    let every: Vec<Suite> =
        all_suites().iter().flat_map(|suite| (0..=3).filter_map(|place| suite.with_psk(place))).collect();
    let safe: Vec<Suite> = every.iter().copied().filter(|suite| suite.takes_guessable_psk()).collect();
    assert_eq!(safe.len(), 4);
    for base in all_suites() {
        let started = world.initiator(base).guessable_psk(guess(1)).start(&mut OsRng);
        let allowed = [Suite::NK, Suite::XK].contains(&base.hybrid(false));
        assert_eq!(started.is_ok(), allowed, "{base}");
        let Ok(mut i) = started else { continue };
        let responder = world.responder.clone().suites(&safe).guessable_psk(move |_| Some(guess(1)));
        let received = responder.receive(i.body(), None).unwrap();
        let (m2, mut ticket) = received.answer(Terms::new().port(40_123), NOW, &mut OsRng).unwrap();
        let (mut claim, _) = i.receive(&m2).unwrap().claim().unwrap();
        talk(prove(&mut claim, &mut ticket, PORT));
    }
    // The responder takes it nowhere else, whatever suites it was given.
    for suite in every {
        let responder = world.responder.clone().suites(&[suite]).guessable_psk(move |_| Some(guess(1)));
        let base = Suite::from_number(suite.number() & 0xff).unwrap();
        let psk = Psk::from(Secret::from([1; 32]));
        let i = world.initiator(base).psk(suite.psk().unwrap(), psk).start(&mut OsRng).unwrap();
        assert_eq!(responder.receive(i.body(), None).is_ok(), suite.takes_guessable_psk(), "{suite}");
    }
}

#[test]
fn pre_shared_keys_at_every_place() {
    // proves A10
    let world = World::new();
    let bytes = [7; 32];
    let psk = move |byte: u8| Psk::from(Secret::from([byte; 32]));
    let mut count = 0;
    for base in all_suites() {
        for place in 0..=3 {
            let Some(suite) = base.with_psk(place) else { continue };
            assert_eq!(Suite::from_number(suite.number()), Some(suite));
            let client = *world.initiator.public_key();
            let responder = world.responder.clone().suites(&[suite]).psk(move |peer| {
                assert!(place > 0 || peer.is_none_or(|peer| *peer == client));
                Some(psk(7))
            });
            let run = |key: u8| {
                let mut i = world.initiator(base).psk(place, psk(key)).start(&mut OsRng).ok()?;
                let received = responder.receive(i.body(), None).ok()?;
                let (m2, mut ticket) = received.answer(Terms::new().port(40_123), NOW, &mut OsRng).unwrap();
                let (mut claim, _) = i.receive(&m2).ok()?.claim().unwrap();
                let challenged = ticket.claim(claim.body(), PORT, NOW, &mut OsRng).ok()?;
                let (proof, mine) = claim.answer(&challenged.message).ok()?;
                Some((mine, ticket.prove(challenged.path, &proof, NOW).unwrap()))
            };
            talk(run(bytes[0]).unwrap());
            assert!(run(8).is_none(), "{suite}: another key made a session");
            count += 1;
        }
        assert_eq!(base.with_psk(4), None);
    }
    // Six patterns of two messages and two of three, classical and hybrid.
    assert_eq!(count, 2 * (6 * 3 + 2 * 4));
    // A responder that has no such key.
    let suite = Suite::XX.with_psk(3).unwrap();
    let nobody = world.responder.clone().suites(&[suite]).psk(|_: Option<&NoisePublicKey>| None);
    let mut i = world.initiator(Suite::XX).psk(3, psk(7)).start(&mut OsRng).unwrap();
    let (m2, mut ticket) =
        nobody.receive(i.body(), None).unwrap().answer(Terms::new().port(40_123), NOW, &mut OsRng).unwrap();
    let (claim, _) = i.receive(&m2).unwrap().claim().unwrap();
    assert!(ticket.claim(claim.body(), PORT, NOW, &mut OsRng).is_err());
    // A place that the pattern does not have.
    assert!(world.initiator(Suite::IK).psk(3, psk(7)).start(&mut OsRng).is_err());
}
