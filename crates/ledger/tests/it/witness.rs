//! C3w: vectors, sessions, and what happens to a lane whose two ends contradict each other.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use symbolon_keys::{MacKey, Secret};
use symbolon_ledger::material::{PadHalf, PadMaterial};
use symbolon_ledger::witness::{Advice, Body, OwnerSession, Reserved, WitnessSession};
use symbolon_ledger::{
    BatchId, Fault, Generation, LedgerStore, MemoryStore, PadError, PadId, PadStatus, Policy, Refusal,
    Restored,
};

use crate::world::{End, Link, MemoryPad, Terms, World, emitted};

fn hex<const N: usize>(case: &Value, name: &str) -> [u8; N] {
    hex::decode(case[name].as_str().unwrap()).unwrap().try_into().unwrap()
}

/// A generator that gives one nonce.
struct Nonce([u8; 16]);

impl rand_core::TryRng for Nonce {
    type Error = core::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Nonce {}

#[test]
fn vectors() {
    let file: Value = serde_json::from_str(include_str!("../vectors/c3w.json")).unwrap();
    let cases = file["vectors"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let key = MacKey::from(Secret::from(hex::<32>(case, "witness_key")));
        let pad = PadId::from(hex(case, "pad_id"));
        let body_bytes = hex::decode(case["body"].as_str().unwrap()).unwrap();
        let message = hex::decode(case["message"].as_str().unwrap()).unwrap();
        let body = Body::parse(&body_bytes).unwrap();
        assert_eq!(body.to_bytes(), body_bytes);
        let lane = match body {
            Body::Ceiling(reserved) | Body::Ack(reserved) => reserved.lane,
            Body::State { lane, .. } | Body::Adopt { lane, .. } => lane,
            Body::Hello(_) => panic!("a hello is not authenticated"),
        };
        let state = Body::State { generation: [0; 16].into(), lane, ceiling: 0, batch: [0; 16].into() };
        let mut owner = OwnerSession::new(&key, pad, lane, &mut Nonce(hex(case, "owner_nonce")));
        let mut peer = WitnessSession::new();
        let nonce = &mut Nonce(hex(case, "peer_nonce"));
        let hello = peer.hello(&key, pad, &owner.hello(), &state, nonce).unwrap();
        assert_eq!(owner.receive(&hello).unwrap(), state);
        if case["role"] == 0 {
            assert_eq!(owner.seal(&body).unwrap(), message);
            assert_eq!(peer.receive(&key, pad, &message).unwrap(), body);
            assert!(owner.receive(&message).is_err(), "reflected");
        } else {
            assert_eq!(peer.seal(&key, pad, &body).unwrap(), message);
            assert_eq!(owner.receive(&message).unwrap(), body);
            assert!(peer.receive(&key, pad, &message).is_err(), "reflected");
        }
        for bit in 0..message.len() * 8 {
            let mut forged = message.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                owner.receive(&forged).is_err() && peer.receive(&key, pad, &forged).is_err(),
                "bit {bit}"
            );
        }
        for len in 0..body_bytes.len() {
            assert!(Body::parse(&body_bytes[..len]).is_err());
        }
        assert!(Body::parse(&[&body_bytes[..], &[0]].concat()).is_err());
        let other = WitnessSession::new();
        assert!(other.receive(&key, pad, &message).is_err(), "before any hello");
    }
}

#[test]
fn advice() {
    let last = Reserved { generation: [1; 16].into(), lane: 0, from: 100, to: 200, batch: [5; 16].into() };
    let state = |generation: u8, ceiling, batch: u8| {
        (Generation::from([generation; 16]), ceiling, BatchId::from([batch; 16]))
    };
    let suspected = Advice::Halt(PadStatus::RollbackSuspected);
    let forgot = Advice::Halt(PadStatus::WitnessRolledBack);
    let cases = [
        (state(1, 200, 5), Advice::GoOn),
        (state(1, 200, 6), suspected),
        (state(1, 201, 5), suspected),
        (state(1, 150, 6), suspected),
        (state(1, 100, 4), Advice::SendAgain),
        (state(1, 99, 4), forgot),
        (state(1, 0, 0), forgot),
        (state(2, 200, 5), suspected),
    ];
    for (state, advice) in cases {
        assert_eq!(Advice::of(&last, false, state), advice, "{state:?}");
        // Who knows that it was acknowledged takes nothing less.
        let (_, ceiling, _) = state;
        let less = state.0 == last.generation && ceiling < last.to;
        let known = if less { forgot } else { advice };
        assert_eq!(Advice::of(&last, true, state), known, "{state:?}");
    }
}

async fn world() -> World {
    World::new(Terms { witnessed: true, bytes: 1 << 20, ..Terms::default() }).await
}

