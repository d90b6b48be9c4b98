//! Refusals, true and forged.

use symbolon_agreement::{AgreementError, Declined, Initiator, Responder, Suite, Terms};
use symbolon_keys::OsRng;

use super::{NOW, PORT, World, key, prove, talk};

fn classical_only(world: &World) -> Responder {
    world.responder.clone().suites(&[Suite::XX])
}

#[test]
fn classical_only_where_it_was_allowed() {
    // proves A10
    let world = World::new();
    let responder = classical_only(&world);
    let i = world.xx().start(&mut OsRng).unwrap();
    let Err(Declined::Refused(retried)) = responder.receive(i.body(), None) else { panic!() };
    let refusal = &retried.refusal()[3..];
    let error = i.retry(refusal, &mut OsRng).unwrap_err();
    assert_eq!(error, AgreementError::NoCommonSuite { supported: vec![Suite::XX] });

    let i = world.xx().allow_classical().start(&mut OsRng).unwrap();
    let Err(Declined::Refused(retried)) = responder.receive(i.body(), None) else { panic!() };
    let mut i = i.retry(&retried.refusal()[3..], &mut OsRng).unwrap();
    let received = responder.receive(i.body(), Some(&retried)).unwrap();
    let (m2, mut ticket) = received.answer(Terms::new().port(40_123), NOW, &mut OsRng).unwrap();
    let (mut claim, _) = i.receive(&m2).unwrap().claim().unwrap();
    let (mine, theirs) = prove(&mut claim, &mut ticket, PORT);
    assert_eq!(mine.context().suite(), Suite::XX);
    talk((mine, theirs));
}

/// A refusal that the responder never sent: it takes the classical suite too, but then the two prologues differ.
#[test]
fn a_forged_refusal_makes_no_session() {
    let world = World::new();
    let i = world.xx().allow_classical().start(&mut OsRng).unwrap();
    let mut i = i.retry(&[1, 0, 1], &mut OsRng).unwrap();
    let received = world.responder.receive(i.body(), None).unwrap();
    let (m2, _) = received.answer(Terms::new(), NOW, &mut OsRng).unwrap();
    assert_eq!(i.receive(&m2).unwrap_err(), AgreementError::Rejected);
}

/// A true refusal, changed on its way.
#[test]
fn a_changed_refusal_makes_no_session() {
    let world = World::new();
    let responder = classical_only(&world);
    let i = world.xx().allow_classical().start(&mut OsRng).unwrap();
    let Err(Declined::Refused(retried)) = responder.receive(i.body(), None) else { panic!() };
    let mut i = i.retry(&[2, 0, 1, 0, 3], &mut OsRng).unwrap();
    let received = responder.receive(i.body(), Some(&retried)).unwrap();
    let (m2, _) = received.answer(Terms::new(), NOW, &mut OsRng).unwrap();
    assert_eq!(i.receive(&m2).unwrap_err(), AgreementError::Rejected);
}

/// The first hello, changed on its way: the offer of the hybrid suite cannot be hidden.
#[test]
fn a_changed_offer_makes_no_session() {
    let world = World::new();
    let responder = world.responder.clone().suites(&[Suite::XX, Suite::IK]);
    let i = world.xx().allow_classical().start(&mut OsRng).unwrap();
    let mut seen = i.body().to_vec();
    assert_eq!(seen[..8], [1, 0, 2, 2, 0, 2, 0, 1]);
    seen[7] = 3; // offers IK instead of XX
    let Err(Declined::Refused(retried)) = responder.receive(&seen, None) else { panic!() };
    let mut i = i.retry(&retried.refusal()[3..], &mut OsRng).unwrap();
    let received = responder.receive(i.body(), Some(&retried)).unwrap();
    let (m2, _) = received.answer(Terms::new(), NOW, &mut OsRng).unwrap();
    assert_eq!(i.receive(&m2).unwrap_err(), AgreementError::Rejected);
}

#[test]
fn one_retry_and_no_more() {
    let world = World::new();
    let responder = world.responder.clone().suites(&[Suite::IK]);
    let i = world.xx().allow_classical().start(&mut OsRng).unwrap();
    let Err(Declined::Refused(retried)) = responder.receive(i.body(), None) else { panic!() };
    // The responder refuses a second time: it says no more.
    assert_eq!(responder.receive(i.body(), Some(&retried)).unwrap_err(), Declined::Rejected);
    let i = i.retry(&[1, 0, 1], &mut OsRng).unwrap();
    assert!(matches!(i.retry(&[1, 0, 1], &mut OsRng), Err(AgreementError::NoCommonSuite { .. })));
    let i = world.xx().allow_classical().start(&mut OsRng).unwrap();
    assert_eq!(i.retry(&[0], &mut OsRng).unwrap_err(), AgreementError::Malformed);
    // A classical initiator has nowhere to go down to.
    let i = world.xx().classical().allow_classical().start(&mut OsRng).unwrap();
    assert!(i.retry(&[1, 0, 1], &mut OsRng).is_err());
}

#[test]
fn another_version_is_named() {
    let responder = Responder::new(key());
    let i = Initiator::nx().unpinned().start(&mut OsRng).unwrap();
    let mut body = i.body().to_vec();
    body[0] = 2;
    let declined = responder.receive(&body, None).unwrap_err();
    assert_eq!(declined, Declined::Version(2));
    assert_eq!(declined.to_string(), "the hello is of version 2, this is version 1");
}
