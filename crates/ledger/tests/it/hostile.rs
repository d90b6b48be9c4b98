//! Whoever stands between, stores that do not answer, and copies that come back: nothing is accepted twice, and nobody
//! without a key halts anything.

use std::sync::{Arc, Mutex};

use symbolon_keys::{OsRng, UnixTime};
use symbolon_ledger::material::{PadHalf, PadMaterial};
use symbolon_ledger::sequence::KeyFrame;
use symbolon_ledger::witness::{Body, OwnerSession, Reserved, WitnessSession};
use symbolon_ledger::{
    Amount, Batch, BatchId, Event, Fault, Generation, LedgerStore, MemoryStore, Op, OutboxEntry, OutboxId,
    PadError, PadMode, PadStatus, Policy, Rekey, Transfer, TransferId,
};

use crate::world::{CASH, INCOME, Link, MemoryPad, Terms, USER, World, emitted};

async fn witnessed(mode: PadMode) -> World {
    World::new(Terms { witnessed: true, mode, ..Terms::default() }).await
}

// proves L2
#[tokio::test]
async fn a_reflected_state_is_dropped() {
    let world = witnessed(PadMode::PadOverAead).await;
    let (_server, user) = world.attach().await;
    let secured = user.secure(&mut Link::to(&user), 1).await;
    assert!(matches!(secured, Err(PadError::Rejected)), "{secured:?}");
    assert_eq!(user.status(), PadStatus::Open);
}

#[tokio::test]
async fn an_earlier_ack_of_the_session_is_dropped() {
    let world = witnessed(PadMode::PadOverAead).await;
    let (server, user) = world.attach().await;
    // The first reservation is durable, and its Ceiling lost.
    let mut sent = 0;
    let lose = move |message, answer: bool| {
        sent += usize::from(!answer);
        (answer || sent != 2).then_some(message)
    };
    user.secure(&mut Link::through(&server, lose), 1).await.unwrap_err();
    let acks = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
    let replay = {
        let acks = Arc::clone(&acks);
        move |message: Vec<u8>, answer| {
            let mut acks = acks.lock().unwrap();
            if answer && message[0] == 3 {
                acks.push(message);
                return Some(acks[0].clone());
            }
            Some(message)
        }
    };
    let secured = user.secure(&mut Link::through(&server, replay), 20_000).await;
    assert_eq!(acks.lock().unwrap().len(), 2, "the second was replaced by the first");
    assert!(matches!(secured, Err(PadError::Rejected)), "{secured:?}");
    assert_eq!(user.status(), PadStatus::Open);
    user.secure(&mut Link::to(&server), 20_000).await.unwrap();
}

#[tokio::test]
async fn a_state_from_before_an_ack_is_dropped() {
    let world = witnessed(PadMode::PadOverAead).await;
    let (server, user) = world.attach().await;
    // The first reservation is durable, and its Ceiling lost.
    let mut sent = 0;
    let lose = move |message, answer: bool| {
        sent += usize::from(!answer);
        (answer || sent != 2).then_some(message)
    };
    user.secure(&mut Link::through(&server, lose), 1).await.unwrap_err();
    // Now it is acknowledged, and the second gets the State that the session began with.
    let mut answers = Vec::<Vec<u8>>::new();
    let replay = |message: Vec<u8>, answer| {
        if answer {
            answers.push(message.clone());
        }
        Some(if answer && answers.len() == 3 { answers[0][17..].to_vec() } else { message })
    };
    let secured = user.secure(&mut Link::through(&server, replay), 20_000).await;
    assert_eq!(answers.len(), 3);
    assert!(matches!(secured, Err(PadError::Rejected)), "{secured:?}");
    assert_eq!(user.status(), PadStatus::Open, "nobody without the key halts a lane");
}

#[tokio::test]
async fn what_was_received_before_a_restore_is_not_received_after_its_recovery() {
    let world = witnessed(PadMode::PadOverAead).await;
    let (server, user) = world.attach().await;
    server.secure(&mut Link::to(&user), 1).await.unwrap();
    user.secure(&mut Link::to(&server), 1).await.unwrap();
    drop(user);
    let copy = world.user.backup();
    let user = world.user.attach(world.id).await.unwrap();
    let pay = emitted(server.seal(b"pay 5").commit().await.unwrap());
    assert_eq!(*user.open(&pay).await.unwrap(), *b"pay 5");
    drop(user);
    let link = &mut Link::to(&server);
    let user =
        MemoryPad::recover(&copy.store, &copy.material, world.id, Policy::default(), link).await.unwrap();
    let again = user.open(&pay).await;
    assert!(again.is_err(), "accepted twice: {again:?}");
}

