//! Over datagrams: cookies, windows, packets, and whole handshakes over a network that loses, repeats and reorders.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use rand_core::Rng;
use serde_json::Value;
use symbolon_agreement::datagram::{
    Client, Cookie, CookieJar, First, Handled, PacketOpener, PacketSealer, Progress, ReplayWindow, Server,
};
use symbolon_agreement::{AgreementError, Initiator, Rekey, Responder, Suite, TicketLimits};
use symbolon_keys::{BufferedRng, NoisePublicKey, OsRng, Secret, UnixTime};

use crate::steps::{NOW, PORT, World, key, prove};

const WELL_KNOWN: u16 = 7000;
const ASSIGNED: u16 = 7001;

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn cookie_vectors() {
    // proves A9
    let file: Value = serde_json::from_str(include_str!("../vectors/c6.json")).unwrap();
    let cases = file["vectors"].as_array().unwrap();
    for case in cases {
        let root: [u8; 32] = bytes(&case["boot_root"]).try_into().unwrap();
        let jar = CookieJar::with_secret(Secret::from(root));
        let now = UnixTime::from_secs(case["now"].as_u64().unwrap());
        let source = SocketAddr::new(
            case["address"].as_str().unwrap().parse().unwrap(),
            case["source_port"].as_u64().unwrap().try_into().unwrap(),
        );
        let first = bytes(&case["first"]);
        // The vector has `hello || m1` in one piece; where they meet makes no difference to the hash.
        let first = First::new(&first[..6], &first[6..]);
        let cookie = jar.bake(source, &first, now).unwrap();
        assert_eq!(cookie.as_bytes().to_vec(), bytes(&case["cookie"]));
        assert_eq!(first.hash()[..8], bytes(&case["reply_prefix"]));

        // Of this time slot and the next; of one address, one port, one message.
        let later = |seconds| now.saturating_add(Duration::from_secs(seconds));
        assert!(jar.check(source, &first, cookie, later(120)).is_ok());
        assert!(jar.check(source, &first, cookie, later(240)).is_err());
        assert!(jar.check(SocketAddr::new(source.ip(), 2), &first, cookie, now).is_err());
        assert!(jar.check("192.0.2.9:1".parse().unwrap(), &first, cookie, now).is_err());
        assert!(jar.check(source, &First::new(b"other", b""), cookie, now).is_err());
        let mut forged = *cookie.as_bytes();
        forged[15] ^= 1;
        assert!(jar.check(source, &first, Cookie::from(forged), now).is_err());
        assert!(CookieJar::new(&mut OsRng).check(source, &first, cookie, now).is_err());
    }
    assert_eq!(cases.len(), 2);
}

#[test]
fn a_mapped_address_is_the_same_address() {
    let jar = CookieJar::new(&mut OsRng);
    let first = First::new(b"hello", b"m1");
    let cookie = jar.bake("192.0.2.1:5".parse().unwrap(), &first, NOW).unwrap();
    assert!(jar.check("[::ffff:192.0.2.1]:5".parse().unwrap(), &first, cookie, NOW).is_ok());
}

proptest! {
    #[test]
    fn the_window_agrees_with_a_set(jumps in proptest::collection::vec((0_u64..5000, 0_u64..4000), 1..200)) {
        let (mut window, mut seen, mut highest) = (ReplayWindow::new(), HashSet::new(), 0_u64);
        for (forward, back) in jumps {
            let n = (highest + forward).saturating_sub(back);
            let fresh = !seen.contains(&n) && n + ReplayWindow::LEN > highest;
            // Within the window it is exact; beyond, it refuses.
            prop_assert_eq!(window.is_new(n), fresh);
            prop_assert_eq!(window.mark(n), fresh);
            seen.insert(n);
            highest = highest.max(n);
        }
    }
}