async fn sealed(pad: &MemoryPad, message: &[u8]) -> Vec<u8> {
    emitted(pad.seal(message).commit().await.unwrap())
}

// proves L2
#[tokio::test]
async fn nothing_is_used_before_it_is_witnessed() {
    let world = world().await;
    let (server, user) = world.attach().await;
    assert!(matches!(user.seal(b"early").commit().await, Err(PadError::Unwitnessed)));
    let mut link = Link::to(&server);
    user.secure(&mut link, 1).await.unwrap();
    let frame = sealed(&user, b"hello").await;
    assert_eq!(*server.open(&frame).await.unwrap(), *b"hello");
    // To the end of the reservation, and on with the next.
    let mut count = 0;
    loop {
        match user.seal(&[7; 3000]).commit().await {
            Ok(frame) => drop(server.open(&emitted(frame)).await.unwrap()),
            Err(PadError::Unwitnessed) if count < 3 => {
                count += 1;
                user.secure(&mut link, 4200).await.unwrap();
            }
            Err(PadError::Unwitnessed) => break,
            Err(other) => panic!("{other}"),
        }
    }
    // And the other lane has a session of its own.
    server.secure(&mut Link::to(&user), 200).await.unwrap();
    assert_eq!(*user.open(&sealed(&server, b"back").await).await.unwrap(), *b"back");
}

#[tokio::test]
async fn frames_beyond_the_ceiling_are_refused() {
    let world = world().await;
    let (server, user) = world.attach().await;
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    let frame = sealed(&user, b"x").await;
    drop(server);
    // A server that never acknowledged it.
    world.server.store.with_tables(|tables| {
        let row = tables.pads.get_mut(&world.id).unwrap();
        (row.receive.ceiling, row.receive.batch) = (0, [0; 16].into());
    });
    let server = world.server.attach(world.id).await.unwrap();
    assert!(matches!(server.open(&frame).await, Err(PadError::Refused(Refusal::TooFarAhead { limit: 0 }))));
}

/// Every message and answer is lost once, in turn; then the exchange is tried again and works.
#[tokio::test]
async fn lost_messages() {
    for lost in 0..6 {
        let world = world().await;
        let (server, user) = world.attach().await;
        for round in 0..3 {
            let mut n = 0;
            let fault = |message, _| {
                n += 1;
                (n != lost + 1).then_some(message)
            };
            let first = user.secure(&mut Link::through(&server, fault), 40_000).await;
            assert_eq!(first.is_ok(), lost >= 4, "message {lost}: {first:?}");
            user.secure(&mut Link::to(&server), 40_000).await.unwrap();
            for n in 0..9 {
                let frame = sealed(&user, &[round; 4000]).await;
                assert_eq!(server.open(&frame).await.unwrap().len(), 4000, "{n}");
            }
        }
    }
}

#[tokio::test]
async fn replayed_and_forged_messages() {
    let world = world().await;
    let (server, user) = world.attach().await;
    // What a first session said.
    let said = Arc::new(Mutex::new(Vec::new()));
    let record = |message: Vec<u8>, answer| {
        said.lock().unwrap().push((message.clone(), answer));
        Some(message)
    };
    user.secure(&mut Link::through(&server, record), 1).await.unwrap();
    let said = said.lock().unwrap().clone();
    for (old, answer) in said {
        let replay = |message, is_answer| Some(if is_answer == answer { old.clone() } else { message });
        let replayed = user.secure(&mut Link::through(&server, replay), 1).await;
        // The owner's own hello in place of its hello makes another session, which answers nobody.
        assert!(replayed.is_err(), "a message of an earlier session was taken");
    }
    for bit in [0, 9, 17 * 8, 17 * 8 + 5, 300] {
        let flip = |mut message: Vec<u8>, is_answer| {
            let at = (bit / 8) % message.len();
            message[at] ^= if is_answer { 1 << (bit % 8) } else { 0 };
            Some(message)
        };
        assert!(user.secure(&mut Link::through(&server, flip), 1).await.is_err(), "bit {bit}");
    }
    assert_eq!(user.status(), PadStatus::Open, "whoever stands between can delay, not halt");
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    sealed(&user, b"still").await;
}

#[tokio::test]
async fn a_state_of_the_same_session_replayed() {
    let world = world().await;
    let (server, user) = world.attach().await;
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    let mut hello = Vec::new();
    let stale = |message: Vec<u8>, is_answer| {
        if is_answer && hello.is_empty() {
            hello = message.clone();
            return Some(message);
        }
        // The state of the beginning, again, in place of the acknowledgement.
        Some(if is_answer { hello[17..].to_vec() } else { message })
    };
    let result = user.secure(&mut Link::through(&server, stale), 100_000).await;
    assert!(matches!(result, Err(PadError::Rejected)), "{result:?}");
    user.secure(&mut Link::to(&server), 100_000).await.unwrap();
    sealed(&user, &[0; 90_000]).await;
}

