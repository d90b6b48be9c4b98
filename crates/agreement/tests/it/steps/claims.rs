//! Claims: forged, stolen, repeated, late, at the wrong place. The owner always gets in.

use std::time::Duration;

use symbolon_agreement::{Arrival, ClaimError, MAX_PATHS, Suite, Terms};
use symbolon_keys::{OsRng, UnixTime};

use super::{NOW, PORT, World, all_suites, prove, talk};
use crate::tampered;

fn later(seconds: u64) -> UnixTime {
    NOW.saturating_add(Duration::from_secs(seconds))
}

#[test]
fn a_forged_claim_changes_nothing() {
    // proves A9
    let world = World::new();
    for suite in all_suites() {
        let (mut claim, mut ticket) = world.assigned(world.initiator(suite));
        let bad_claims = || tampered(claim.body());
        for bad in bad_claims() {
            assert!(ticket.claim(&bad, PORT, NOW, &mut OsRng).is_err());
        }
        let challenged = ticket.claim(claim.body(), PORT, NOW, &mut OsRng).unwrap();
        // Also after one has verified.
        for bad in bad_claims() {
            assert!(ticket.claim(&bad, PORT, NOW, &mut OsRng).is_err());
        }
        let (proof, mine) = claim.answer(&challenged.message).unwrap();
        talk((mine, ticket.prove(challenged.path, &proof, NOW).unwrap()));
    }
}

#[test]
fn a_thief_who_replays_the_claim_gets_nothing() {
    // proves A9
    let world = World::new();
    let (mut claim, mut ticket) = world.assigned(world.xx());
    let stolen = claim.body().to_vec();
    let thief = ticket.claim(&stolen, PORT, NOW, &mut OsRng).unwrap();
    let owner = ticket.claim(claim.body(), PORT, NOW, &mut OsRng).unwrap();
    assert_ne!(thief.message, owner.message, "a challenge is made for one path");
    // It can reflect, repeat and guess.
    for proof in [&thief.message[16..], &thief.message[..16], &stolen[..16], &[0; 16], &[]] {
        let again = ticket.claim(&stolen, PORT, NOW, &mut OsRng).unwrap();
        assert_eq!(ticket.prove(again.path, proof, NOW).unwrap_err(), ClaimError::Rejected);
    }
    let (proof, mine) = claim.answer(&owner.message).unwrap();
    // The owner's proof is good for the owner's path only.
    assert_eq!(ticket.prove(thief.path, &proof, NOW).unwrap_err(), ClaimError::Rejected);
    let theirs = ticket.prove(owner.path, &proof, NOW).unwrap();
    talk((mine, theirs));
    // Used once.
    assert_eq!(ticket.prove(owner.path, &proof, NOW).unwrap_err(), ClaimError::Consumed);
    assert_eq!(ticket.claim(&stolen, PORT, NOW, &mut OsRng).unwrap_err(), ClaimError::Consumed);
}

#[test]
fn many_thieves_leave_the_owner_a_path() {
    // proves A9
    let world = World::new();
    let (mut claim, mut ticket) = world.assigned(world.xx());
    let stolen = claim.body().to_vec();
    let mut evicted = 0;
    for _ in 0..1000 {
        evicted += usize::from(ticket.claim(&stolen, PORT, NOW, &mut OsRng).unwrap().evicted.is_some());
    }
    assert_eq!(evicted, 1000 - MAX_PATHS);
    talk(prove(&mut claim, &mut ticket, PORT));
}

#[test]
fn a_path_has_five_seconds() {
    let world = World::new();
    let (mut claim, mut ticket) = world.assigned(world.xx());
    let slow = ticket.claim(claim.body(), PORT, NOW, &mut OsRng).unwrap();
    let (proof, _) = claim.answer(&slow.message).unwrap();
    assert_eq!(ticket.prove(slow.path, &proof, later(6)).unwrap_err(), ClaimError::PathClosed);
    let closed = ticket.claim(claim.body(), PORT, NOW, &mut OsRng).unwrap();
    ticket.close(closed.path);
    assert_eq!(ticket.prove(closed.path, &proof, NOW).unwrap_err(), ClaimError::PathClosed);
}