#[tokio::test]
async fn no_session_key_survives_a_recovery() {
    let world = witnessed(PadMode::KeySequence).await;
    let (server, user) = world.attach().await;
    server.secure(&mut Link::to(&user), 4).await.unwrap();
    user.secure(&mut Link::to(&server), 4).await.unwrap();
    let one = server.seal(b"1").commit().await.unwrap();
    let two = server.seal(b"2").commit().await.unwrap();
    user.open(&one).await.unwrap();
    drop(user);
    let (link, policy) = (&mut Link::to(&server), Policy::default());
    let (store, material) = (&world.user.store, &world.user.material);
    let user = MemoryPad::recover(store, material, world.id, policy, link).await.unwrap();
    let opened = user.open(&two).await;
    assert!(opened.is_err(), "under a key from before: {opened:?}");
    // The first key that nobody had acknowledged is a new one.
    for _ in 1..16 {
        server.connect(Rekey::per_connection()).await;
        server.seal(b"lost").commit().await.unwrap();
    }
    server.connect(Rekey::per_connection()).await;
    server.secure(&mut Link::to(&user), 1).await.unwrap();
    let on = server.seal(b"on").commit().await.unwrap();
    assert_eq!(*user.open(&on).await.unwrap(), *b"on");
}

#[tokio::test]
async fn an_owner_that_was_acknowledged_notices_a_witness_rolled_back_by_one() {
    let world = witnessed(PadMode::PadOverAead).await;
    let copy = world.user.backup();
    let (server, user) = world.attach().await;
    server.secure(&mut Link::to(&user), 1).await.unwrap();
    let pay = emitted(server.seal(b"pay 5").commit().await.unwrap());
    assert_eq!(*user.open(&pay).await.unwrap(), *b"pay 5");
    drop(user);
    let user = copy.attach(world.id).await.unwrap();
    let secured = server.secure(&mut Link::to(&user), 1).await;
    assert!(matches!(secured, Err(PadError::NotOpen(PadStatus::WitnessRolledBack))), "{secured:?}");
    assert!(user.open(&pay).await.is_err(), "accepted twice");
}

#[tokio::test]
async fn a_ceiling_of_another_life_gets_a_state_and_harms_nobody() {
    let world = witnessed(PadMode::PadOverAead).await;
    let (server, user) = world.attach().await;
    drop(user);
    let half = world.user.material.backup().take(world.id).unwrap();
    let keys = half.keys();
    let mut owner = OwnerSession::new(keys.witness(), world.id, half.header().lane, &mut OsRng);
    let mut session = WitnessSession::new();
    owner.receive(&server.attest(&mut session, &owner.hello()).await.unwrap()).unwrap();
    let (generation, lane) = (Generation::from([7; 16]), half.header().lane);
    let stale =
        Body::Ceiling(Reserved { generation, lane, from: 0, to: 4096, batch: BatchId::from([1; 16]) });
    let answer = server.attest(&mut session, &owner.seal(&stale).unwrap()).await.unwrap();
    assert!(matches!(owner.receive(&answer).unwrap(), Body::State { ceiling: 0, .. }));
    server.attest(&mut session, &owner.hello()).await.unwrap();
}

/// The witness stored a Ceiling and never heard of it: its next State says so.
#[tokio::test]
async fn what_a_witness_says_does_not_lag_behind_its_ledger() {
    let world = witnessed(PadMode::PadOverAead).await;
    let (server, user) = world.attach().await;
    world.server.store.fail([Some(Fault::Unheard)]);
    user.secure(&mut Link::to(&server), 1).await.unwrap_err();
    let mut answers = 0;
    let count = |message, answer: bool| {
        answers += usize::from(answer);
        Some(message)
    };
    user.secure(&mut Link::through(&server, count), 1).await.unwrap();
    assert_eq!(answers, 1, "its State was enough");
}

#[tokio::test]
async fn a_key_that_was_begun_for_an_answer_that_stood_already_is_not_used() {
    let world = World::new(Terms { mode: PadMode::KeySequence, ..Terms::default() }).await;
    let policy = Policy::default().key_fee(Amount::new(2));
    let server = world.server.attach_with(world.id, policy).await.unwrap();
    let user = world.user.attach(world.id).await.unwrap();
    let request = server.open(&user.seal(b"q").commit().await.unwrap()).await.unwrap().id();
    world.server.store.fail([None, Some(Fault::Unheard)]);
    server.seal(b"a").answering(request).commit().await.unwrap_err();
    let paid = world.server.balance(INCOME).await;
    server.seal(b"a").answering(request).commit().await.unwrap();
    let frame = server.seal(b"more").commit().await.unwrap();
    let index = KeyFrame::parse(&frame).unwrap().index();
    assert!(world.server.balance(INCOME).await > paid, "nobody paid for key {index}");
}