#[tokio::test]
async fn commits_that_fail_at_either_end() {
    for fault in [Fault::NotApplied, Fault::Lost, Fault::Unheard] {
        let world = world().await;
        let (server, user) = world.attach().await;
        for _ in 0..3 {
            world.user.store.fail([Some(fault)]);
            user.secure(&mut Link::to(&server), 30_000).await.unwrap_err();
            world.server.store.fail([Some(fault)]);
            user.secure(&mut Link::to(&server), 30_000).await.unwrap_err();
            user.secure(&mut Link::to(&server), 30_000).await.unwrap();
            for _ in 0..3 {
                let frame = sealed(&user, &[1; 8000]).await;
                server.open(&frame).await.unwrap();
            }
        }
    }
}

// proves L2
#[tokio::test]
async fn everything_at_one_end_restored() {
    let world = world().await;
    let (server, user) = world.attach().await;
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    let before = sealed(&user, b"before").await;
    server.open(&before).await.unwrap();
    drop(user);
    let snapshot = world.user.backup();
    let user = world.user.attach(world.id).await.unwrap();
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    let since = sealed(&user, b"since").await;
    server.open(&since).await.unwrap();
    drop(user);

    // Half and ledger are old together: only the peer can know.
    let user = snapshot.attach(world.id).await.unwrap();
    assert!(matches!(user.seal(b"x").commit().await, Err(PadError::Unwitnessed)));
    let halted = user.secure(&mut Link::to(&server), 1).await;
    assert!(matches!(halted, Err(PadError::NotOpen(PadStatus::RollbackSuspected))), "{halted:?}");
    drop(user);
    let user = snapshot.attach(world.id).await.unwrap();
    assert_eq!(user.status(), PadStatus::RollbackSuspected, "it stays halted");
    assert!(user.secure(&mut Link::to(&server), 1).await.is_err());
    drop(user);

    let policy = Policy::default();
    let (store, material) = (&snapshot.store, &snapshot.material);
    let user = MemoryPad::recover(store, material, world.id, policy, &mut Link::to(&server)).await.unwrap();
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    let frame = sealed(&user, b"after").await;
    assert_eq!(*server.open(&frame).await.unwrap(), *b"after");
    drop(user);
    // The machine that the snapshot was taken from is dead now.
    let other = world.user.attach(world.id).await.unwrap();
    let refused = other.secure(&mut Link::to(&server), 1).await;
    assert!(matches!(refused, Err(PadError::NotOpen(PadStatus::RollbackSuspected))), "{refused:?}");
    drop(other);
    // Frames of the old life are refused.
    assert!(matches!(server.open(&since).await, Err(PadError::Unanswered(_))));
    // And the recovered end lives on.
    let user = snapshot.attach(world.id).await.unwrap();
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    server.open(&sealed(&user, b"and on").await).await.unwrap();
}

#[tokio::test]
async fn two_copies_that_reserve_the_same_range() {
    let world = world().await;
    let server = world.server.attach(world.id).await.unwrap();
    let copy = world.user.backup();
    let user = world.user.attach(world.id).await.unwrap();
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    sealed(&user, b"one").await;
    drop(user);
    // The clone reserves the same bytes under another batch id, without a word to the peer; then it asks.
    let clone = copy.attach(world.id).await.unwrap();
    let mut first = true;
    let deaf = |message, _| core::mem::take(&mut first).then_some(message);
    clone.secure(&mut Link::through(&server, deaf), 1).await.unwrap_err();
    let halted = clone.secure(&mut Link::to(&server), 1).await;
    assert!(matches!(halted, Err(PadError::NotOpen(PadStatus::RollbackSuspected))), "{halted:?}");
}

#[tokio::test]
async fn a_witness_that_forgot() {
    let world = world().await;
    let forgetful = world.server.backup();
    let (server, user) = world.attach().await;
    for _ in 0..2 {
        user.secure(&mut Link::to(&server), 13_000).await.unwrap();
        sealed(&user, &[0; 9000]).await;
    }
    drop(server);
    let server = forgetful.attach(world.id).await.unwrap();
    let halted = user.secure(&mut Link::to(&server), 13_000).await;
    assert!(matches!(halted, Err(PadError::NotOpen(PadStatus::WitnessRolledBack))), "{halted:?}");
    drop(user);
    let (store, material) = (&world.user.store, &world.user.material);
    let policy = Policy::default();
    let user = MemoryPad::recover(store, material, world.id, policy, &mut Link::to(&server)).await.unwrap();
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    let frame = sealed(&user, b"on, above what was used").await;
    server.open(&frame).await.unwrap();
}