#[test]
fn a_claim_has_its_place() {
    let world = World::new();
    let places = [PORT, Arrival::Port(40_124), Arrival::WellKnown, Arrival::SameConnection];
    for (terms, right) in [
        (Terms::new().port(40_123), &places[..1]),
        (Terms::new().port(40_123).fallback(true), &[PORT, Arrival::WellKnown]),
        (Terms::new(), &[Arrival::SameConnection]),
        (Terms::new().fallback(true), &[Arrival::SameConnection]),
    ] {
        let (mut claim, mut ticket) = world.assigned_with(world.xx(), terms);
        for place in places {
            let taken = ticket.claim(claim.body(), place, NOW, &mut OsRng);
            if right.contains(&place) {
                assert!(taken.is_ok());
            } else {
                assert_eq!(taken.unwrap_err(), ClaimError::WrongPort);
            }
        }
        talk(prove(&mut claim, &mut ticket, right[0]));
    }
}

#[test]
fn a_ticket_has_its_time() {
    let world = World::new();
    let (claim, mut ticket) = world.assigned(world.xx());
    assert!(ticket.claim(claim.body(), PORT, later(20), &mut OsRng).is_ok());
    assert_eq!(ticket.claim(claim.body(), PORT, later(21), &mut OsRng).unwrap_err(), ClaimError::Expired);
    // A clock that was set back neither ends a ticket nor breaks anything.
    assert!(!ticket.is_expired(UnixTime::from_secs(0)));
    let (mut claim, mut ticket) = world.assigned(world.xx());
    let early = ticket.claim(claim.body(), PORT, UnixTime::from_secs(5), &mut OsRng).unwrap();
    let (proof, mine) = claim.answer(&early.message).unwrap();
    talk((mine, ticket.prove(early.path, &proof, UnixTime::from_secs(0)).unwrap()));
}

#[test]
fn sessions_cannot_be_spliced() {
    let world = World::new();
    for suite in [Suite::XX, Suite::IK] {
        let (mut a, mut ticket_a) = world.assigned(world.initiator(suite));
        let (mut b, mut ticket_b) = world.assigned(world.initiator(suite));
        // The claim of one session under the ticket of the other.
        let spliced = [&a.body()[..16], &b.body()[16..]].concat();
        assert_eq!(ticket_a.claim(&spliced, PORT, NOW, &mut OsRng).unwrap_err(), ClaimError::Rejected);
        assert_eq!(ticket_b.claim(a.body(), PORT, NOW, &mut OsRng).unwrap_err(), ClaimError::Unknown);
        // The challenge of one for the other.
        let challenge = ticket_a.claim(a.body(), PORT, NOW, &mut OsRng).unwrap();
        assert!(b.answer(&challenge.message).is_err());
        talk(prove(&mut a, &mut ticket_a, PORT));
        talk(prove(&mut b, &mut ticket_b, PORT));
    }
}

#[test]
fn a_forged_challenge_changes_nothing() {
    let world = World::new();
    let (mut claim, mut ticket) = world.assigned(world.xx());
    let challenged = ticket.claim(claim.body(), PORT, NOW, &mut OsRng).unwrap();
    for bad in tampered(&challenged.message) {
        assert!(claim.answer(&bad).is_err() && !claim.is_proven());
    }
    let (proof, mine) = claim.answer(&challenged.message).unwrap();
    for bad in tampered(&proof) {
        assert_eq!(ticket.prove(challenged.path, &bad, NOW).unwrap_err(), ClaimError::Rejected);
    }
    talk((mine, ticket.prove(challenged.path, &proof, NOW).unwrap()));
    assert!(claim.is_proven() && claim.answer(&challenged.message).is_err(), "a claim makes one session");
}
