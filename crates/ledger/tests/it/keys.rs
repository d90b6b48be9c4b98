//! C3k: key sequences, and when a new key begins.

use core::time::Duration;

use serde_json::Value;
use symbolon_keys::{Backend, UnixTime};
use symbolon_ledger::frame::{Chunk, LaneId};
use symbolon_ledger::sequence::{KeyFrame, SessionKey, Usage};
use symbolon_ledger::{
    Amount, Batch, Fault, Fence, LedgerStore, Op, PadError, PadMode, PadStatus, Policy, Refusal, Rekey,
};

use crate::world::{INCOME, Link, REFUND, Terms, USER, World, emitted};

fn hex(case: &Value, name: &str) -> Vec<u8> {
    hex::decode(case[name].as_str().unwrap()).unwrap()
}

fn id<T: From<[u8; 16]>>(case: &Value, name: &str) -> T {
    T::from(hex(case, name).try_into().unwrap())
}

#[test]
fn vectors() {
    let file: Value = serde_json::from_str(include_str!("../vectors/c3k.json")).unwrap();
    let cases = file["vectors"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for (case, &backend) in
        cases.iter().flat_map(|case| Backend::ALL.iter().map(move |backend| (case, backend)))
    {
        let lane = LaneId {
            pad: id(case, "pad_id"),
            generation: id(case, "generation"),
            mode: PadMode::KeySequence,
            lane: u8::try_from(case["lane"].as_u64().unwrap()).unwrap(),
        };
        let (index, seq) = (case["index"].as_u64().unwrap(), case["seq"].as_u64().unwrap());
        let key = || {
            let mut bytes = hex(case, "key");
            SessionKey::new(lane, index, Chunk::new(index, &mut bytes), backend).unwrap()
        };
        let (message, expected) = (hex(case, "message"), hex(case, "frame"));
        let frame = KeyFrame::parse(&expected).unwrap();
        assert_eq!((frame.index(), u64::from(frame.seq()), *frame.lane()), (index, seq, lane));
        assert_eq!(*key().open(&frame).unwrap(), message);
        // A key seals in order, so only the first numbers can be sealed here; the far one is opened.
        if seq < 10 {
            let (mut key, mut out) = (key(), Vec::new());
            for _ in 0..seq {
                key.seal(b"before", &mut out).unwrap();
            }
            key.seal(&message, &mut out).unwrap();
            assert_eq!(out, expected);
        }
        if expected.len() > 1000 {
            continue;
        }
        for bit in 0..expected.len() * 8 {
            let mut forged = expected.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let opened = KeyFrame::parse(&forged).ok().and_then(|frame| key().open(&frame).ok());
            assert!(opened.is_none(), "bit {bit}");
        }
        for len in 0..expected.len() {
            assert!(KeyFrame::parse(&expected[..len]).is_err());
        }
        assert!(KeyFrame::parse(&[&expected[..], &[0]].concat()).is_err());
    }
}

// proves L6 L7 L8 L9
#[test]
fn when_a_key_is_due() {
    let at = UnixTime::from_secs;
    let usage = Usage { first_use: at(1000), began: at(1095), bytes: 900 };
    let secs = Duration::from_secs;
    let cases = [
        (Rekey::per_connection(), 1_000_000, 1 << 40, false),
        (Rekey::per_connection().after(secs(10)), 1104, 0, false),
        (Rekey::per_connection().after(secs(10)), 1105, 0, true),
        (Rekey::per_connection().every(secs(100)), 1099, 0, false),
        (Rekey::per_connection().every(secs(100)), 1100, 0, true),
        (Rekey::per_connection().after_bytes(1000), 1095, 100, false),
        (Rekey::per_connection().after_bytes(1000), 1095, 101, true),
        (Rekey::per_connection().after(secs(500)).every(secs(100)).after_bytes(5000), 1100, 0, true),
        (Rekey::per_connection().after(secs(500)).every(secs(1000)).after_bytes(901), 1100, 2, true),
        (Rekey::per_connection().after(secs(500)).every(secs(1000)).after_bytes(5000), 1100, 2, false),
        // A clock that was set back is no reason.
        (Rekey::per_connection().after(secs(10)).every(secs(10)), 5, 0, false),
    ];
    for (n, (rekey, now, len, due)) in cases.into_iter().enumerate() {
        assert_eq!(rekey.is_due(&usage, at(now), len), due, "case {n}");
    }
    let fresh = Usage { bytes: 0, ..usage };
    let long = Rekey::per_connection().after_bytes(10);
    assert!(!long.is_due(&fresh, at(1095), 11), "a message longer than the quantity has a key to itself");
}

fn index(frame: &[u8]) -> (u64, u32) {
    let frame = KeyFrame::parse(frame).unwrap();
    (frame.index(), frame.seq())
}

async fn world(bytes: u64, witnessed: bool) -> World {
    World::new(Terms { bytes, mode: PadMode::KeySequence, witnessed, ..Terms::default() }).await
}

// proves L4 L5 L6 L9
#[tokio::test]
async fn keys_and_value_go_down_together() {
    let world = world(1 << 16, false).await;
    let policy = Policy::default().key_fee(Amount::new(2));
    let server = world.server.attach_with(world.id, policy).await.unwrap();
    let user = world.user.attach(world.id).await.unwrap();
    assert_eq!(user.remaining().send, 1024);
    for connection in 0..3 {
        user.connect(Rekey::per_connection().after_bytes(30)).await;
        for n in 0..6_u64 {
            let frame = emitted(user.seal(b"ten bytes!").commit().await.unwrap());
            let expected = (connection * 2 + n / 3, u32::try_from(n % 3).unwrap());
            assert_eq!(index(&frame), expected);
            let request = server.open(&frame).await.unwrap();
            assert!(matches!(server.open(&frame).await, Err(PadError::Unanswered(_))));
            let answer = emitted(
                server.seal(b"ok").answering(request.id()).charge(Amount::new(1)).commit().await.unwrap(),
            );
            assert_eq!(*user.open(&answer).await.unwrap(), *b"ok");
            assert!(matches!(server.open(&frame).await, Err(PadError::Answered(again)) if again == answer));
        }
    }
    assert_eq!(user.remaining().send, 1024 - 6);
    // Six keys of the user, one of the server, eighteen answers.
    assert_eq!(world.server.balance(INCOME).await, 6 * 2 + 2 + 18);
    assert_eq!(world.server.balance(USER).await, 100 - 32);
}

#[tokio::test]
async fn a_key_does_not_survive_a_restart() {
    let world = world(1 << 16, false).await;
    let (server, user) = world.attach().await;
    let first = emitted(user.seal(b"a").commit().await.unwrap());
    let second = emitted(user.seal(b"b").commit().await.unwrap());
    let third = emitted(user.seal(b"c").commit().await.unwrap());
    server.open(&first).await.unwrap();
    server.open(&third).await.unwrap();
    assert!(
        matches!(server.open(&second).await, Err(PadError::Refused(Refusal::Replayed { .. }))),
        "out of order"
    );
    let later = emitted(user.seal(b"d").commit().await.unwrap());
    drop(server);
    let server = world.server.attach(world.id).await.unwrap();
    let refused = server.open(&later).await;
    assert!(
        matches!(refused, Err(PadError::Refused(Refusal::Replayed { .. }))),
        "the receiver's restart: {refused:?}"
    );
    user.connect(Rekey::per_connection()).await;
    server.open(&emitted(user.seal(b"e").commit().await.unwrap())).await.unwrap();
    drop(user);
    let user = world.user.attach(world.id).await.unwrap();
    let after = emitted(user.seal(b"f").commit().await.unwrap());
    assert_eq!(index(&after), (16, 0), "the sender's restart burns what was reserved");
    server.open(&after).await.unwrap();
}

#[tokio::test]
async fn to_the_last_key() {
    // Four keys for the user, and enough for the server.
    let world =
        World::new(Terms { bytes: 4096, mode: PadMode::KeySequence, split: (4, 124), ..Terms::default() })
            .await;
    let (server, user) = world.attach().await;
    for n in 0..4 {
        user.connect(Rekey::per_connection()).await;
        assert_eq!(user.remaining().send, 4 - n);
        server.open(&emitted(user.seal(b"x").commit().await.unwrap())).await.unwrap();
    }
    server.open(&emitted(user.seal(b"still under the last").commit().await.unwrap())).await.unwrap();
    user.connect(Rekey::per_connection()).await;
    assert!(matches!(user.seal(b"y").commit().await, Err(PadError::Exhausted { left: 0, needed: 1 })));
    emitted(server.seal(b"the other lane goes on").commit().await.unwrap());
    assert_eq!(server.status(), PadStatus::Open);
    drop(server);
    let server = world.server.attach(world.id).await.unwrap();
    assert_eq!(
        (server.remaining().receive, server.status()),
        (0, PadStatus::Open),
        "five wait for an answer"
    );
    let waiting = server.unanswered(None, 9).await.unwrap();
    let waiting: Vec<_> = waiting.iter().map(|request| request.id).collect();
    assert_eq!(waiting.len(), 5);
    server.dismiss(&waiting[..4]).await.unwrap();
    assert_eq!(server.status(), PadStatus::Open);
    emitted(server.seal(b"z").answering(waiting[4]).commit().await.unwrap());
    assert_eq!(server.status(), PadStatus::PadSpent, "the key that was in use did not survive");
    assert_eq!(world.server.balance(REFUND).await, 100);
}

// proves A10
#[tokio::test]
async fn keys_as_pre_shared_keys() {
    let world = world(1 << 16, false).await;
    let (server, user) = world.attach().await;
    for expected in 0..3 {
        let (index, psk) = user.take_psk().await.unwrap();
        assert_eq!(index, expected);
        let other = server.psk_at(index).await.unwrap();
        assert_eq!(psk.secret().expose(), other.secret().expose());
        assert!(matches!(server.psk_at(index).await, Err(PadError::Refused(Refusal::Replayed { .. }))));
    }
    let frame = emitted(user.seal(b"and frames").commit().await.unwrap());
    assert_eq!(index(&frame), (3, 0));
    server.open(&frame).await.unwrap();
    let pad = World::new(Terms::default()).await;
    assert!(matches!(pad.user.attach(pad.id).await.unwrap().take_psk().await, Err(PadError::Mismatch(_))));
}

#[tokio::test]
async fn sequences_are_witnessed_too() {
    let world = world(1 << 16, true).await;
    let (server, user) = world.attach().await;
    assert!(matches!(user.seal(b"a").commit().await, Err(PadError::Unwitnessed)));
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    for _ in 0..16 {
        user.connect(Rekey::per_connection()).await;
        server.open(&emitted(user.seal(b"b").commit().await.unwrap())).await.unwrap();
    }
    user.connect(Rekey::per_connection()).await;
    assert!(matches!(user.seal(b"c").commit().await, Err(PadError::Unwitnessed)));
}

#[tokio::test]
async fn no_key_is_given_after_the_end() {
    let world = world(1 << 16, false).await;
    let (server, user) = world.attach().await;
    user.take_psk().await.unwrap();
    // Somebody else ends the pad, while keys are reserved.
    let row = world.user.store.pad(world.id).await.unwrap().unwrap();
    let fence = Fence { pad: world.id, epoch: row.lease.epoch };
    let close = Batch::new(UnixTime::now()).with(Op::Close { fence, status: PadStatus::Closed });
    world.user.store.commit(close).await.unwrap();
    let refused = user.take_psk().await;
    assert!(matches!(refused, Err(PadError::NotOpen(PadStatus::Closed))), "{refused:?}");
    // Nor to whoever has lost the pad.
    server.take_psk().await.unwrap();
    let row = world.server.store.pad(world.id).await.unwrap().unwrap();
    let take = Op::Attach {
        pad: world.id,
        instance: row.instance,
        owner: [1; 16].into(),
        until: UnixTime::default(),
        takeover: true,
    };
    world.server.store.commit(Batch::new(UnixTime::now()).with(take)).await.unwrap();
    assert!(matches!(server.take_psk().await, Err(PadError::Dead)));
}

#[tokio::test]
async fn a_key_whose_frame_is_in_doubt_is_not_given() {
    let world = world(1 << 16, false).await;
    let (server, user) = world.attach().await;
    let frame = emitted(user.seal(b"under key 0").commit().await.unwrap());
    world.server.store.fail([Some(Fault::Unheard)]);
    server.open(&frame).await.unwrap_err();
    let refused = server.psk_at(0).await;
    assert!(matches!(refused, Err(PadError::Refused(Refusal::Replayed { position: 1 }))), "{refused:?}");
    assert_eq!(*server.open(&frame).await.unwrap(), *b"under key 0");
    user.connect(Rekey::per_connection()).await;
    let lost = emitted(user.seal(b"under key 1").commit().await.unwrap());
    world.server.store.fail([Some(Fault::Lost)]);
    server.open(&lost).await.unwrap_err();
    server.psk_at(1).await.expect("it was not claimed");
}