#[test]
fn the_window_at_the_end_of_numbers() {
    let mut window = ReplayWindow::new();
    assert!(window.mark(u64::MAX - 1));
    assert!(!window.mark(u64::MAX - 1));
    assert!(window.mark(u64::MAX - 2));
    assert!(!window.mark(0));
    // Noise's reserved number cannot be told from its repetition.
    assert!(!window.mark(u64::MAX));
    // The oldest number of a full window is in it, the one before is not: at every position within a word.
    for highest in ReplayWindow::LEN + 64..ReplayWindow::LEN + 192 {
        let mut window = ReplayWindow::new();
        assert!(window.mark(highest));
        let oldest = highest + 1 - ReplayWindow::LEN;
        assert!(!window.is_new(oldest - 1));
        assert!((oldest..highest).all(|n| window.is_new(n)));
        assert!(window.mark(oldest) && !window.is_new(oldest));
        assert!(window.mark(highest + 1) && !window.is_new(oldest));
    }
}

fn packets() -> (PacketSealer, PacketOpener) {
    let world = World::new();
    let (mut claim, mut ticket) = world.assigned(world.initiator(Suite::IK));
    let (mine, theirs) = prove(&mut claim, &mut ticket, PORT);
    (mine.into_datagrams(NOW).0, theirs.into_datagrams(NOW).1)
}

fn seal(sealer: &mut PacketSealer, payload: &[u8], now: UnixTime) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal(payload, now, &mut out).unwrap();
    out
}

#[test]
fn packets_are_taken_once_in_any_order() {
    let (mut sealer, mut opener) = packets();
    let sealed: Vec<_> = (0..100_u8).map(|n| seal(&mut sealer, &[n], NOW)).collect();
    for n in [3_usize, 1, 2, 99, 0, 50] {
        assert_eq!(opener.open(&mut sealed[n].clone()).unwrap(), [n as u8]);
        assert!(opener.open(&mut sealed[n].clone()).is_err(), "a second time");
    }
    for bad in crate::tampered(&sealed[42]) {
        assert!(opener.open(&mut bad.clone()).is_err());
    }
    assert_eq!(opener.open(&mut sealed[42].clone()).unwrap(), [42], "forgeries have cost nothing");
    // Too old.
    for _ in 0..ReplayWindow::LEN {
        let mut packet = seal(&mut sealer, b"", NOW);
        opener.open(&mut packet).unwrap();
    }
    assert!(opener.open(&mut sealed[43].clone()).is_err());
}

#[test]
fn epochs_pass_and_may_be_lost() {
    let (mut sealer, mut opener) = packets();
    sealer.set_rekey(Rekey::after(2, Duration::from_secs(60)));
    let sealed: Vec<_> = (0..80_u8).map(|n| seal(&mut sealer, &[n], NOW)).collect();
    assert_eq!(sealed[79][1..5], 39_u32.to_be_bytes());
    let mut open = |n: usize| opener.open(&mut sealed[n].clone()).map(<[u8]>::to_vec);
    assert_eq!(open(0).unwrap(), [0]);
    assert_eq!(open(3).unwrap(), [3]);
    assert_eq!(open(1).unwrap(), [1], "of the epoch before");
    assert_eq!(open(20).unwrap(), [20], "nine epochs on");
    assert_eq!(open(19).unwrap(), [19], "of the epoch before");
    assert!(open(2).is_err(), "of an epoch whose key is gone");
    assert!(open(79).is_err(), "too many epochs at once");
    assert_eq!(open(52).unwrap(), [52], "sixteen are the most");
    assert_eq!(open(79).unwrap(), [79]);
    // By time.
    let (mut sealer, mut opener) = packets();
    let mut late = seal(&mut sealer, b"late", NOW.saturating_add(Duration::from_secs(121)));
    assert_eq!(late[1..5], 1_u32.to_be_bytes());
    assert_eq!(opener.open(&mut late).unwrap(), b"late");
    // A forged epoch moves nobody on.
    let mut forged = seal(&mut sealer, b"", NOW);
    forged[4] = 3;
    assert!(opener.open(&mut forged).is_err());
    let mut next = seal(&mut sealer, b"next", NOW);
    assert_eq!(opener.open(&mut next).unwrap(), b"next");
}

/// A network of one client and one server, with somebody in it who repeats, loses, swaps, and sends rubbish from the
/// client's address.
struct Network {
    rng: BufferedRng,
    loss: u32,
}