#[tokio::test]
async fn a_claim_in_doubt_stays_so_while_the_store_is_busy() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    let frame = user.seal(b"q").commit().await.unwrap();
    let store = &world.server.store;
    let replace = |tables| store.with_tables(|now| core::mem::replace(now, tables));
    let before = store.with_tables(|tables| tables.clone());
    store.fail([Some(Fault::Unheard), Some(Fault::NotApplied)]);
    server.open(&frame).await.unwrap_err();
    // The commit that nobody heard of takes its time.
    let late = replace(before);
    server.open(&frame).await.unwrap_err();
    replace(late);
    assert_eq!(*server.open(&frame).await.unwrap(), *b"q");
}

#[tokio::test]
async fn the_outbox_keeps_what_is_struck_off_and_written_down_again() {
    let store = MemoryStore::new();
    let entry = OutboxEntry { id: OutboxId::from([1; 16]), payload: vec![1] };
    let batch = || Batch::new(UnixTime::from_secs(1));
    store.commit(batch().with(Op::Enqueue(entry.clone()))).await.unwrap();
    let again = batch().with(Op::Dequeue(entry.id)).with(Op::Enqueue(entry.clone()));
    store.commit(again).await.unwrap();
    assert_eq!(store.outbox(9).await.unwrap(), vec![entry.clone()]);
    let gone =
        batch().with(Op::Dequeue(entry.id)).with(Op::Enqueue(entry.clone())).with(Op::Dequeue(entry.id));
    store.commit(gone).await.unwrap();
    assert!(store.outbox(9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_charge_and_a_credit_on_one_message_both_count() {
    for (charge, credit, left) in [(5, 2, 97), (2, 5, 103), (5, 5, 100), (0, 3, 103), (120, 30, 10)] {
        let world = World::new(Terms::default()).await;
        let (server, user) = world.attach().await;
        let income = Transfer::post(TransferId::from([8; 16]), CASH, INCOME, Amount::new(50));
        let paid = Batch::new(UnixTime::now()).with(Op::Transfer(income));
        world.server.store.commit(paid).await.unwrap();
        let request = server.open(&user.seal(b"q").commit().await.unwrap()).await.unwrap().id();
        let answer = server.seal(b"a").answering(request);
        answer.charge(Amount::new(charge)).credit(Amount::new(credit)).commit().await.unwrap();
        assert_eq!(world.server.balance(USER).await, left, "{charge} and {credit}");
        // Each is a line of the statement, the credit before the charge.
        let lines = world.server.store.journal(Some(USER), 0, 99).await.unwrap();
        let lines = lines.into_iter().filter_map(|entry| match entry.event {
            Event::Transfer(line) if [line.from, line.to].contains(&INCOME) => Some((line.to, line.amount)),
            _ => None,
        });
        let expected = [(USER, Amount::new(credit)), (INCOME, Amount::new(charge))];
        let expected = expected.into_iter().filter(|(_, amount)| !amount.is_zero());
        assert_eq!(lines.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn no_more_is_secured_than_a_crash_may_waste() {
    let world = World::new(Terms { bytes: 20 << 20, ..Terms::default() }).await;
    let (server, user) = world.attach().await;
    let most = PadMode::PadOverAead.max_batch();
    let refused = user.secure(&mut Link::to(&server), most + 1).await;
    assert!(matches!(refused, Err(PadError::TooMuch { most: limit }) if limit == most), "{refused:?}");
    user.secure(&mut Link::to(&server), most).await.unwrap();
    drop(user); // a crash
    let user = world.user.attach(world.id).await.unwrap();
    server.open(&user.seal(b"x").commit().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn no_key_is_given_after_the_value_ended_elsewhere() {
    let world = World::new(Terms { mode: PadMode::KeySequence, ..Terms::default() }).await;
    let (server, _user) = world.attach().await;
    server.psk_at(0).await.unwrap();
    let all = Transfer::post(TransferId::from([77; 16]), USER, INCOME, Amount::new(100));
    world.server.store.commit(Batch::new(UnixTime::now()).with(Op::Transfer(all))).await.unwrap();
    let given = server.psk_at(1).await;
    assert!(matches!(given, Err(PadError::NotOpen(PadStatus::ValueSpent))), "{given:?}");
}

#[tokio::test]
async fn used_keys_are_destroyed_after_a_crash_however_many() {
    let world = World::new(Terms { bytes: 1 << 18, mode: PadMode::KeySequence, ..Terms::default() }).await;
    let user = world.user.attach(world.id).await.unwrap();
    for _ in 0..1500 {
        user.take_psk().await.unwrap();
    }
    drop(user); // a crash
    world.user.attach(world.id).await.unwrap().detach().await.unwrap();
    let half = world.user.material.take(world.id).unwrap();
    let left = (0..1500_u64).filter(|key| half.read(half.header().lane, key * 32, &mut [0; 32]).is_ok());
    assert_eq!(left.count(), 0, "keys that can still be read");
}
