use std::net::IpAddr;
use std::time::Duration;

use symbolon_agreement::{Applicant, NoTicket, Source, Suite, TicketId, TicketLimits, Tickets};
use symbolon_keys::{OsRng, UnixTime};

use super::{NOW, World};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn insert(tickets: &mut Tickets<u8>, applicant: Applicant) -> Result<TicketId, NoTicket> {
    let id = TicketId::generate(&mut OsRng);
    tickets.insert(id, applicant, NOW, Duration::from_secs(20), 1).map(|()| id)
}

#[test]
fn a_network_has_its_share() {
    // proves A9
    let mut tickets = Tickets::new(TicketLimits::new(10, 3, 2));
    let one = Applicant::at(address("192.0.2.1"));
    let ids: Vec<_> = (0..3).map(|_| insert(&mut tickets, one).unwrap()).collect();
    assert_eq!(insert(&mut tickets, one), Err(NoTicket::Source));
    // Mapped into IPv6 it is the same host; its neighbour is another.
    assert_eq!(insert(&mut tickets, Applicant::at(address("::ffff:192.0.2.1"))), Err(NoTicket::Source));
    insert(&mut tickets, Applicant::at(address("192.0.2.2"))).unwrap();
    // Of IPv6, a /64 counts as one.
    for host in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:1"] {
        insert(&mut tickets, Applicant::at(address(host))).unwrap();
    }
    assert_eq!(insert(&mut tickets, Applicant::at(address("2001:db8::3"))), Err(NoTicket::Source));
    insert(&mut tickets, Applicant::at(address("2001:db8:0:1::3"))).unwrap();
    // All together have theirs.
    insert(&mut tickets, Applicant::at(address("198.51.100.1"))).unwrap();
    insert(&mut tickets, Applicant::at(address("198.51.100.2"))).unwrap();
    assert_eq!(insert(&mut tickets, Applicant::at(address("198.51.100.3"))), Err(NoTicket::Full));
    // A ticket that is used or over makes room.
    assert_eq!(tickets.remove(&ids[0]), Some(1));
    assert_eq!(tickets.remove(&ids[0]), None);
    insert(&mut tickets, one).unwrap();
    assert_eq!(tickets.len(), 10);
    assert!(tickets.expire(NOW.saturating_add(Duration::from_secs(20))).is_empty());
    assert!(tickets.expire(UnixTime::from_secs(0)).is_empty(), "a clock set back ends nothing");
    assert_eq!(tickets.expire(NOW.saturating_add(Duration::from_secs(21))).len(), 10);
    assert!(tickets.is_empty());
    insert(&mut tickets, one).unwrap();
}

#[test]
fn a_replayed_first_message_gets_no_second_ticket() {
    // proves A9
    let world = World::new();
    let mut tickets = Tickets::new(TicketLimits::new(10, 10, 2));
    let at = Applicant::at(address("192.0.2.1"));
    for suite in [Suite::IK, Suite::KK] {
        let first = world.initiator(suite).start(&mut OsRng).unwrap();
        let applicant = || {
            let received = world.responder.receive(first.body(), None).unwrap();
            at.proven(received.initiator().unwrap(), received.ephemeral())
        };
        let id = insert(&mut tickets, applicant()).unwrap();
        assert_eq!(insert(&mut tickets, applicant()), Err(NoTicket::Replayed));
        tickets.remove(&id);
    }
    // An identity has its share, whatever ephemeral keys it brings.
    for n in 0..3 {
        let first = world.initiator(Suite::IK).start(&mut OsRng).unwrap();
        let received = world.responder.receive(first.body(), None).unwrap();
        let inserted = insert(&mut tickets, at.proven(received.initiator().unwrap(), received.ephemeral()));
        assert_eq!(inserted.err(), (n == 2).then_some(NoTicket::Identity));
    }
    // In its network: who replays its messages from elsewhere does not use up the owner's places.
    let recorded = || {
        let first = world.initiator(Suite::IK).start(&mut OsRng).unwrap();
        let received = world.responder.receive(first.body(), None).unwrap();
        (*received.initiator().unwrap(), received.ephemeral())
    };
    let mut tickets = Tickets::new(TicketLimits::new(10, 10, 2));
    let replayed = |(identity, ephemeral)| Applicant::at(address("203.0.113.1")).proven(&identity, ephemeral);
    insert(&mut tickets, replayed(recorded())).unwrap();
    insert(&mut tickets, replayed(recorded())).unwrap();
    assert_eq!(insert(&mut tickets, replayed(recorded())).err(), Some(NoTicket::Identity));
    let (identity, ephemeral) = recorded();
    insert(&mut tickets, at.proven(&identity, ephemeral)).unwrap();
    // XX proves nobody in its first message.
    let first = world.xx().start(&mut OsRng).unwrap();
    assert!(world.responder.receive(first.body(), None).unwrap().initiator().is_none());
}

#[test]
fn a_second_ticket_of_one_id_takes_the_place_of_the_first() {
    let mut tickets = Tickets::new(TicketLimits::new(2, 2, 2));
    let one = Applicant::at(address("192.0.2.1"));
    let id = TicketId::generate(&mut OsRng);
    for value in [1, 2] {
        tickets.insert(id, one, NOW, Duration::from_secs(20), value).unwrap();
    }
    assert_eq!((tickets.remove(&id), tickets.len()), (Some(2), 0));
    // Nothing was counted twice.
    for _ in 0..2 {
        insert(&mut tickets, one).unwrap();
    }
}

#[test]
fn networks_are_told_apart() {
    let source = |text| Source::from(address(text));
    assert_eq!(source("2001:db8::1"), source("2001:db8::2"));
    assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
    assert_eq!(source("10.0.0.1"), source("::ffff:10.0.0.1"));
    assert_ne!(source("10.0.0.1"), source("10.0.0.2"));
    // Not even an IPv6 prefix with the same bytes.
    assert_ne!(source("0.0.0.1"), source("0:0:0:1::"));
}