impl Network {
    fn deliver(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut arriving = Vec::new();
        for _ in 0..=self.rng.next_u32() % 2 {
            if self.rng.next_u32() % 100 >= self.loss {
                arriving.push(datagram.to_vec());
            }
            let mut rubbish = datagram.to_vec();
            // Who is on the path can forge a cookie (C6 has no way to tell), though not what was hashed for it.
            let len = if datagram[0] == 4 { 11 } else { datagram.len() };
            let place = self.rng.next_u32() as usize % len;
            rubbish[place] ^= 1 + (self.rng.next_u32() % 255) as u8;
            arriving.push(rubbish);
        }
        if self.rng.next_u32().is_multiple_of(2) {
            arriving.reverse();
        }
        arriving
    }
}

fn server(ports: &[u16]) -> (Server, NoisePublicKey) {
    let responder = Responder::new(key()).suites(&[Suite::XX, Suite::IK]);
    let public = *responder.public_key();
    (Server::new(responder, ports, TicketLimits::default(), &mut OsRng), public)
}

#[test]
fn a_handshake_over_a_bad_network() {
    // proves A2, A9
    let client_address: SocketAddr = "192.0.2.7:4000".parse().unwrap();
    let runs = std::env::var("SYMBOLON_NETWORKS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    for run in 0..runs {
        let (mut server, public) = server(if run % 2 == 0 { &[ASSIGNED] } else { &[] });
        let mut network = Network { rng: BufferedRng::new(), loss: run % 60 };
        let builder = if run % 3 == 0 { Initiator::ik(key()) } else { Initiator::xx(key()) };
        let initiator = builder.expect(public).classical().start(&mut OsRng).unwrap();
        let mut client = Client::new(initiator).unwrap();
        let (mut mine, mut theirs) = (None, None);
        let mut sent = 0;
        'exchange: while mine.is_none() || theirs.is_none() {
            sent += 1;
            assert!(sent < 1000, "the exchange does not end");
            let port = client.port().unwrap_or(WELL_KNOWN);
            for datagram in network.deliver(client.outgoing()) {
                let reply = match server.handle(client_address, port, &datagram, NOW, &mut OsRng) {
                    Handled::Reply(reply) => reply,
                    Handled::Session(established) => {
                        theirs = Some(established);
                        continue 'exchange;
                    }
                    _ => continue,
                };
                if reply[0] == 4 {
                    assert!(reply.len() <= datagram.len(), "amplified");
                }
                for reply in network.deliver(&reply) {
                    if let Ok(Progress::Session(established)) = client.handle(&reply) {
                        mine = Some(established);
                    }
                }
            }
        }
        assert_eq!(client.port().is_some(), run % 2 == 0);
        assert_eq!(server.pending(), 0);
        let (mut sealer, _, context) = mine.unwrap().into_datagrams(NOW);
        let (_, mut opener, _) = theirs.unwrap().into_datagrams(NOW);
        assert_eq!(*context.peer().unwrap(), public);
        let mut packet = seal(&mut sealer, b"hello", NOW);
        assert_eq!(opener.open(&mut packet).unwrap(), b"hello");
    }
}

#[test]
fn nothing_is_kept_for_an_address_that_does_not_answer() {
    // proves A9
    let (mut server, public) = server(&[ASSIGNED]);
    let start = || Initiator::xx(key()).expect(public).classical().start(&mut OsRng).unwrap();
    for n in 0..1000_u16 {
        let client = Client::new(start()).unwrap();
        let forged = SocketAddr::new([192, 0, 2, (n % 250) as u8].into(), n);
        let reply = server.handle(forged, WELL_KNOWN, client.outgoing(), NOW, &mut OsRng);
        let Handled::Reply(reply) = reply else { panic!() };
        assert_eq!((reply[0], reply.len()), (4, 27));
        assert!(reply.len() < client.outgoing().len());
    }
    assert_eq!(server.pending(), 0);
    // A cookie of another address is worth nothing.
    let mut client = Client::new(start()).unwrap();
    let here: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let Handled::Reply(reply) = server.handle(here, WELL_KNOWN, client.outgoing(), NOW, &mut OsRng) else {
        panic!()
    };
    assert!(matches!(client.handle(&reply).unwrap(), Progress::Send));
    let elsewhere: SocketAddr = "192.0.2.1:2".parse().unwrap();
    let reply = server.handle(elsewhere, WELL_KNOWN, client.outgoing(), NOW, &mut OsRng);
    assert!(matches!(reply, Handled::Reply(reply) if reply[0] == 4));
    // The same first message gets the same answer, and one ticket.
    let Handled::Reply(one) = server.handle(here, WELL_KNOWN, client.outgoing(), NOW, &mut OsRng) else {
        panic!()
    };
    let Handled::Reply(two) = server.handle(here, WELL_KNOWN, client.outgoing(), NOW, &mut OsRng) else {
        panic!()
    };
    assert_eq!((one[0], &one, server.pending()), (2, &two, 1));
    server.handle(here, WELL_KNOWN, b"", NOW.saturating_add(Duration::from_secs(21)), &mut OsRng);
    assert_eq!(server.pending(), 0);
}

