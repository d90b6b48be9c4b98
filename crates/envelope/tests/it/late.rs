//! What was on its way when something else was decided: a rotation, an erasure.

use symbolon_envelope::{
    Custodian, CustodianError, Expect, Records, RewrapJob, Seal, ServerKeys, UserKey, UserKeyStore, open,
};
use symbolon_keys::{Epoch, OsRng, UnixTime};

use crate::faults::{Engine, World};
use crate::support::id;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

/// Rotates, re-wraps all there is, and destroys every version before.
async fn replace_server_key(engine: &Engine, next: ServerKeys) {
    let version = next.version();
    engine.install(next).unwrap();
    let mut job = RewrapJob::default();
    while engine.rewrap_step(&mut job, 10).await.unwrap() {}
    assert_eq!(job.failures, 0);
    let mut next = engine.rotated().unwrap();
    next.retire(version).unwrap();
    assert!(next.destroy_retired() >= 1);
    engine.install(next).unwrap();
}

// proves E13
#[tokio::test]
async fn a_record_never_lands_under_a_destroyed_version() {
    let world = World::new().await;
    let (engine, other) = (world.restart(), world.restart());
    let next = engine.rotated().unwrap();
    *world.store.meanwhile.lock().unwrap() = Some(Box::pin(async move {
        replace_server_key(&other, next).await;
        // Whoever does not have the newer ring changes nothing.
        assert!(Records::below(other.records(), u32::MAX, None, 9).await.unwrap().len() == 1);
    }));
    let late = world.send(&engine, Some(1)).await;
    assert!(matches!(late, Err(CustodianError::Outdated)), "{late:?}");
    let row = world.store.records.get(world.record).await.unwrap().unwrap();
    assert_eq!((row.sequence, row.server_key), (2, 2), "re-wrapped, and not replaced");
    // A process with the older ring is told so, and destroys nothing.
    let key = UserKey::generate(&mut OsRng);
    assert!(matches!(engine.enrol(id("bob"), &key, Epoch::FIRST, None).await, Err(CustodianError::Outdated)));
    assert!(world.store.users.get(id("bob")).await.unwrap().is_none());
    engine.install(engine.rotated().unwrap()).unwrap();
}

#[tokio::test]
async fn an_older_ring_rewraps_nothing() {
    let world = World::new().await;
    let (engine, other) = (world.restart(), world.restart());
    for _ in 0..2 {
        engine.install(engine.rotated().unwrap()).unwrap();
    }
    engine.rewrap_step(&mut RewrapJob::default(), 1).await.unwrap();
    other.install(other.rotated().unwrap()).unwrap();
    let mut job = RewrapJob::default();
    let refused = loop {
        match other.rewrap_step(&mut job, 1).await {
            Ok(more) => assert!(more, "it cannot end well"),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, CustodianError::Outdated), "{refused:?}");
}

#[tokio::test]
async fn the_next_of_a_name_inherits_nothing_that_was_on_its_way() {
    let world = World::new().await;
    let (engine, other) = (world.restart(), world.restart());
    let (alice, sealed) = (id("alice"), Seal::to(&[&world.alice.up()]).bytes(b"hers").unwrap());
    let begin = async || {
        let mut receiving = engine.receive(alice).await.unwrap();
        receiving.write(&sealed).await.unwrap();
        receiving
    };
    let another = async |engine: &Engine| {
        engine.erase(alice).await.unwrap();
        engine.enrol(alice, &UserKey::generate(&mut OsRng), Epoch::FIRST, None).await.unwrap();
    };
    // Between the last byte and the end.
    let early = begin().await;
    another(&engine).await;
    assert!(matches!(early.finish(NOW).await, Err(CustodianError::UnknownUser)));
    // Between the last look and the store.
    let late = World::new().await;
    let (engine, again) = (late.restart(), late.restart());
    let mut receiving = engine.receive(alice).await.unwrap();
    receiving.write(&Seal::to(&[&late.alice.up()]).bytes(b"hers").unwrap()).await.unwrap();
    *late.store.meanwhile.lock().unwrap() = Some(Box::pin(async move {
        again.erase(alice).await.unwrap();
        again.enrol(alice, &UserKey::generate(&mut OsRng), Epoch::FIRST, None).await.unwrap();
    }));
    assert!(matches!(receiving.finish(NOW).await, Err(CustodianError::UnknownUser)));
    for store in [&world.store, &late.store] {
        assert_eq!(store.records.owned_by(alice, None, 9).await.unwrap(), []);
    }
    drop(other);
}

/// A change of the row before the erasure comes after the new enrolment: the destroyed key does not come back.
#[tokio::test]
async fn an_erased_key_does_not_come_back() {
    let world = World::new().await;
    let engine: Custodian<_, _> = world.restart();
    let alice = id("alice");
    let old = world.store.users.get(alice).await.unwrap().unwrap();
    engine.erase(alice).await.unwrap();
    let key = UserKey::generate(&mut OsRng);
    engine.enrol(alice, &key, Epoch::FIRST, None).await.unwrap();
    let late = symbolon_envelope::UserKeyRow { revision: 2, ..old };
    let outcome = world.store.users.put(late, Some(1)).await.unwrap();
    assert_eq!(outcome, symbolon_envelope::Change::Conflict(Some(1)));
    let sealed = Seal::to(&[&key.up()]).bytes(b"mine").unwrap();
    let mut receiving = engine.receive(alice).await.unwrap();
    receiving.write(&sealed).await.unwrap();
    let record = receiving.finish(NOW).await.unwrap().record;
    let delivery = engine.deliver(record, alice).await.unwrap();
    let payload = engine.read(&delivery.payload, 0, 9999).await.unwrap();
    let sealed = [&delivery.header[..], &payload].concat();
    assert_eq!(open(&key.down(), Expect::context(), &sealed).unwrap().plaintext(), b"mine");
}