#[tokio::test]
async fn a_recovery_that_is_interrupted() {
    // After the hello; after the answer to it; after our commit; after the peer's.
    for cut in 0..4 {
        let world = world().await;
        let (server, user) = world.attach().await;
        user.secure(&mut Link::to(&server), 1).await.unwrap();
        sealed(&user, b"x").await;
        drop(user);
        let (store, material) = (&world.user.store, &world.user.material);
        let mut n = 0;
        let fault = |message, _| {
            n += 1;
            (n <= cut).then_some(message)
        };
        let policy = Policy::default();
        let mut broken = Link::through(&server, fault);
        assert!(MemoryPad::recover(store, material, world.id, policy, &mut broken).await.is_err());
        drop(broken);
        let user =
            MemoryPad::recover(store, material, world.id, policy, &mut Link::to(&server)).await.unwrap();
        user.secure(&mut Link::to(&server), 1).await.unwrap();
        server.open(&sealed(&user, b"y").await).await.unwrap();
    }
}

#[tokio::test]
async fn a_ledger_that_is_lost() {
    let world = world().await;
    let (server, user) = world.attach().await;
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    server.secure(&mut Link::to(&user), 1).await.unwrap();
    let old = sealed(&server, b"old").await;
    user.open(&old).await.unwrap();
    sealed(&user, b"x").await;
    drop(user);
    let lost = End { store: MemoryStore::new(), ..world.user.clone() };
    assert!(matches!(lost.attach(world.id).await, Err(PadError::LedgerMissing(_))));
    let (store, material) = (&lost.store, &lost.material);
    let policy = Policy::default();
    let user = MemoryPad::recover(store, material, world.id, policy, &mut Link::to(&server)).await.unwrap();
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    server.open(&sealed(&user, b"y").await).await.unwrap();
    // The other lane: we have forgotten what we acknowledged, and take nothing of it until its owner recovers too.
    assert!(matches!(user.open(&old).await, Err(PadError::Refused(Refusal::OtherGeneration))));
    let halted = server.secure(&mut Link::to(&user), 1).await;
    assert!(matches!(halted, Err(PadError::NotOpen(_))), "{halted:?}");
    drop(server);
    let (store, material) = (&world.server.store, &world.server.material);
    let server = MemoryPad::recover(store, material, world.id, policy, &mut Link::to(&user)).await.unwrap();
    server.secure(&mut Link::to(&user), 1).await.unwrap();
    assert!(user.open(&old).await.is_err(), "a frame of the old life");
    assert_eq!(*user.open(&sealed(&server, b"new").await).await.unwrap(), *b"new");
}

#[tokio::test]
async fn attached_after_a_restore() {
    let world = world().await;
    let (server, user) = world.attach().await;
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    server.secure(&mut Link::to(&user), 1).await.unwrap();
    drop(server);
    let snapshot = world.server.backup();
    let server = world.server.attach(world.id).await.unwrap();
    let frame = sealed(&user, b"pay").await;
    server.open(&frame).await.unwrap();
    drop(server);
    // The restored server has not seen the frame, and must not take it again.
    let policy = Policy::default();
    let (store, material) = (&snapshot.store, &snapshot.material);
    let restored = Restored::Witnessed;
    let server = MemoryPad::attach_after_restore(store, material, world.id, policy, restored).await.unwrap();
    assert!(matches!(server.open(&frame).await, Err(PadError::Refused(Refusal::Replayed { .. }))));
    server.secure(&mut Link::to(&user), 1).await.unwrap();
    user.open(&sealed(&server, b"here again").await).await.unwrap();

    let plain = World::new(Terms::default()).await;
    let snapshot = plain.user.backup();
    let user = plain.user.attach(plain.id).await.unwrap();
    sealed(&user, b"since").await;
    drop(user);
    let (store, material) = (&snapshot.store, &snapshot.material);
    let wrong = MemoryPad::attach_after_restore(store, material, plain.id, policy, Restored::Witnessed).await;
    assert!(matches!(wrong, Err(PadError::Mismatch(_))));
    let vouched = Restored::Untouched { send: 8192, receive: 0 };
    let user = MemoryPad::attach_after_restore(store, material, plain.id, policy, vouched).await.unwrap();
    sealed(&user, b"beyond").await;
    let row = snapshot.store.pad(plain.id).await.unwrap().unwrap();
    assert!(row.send.from >= 8192);
    drop(user);
    assert_eq!(snapshot.material.take(plain.id).unwrap().floor(0), row.send.reserved);
}
