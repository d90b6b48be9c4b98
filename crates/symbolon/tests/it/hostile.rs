//! A client that does not follow the protocol; a server that is full.

use std::time::Duration;

use symbolon::agreement::net::{self, Session};
use symbolon::{Client, ClientError, Limits};
use tokio::time::timeout;

use crate::world::{User, World, still_pending_after};

async fn session(world: &World) -> Session {
    let user = User::new("mallory");
    net::connect(world.addr, &user.identity.noise_key(), world.key).await.unwrap()
}

/// Sends a message; whether the server ends the session after it.
async fn ends_after(world: &World, message: &[u8]) -> bool {
    let mut session = session(world).await;
    session.send(message).await.unwrap();
    let mut ended = false;
    for _ in 0..3 {
        match timeout(Duration::from_secs(10), session.recv()).await.expect("an answer or an end") {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => {
                ended = true;
                break;
            }
        }
    }
    ended
}

#[tokio::test]
async fn what_is_not_the_protocol_ends_that_session_and_no_other() {
    let world = World::new().await;
    let honest = world.login(&User::new("alice")).await;
    // A request for the record of "a": version, [0, [number, [4, [["a"]]]]].
    let request = b"\x01\x82\x00\x82\x00\x82\x04\x81\x81\x61a";
    let mut fine = session(&world).await;
    fine.send(request).await.unwrap();
    let answer = fine.recv().await.unwrap().unwrap();
    assert_eq!(answer[..4], *b"\x01\x82\x00\x82", "version, [0 reply, [..");

    let mut hostile: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![2],
        vec![1],
        b"\x02\x82\x00\x82\x00\x82\x04\x81\x81\x61a".to_vec(),
        [&request[..], &[0]].concat(),
        b"\x01\x82\x01\x82\x00\x41x".to_vec(),
        b"\x01\x82\x02\x81\x00".to_vec(),
        b"\x01\x82\x18\x00\x82\x00\x82\x04\x81\x81\x61a".to_vec(),
        b"\x01\x9f\x00\x82\x00\x82\x04\x81\x81\x61a\xff".to_vec(),
        b"\x01\x82\x00\x82\x00\x82\x04\x81\x9a\xff\xff\xff\xff".to_vec(),
        b"\x01\x82\x00\x82\x00\x82\x18\xff\x80".to_vec(),
        vec![1; 2 << 20],
    ];
    hostile.extend((1..request.len()).map(|len| request[..len].to_vec()));
    for message in hostile {
        let start = &message[..message.len().min(16)];
        assert!(ends_after(&world, &message).await, "after {start:02x?}");
    }
    honest.record("alice".parse().unwrap()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dropped_request_makes_its_session_useless_and_nothing_else() {
    let world = World::new().await;
    let alice = User::new("alice");
    let client = world.login(&alice).await;
    assert!(still_pending_after(1, &mut Box::pin(client.record(alice.id))).await);
    assert!(matches!(client.record(alice.id).await, Err(ClientError::Interrupted)));
    world.login(&alice).await.record(alice.id).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_wrong_server_key_is_refused_before_anything_is_said() {
    let world = World::new().await;
    let (alice, other) = (User::new("alice"), User::new("other"));
    let pinned = *other.identity.public().noise_key();
    let refused = Client::connect(world.addr, &alice.identity, pinned).await.unwrap_err();
    assert!(matches!(refused, ClientError::Connect(_)));
    assert!(refused.to_string().contains("differs from the pinned one"), "{refused}");
}

#[tokio::test]
async fn stopping_finishes_what_was_asked() {
    let mut world = World::new().await;
    let alice = User::new("alice");
    let client = world.login(&alice).await;
    world.stop().await;
    assert!(matches!(client.record(alice.id).await, Err(ClientError::Closed | ClientError::Session(_))));
    let refused = Client::connect(world.addr, &alice.identity, world.key).await.unwrap_err();
    assert!(matches!(refused, ClientError::Connect(_)), "{refused}");
}

#[tokio::test]
async fn one_source_does_not_hold_every_session() {
    let mut limits = Limits::default();
    (limits.sessions, limits.sessions_per_source) = (10, 2);
    let world = World::with(|server| server.limits(limits)).await;
    let alice = User::new("alice");
    let (first, _second) = (world.login(&alice).await, world.login(&alice).await);
    let third = world.connect(&alice).await.record(alice.id).await.unwrap_err();
    let ClientError::Refused(refusal) = &third else { panic!("{third}") };
    assert_eq!(refusal.retry_after(), Some(Duration::from_secs(10)), "{refusal}");
    assert!(refusal.reason().ends_with("come back in 10 s"), "{refusal}");
    first.close().await.unwrap();
    // The place is free when the server has seen the end of the first.
    let mut served = false;
    for _ in 0..50 {
        if world.connect(&alice).await.record(alice.id).await.is_ok() {
            served = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(served);
}

#[tokio::test]
async fn frames_for_pads_that_nobody_bought_leave_nothing_behind() {
    let world = World::new().await;
    let client = world.connect(&User::new("mallory")).await;
    let pad = world.ready(&client, "alice").await;
    let frame = pad.seal(b"\x01\x82\x02\x80").commit().await.unwrap();
    for n in 0_u32..1100 {
        let mut unknown = frame.clone();
        unknown[4..8].copy_from_slice(&n.to_be_bytes());
        client.frame(&unknown).await.unwrap_err();
    }
    client.frame(&frame).await.unwrap();
}

#[tokio::test]
async fn a_stranger_with_an_endless_document_does_not_hold_the_server() {
    let mut world = World::new().await;
    let mut session = session(&world).await;
    // Request 0: Put, of a record; not logged in.
    let mut put = b"\x01\x82\x00\x82\x00\x82\x0d\x81\x50".to_vec();
    put.extend([7; 16]);
    session.send(&put).await.unwrap();
    let trickle = tokio::spawn(async move {
        // Data of request 0: nothing, again and again.
        while session.send(b"\x01\x82\x01\x82\x00\x40").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    timeout(Duration::from_secs(10), world.stop()).await.expect("the server stops");
    timeout(Duration::from_secs(10), trickle).await.expect("the session is over").unwrap();
}

#[tokio::test]
async fn a_changed_key_ends_what_the_old_one_may() {
    let world = World::new().await;
    let alice = User::new("alice");
    let (old, owner) = (world.login(&alice).await, world.login(&alice).await);
    old.poll(None, 1).await.unwrap();
    owner.change_keys(alice.id, &alice.identity, &User::new("new").identity, &[]).await.unwrap();
    let refused = old.poll(None, 1).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(_)), "{refused}");
}