/// Who has a ticket of his own and forges the address of somebody who is proving a path.
#[test]
fn a_claim_from_a_forged_address_displaces_no_path() {
    // proves A9
    let (mut server, public) = server(&[ASSIGNED]);
    let mut claiming = |address: &str| {
        let address: SocketAddr = address.parse().unwrap();
        let initiator = Initiator::xx(key()).expect(public).classical().start(&mut OsRng).unwrap();
        let mut client = Client::new(initiator).unwrap();
        for _ in 0..2 {
            let Handled::Reply(reply) =
                server.handle(address, WELL_KNOWN, client.outgoing(), NOW, &mut OsRng)
            else {
                panic!()
            };
            assert!(matches!(client.handle(&reply).unwrap(), Progress::Send));
        }
        (address, client)
    };
    let (here, mut honest) = claiming("192.0.2.1:1");
    let thieves: Vec<_> = (2..10).map(|n| claiming(&format!("198.51.100.7:{n}")).1).collect();
    let mut send = |message: &[u8]| server.handle(here, ASSIGNED, message, NOW, &mut OsRng);
    let Handled::Reply(challenge) = send(honest.outgoing()) else { panic!() };
    for thief in &thieves {
        assert!(matches!(send(thief.outgoing()), Handled::Reply(_)));
    }
    let Progress::Session(mine) = honest.handle(&challenge).unwrap() else { panic!() };
    let Handled::Session(theirs) = send(honest.outgoing()) else { panic!("the path was lost") };
    assert_eq!(mine.context().handshake_hash(), theirs.context().handshake_hash());
    assert!(matches!(send(honest.outgoing()), Handled::Nothing));
    assert_eq!(server.pending(), thieves.len(), "the thieves' own tickets wait on");
}

#[test]
fn a_client_takes_two_cookies_and_goes_on_waiting() {
    let (mut honest, public) = server(&[]);
    let initiator = Initiator::xx(key()).expect(public).classical().start(&mut OsRng).unwrap();
    let mut client = Client::new(initiator).unwrap();
    let here: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let Handled::Reply(true_reply) = honest.handle(here, WELL_KNOWN, client.outgoing(), NOW, &mut OsRng)
    else {
        panic!()
    };
    let mut forged = true_reply.clone();
    forged[26] ^= 1;
    assert!(matches!(client.handle(&forged).unwrap(), Progress::Send));
    assert!(matches!(client.handle(&true_reply).unwrap(), Progress::Send));
    let outgoing = client.outgoing().to_vec();
    assert!(matches!(client.handle(&forged).unwrap(), Progress::Ignored));
    assert_eq!(client.outgoing(), outgoing);
    let Handled::Reply(second) = honest.handle(here, WELL_KNOWN, &outgoing, NOW, &mut OsRng) else {
        panic!()
    };
    assert!(matches!(client.handle(&second).unwrap(), Progress::Send));
}

#[test]
fn hybrid_suites_do_not_fit() {
    let initiator = Initiator::xx(key()).expect(*key().public_key()).start(&mut OsRng).unwrap();
    assert_eq!(Client::new(initiator).unwrap_err(), AgreementError::TooLong);
}
