//! Any sequence of steps against a model of who can open what.
//!
//! Each step is two bytes: what, and with which user, other user and record.

use core::pin::pin;
use core::task::{Context as TaskContext, Poll, Waker};

use symbolon_envelope::{
    Custodian, CustodianError, Expect, MemoryRecords, MemoryUserKeys, RecordId, Records, RewrapJob, Seal,
    ServerKeys, UserKey, UserParameters, open,
};
use symbolon_keys::{Epoch, Id, OsRng, UnixTime};

type Engine = Custodian<MemoryRecords, MemoryUserKeys>;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const NAMES: [&str; 3] = ["alice", "bob", "carol"];
const RECORDS: usize = 4;

#[derive(Default)]
struct Model {
    users: [Option<User>; 3],
    records: [Option<Document>; RECORDS],
}

struct User {
    key: UserKey,
    epoch: u64,
    active: bool,
}

#[derive(Clone)]
struct Document {
    id: RecordId,
    owner: usize,
    text: Vec<u8>,
    sequence: u64,
    granted: [bool; 3],
}

/// Stores in memory never wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a store in memory waited"),
    }
}

fn id(user: usize) -> Id {
    NAMES[user].parse().unwrap()
}

pub(crate) fn run(data: &[u8]) {
    let realm = "example".parse().unwrap();
    let ring = ServerKeys::generate(&mut OsRng);
    let engine = Engine::new(realm, ring, MemoryRecords::default(), MemoryUserKeys::default());
    let mut model = Model::default();
    for (number, [what, with]) in data.as_chunks::<2>().0.iter().enumerate() {
        let (user, other) = (usize::from(with & 3) % 3, usize::from(with >> 2 & 3) % 3);
        let slot = usize::from(with >> 4) % RECORDS;
        step(&engine, &mut model, what % 13, user, other, slot, number);
        check(&engine, &model);
    }
}

fn step(engine: &Engine, model: &mut Model, what: u8, user: usize, other: usize, slot: usize, number: usize) {
    match what {
        0 => enrol(engine, model, user),
        1 | 2 => send(engine, model, user, slot, number),
        3 => grant(engine, model, user, other, slot),
        4 => revoke(engine, model, user, other, slot),
        5 => engine.install(engine.rotated().unwrap()).unwrap(),
        6 => rewrap(engine, model),
        7 => reencrypt(engine, model, user, slot),
        8 => change(engine, model, user),
        9 | 10 => switch(engine, model, user, what == 10),
        11 => delete(engine, model, user, slot),
        _ if number.is_multiple_of(5) => erase(engine, model, user),
        _ => {}
    }
}

fn enrol(engine: &Engine, model: &mut Model, user: usize) {
    let key = UserKey::generate(&mut OsRng);
    let enrolled = now(engine.enrol(id(user), &key, Epoch::FIRST, None));
    assert_eq!(enrolled.is_ok(), model.users[user].is_none());
    model.users[user].get_or_insert(User { key, epoch: 0, active: true });
}

fn send(engine: &Engine, model: &mut Model, user: usize, slot: usize, number: usize) {
    let text = format!("document {number}").into_bytes();
    let old = model.records[slot].clone();
    // Somebody without a key sends under a key of their own making.
    let own = UserKey::generate(&mut OsRng);
    let key = model.users[user].as_ref().map_or(&own, |user| &user.key);
    let sealed = Seal::to(&[&key.up()]).bytes(&text).unwrap();
    let outcome = now(async {
        let mut receiving = engine.receive(id(user)).await?;
        if let Some(old) = &old {
            receiving = receiving.record(old.id).replacing(old.sequence);
        }
        receiving.write(&sealed).await?;
        receiving.finish(NOW).await
    });
    if !model.users[user].as_ref().is_some_and(|user| user.active) {
        assert!(matches!(outcome, Err(CustodianError::UnknownUser | CustodianError::Disabled)));
        return;
    }
    if old.as_ref().is_some_and(|old| old.owner != user) {
        assert!(matches!(outcome, Err(CustodianError::NoSuchRecord)), "{outcome:?}");
        return;
    }
    let receipt = outcome.unwrap();
    let granted = old.map_or([false; 3], |old| old.granted);
    let (record, sequence) = (receipt.record, receipt.sequence);
    model.records[slot] = Some(Document { id: record, owner: user, text, sequence, granted });
}

fn of(model: &mut Model, slot: usize, user: usize) -> Option<&mut Document> {
    model.records[slot].as_mut().filter(|record| record.owner == user)
}

fn grant(engine: &Engine, model: &mut Model, user: usize, other: usize, slot: usize) {
    let known = model.users[other].is_some();
    let Some(id_of) = model.records[slot].as_ref().map(|record| record.id) else { return };
    let outcome = now(engine.grant(id_of, id(user), id(other)));
    let mine = of(model, slot, user).filter(|_| known);
    assert_eq!(outcome.is_ok(), mine.is_some());
    if let Some(record) = mine {
        record.granted[other] = true;
    }
}

fn revoke(engine: &Engine, model: &mut Model, user: usize, other: usize, slot: usize) {
    let Some(id_of) = model.records[slot].as_ref().map(|record| record.id) else { return };
    let outcome = now(engine.revoke(id_of, id(user), id(other)));
    match of(model, slot, user) {
        Some(record) => assert_eq!(outcome.unwrap(), core::mem::take(&mut record.granted[other])),
        None => assert!(outcome.is_err()),
    }
}

/// Moves everything to the newest version, and destroys all others.
fn rewrap(engine: &Engine, model: &mut Model) {
    engine.install(engine.rotated().unwrap()).unwrap();
    let mut job = RewrapJob::default();
    while now(engine.rewrap_step(&mut job, 2)).unwrap() {}
    assert_eq!((job.conflicts, job.failures), (0, 0));
    model.records.iter_mut().flatten().for_each(|record| record.sequence += 1);
    let mut next = engine.rotated().unwrap();
    next.retire(next.version() - 1).unwrap();
    next.destroy_retired();
    engine.install(next).unwrap();
}

fn reencrypt(engine: &Engine, model: &mut Model, user: usize, slot: usize) {
    let Some(id_of) = model.records[slot].as_ref().map(|record| record.id) else { return };
    let outcome = now(engine.reencrypt(id_of, id(user), NOW));
    let mine = of(model, slot, user);
    assert_eq!(outcome.is_ok(), mine.is_some());
    if let Some(record) = mine {
        record.sequence += 1;
    }
}

fn change(engine: &Engine, model: &mut Model, user: usize) {
    let Some(known) = &mut model.users[user] else { return };
    let new = UserKey::generate(&mut OsRng);
    let parameters = UserParameters::generate(Epoch::new(known.epoch + 1), &mut OsRng);
    let sealed = known.key.change(engine.realm(), id(user), &new, &parameters, &mut OsRng).unwrap();
    let outcome = now(engine.change_key(id(user), &sealed));
    assert_eq!(outcome.is_ok(), known.active);
    if known.active {
        *known = User { key: new, epoch: known.epoch + 1, active: true };
    }
}

fn switch(engine: &Engine, model: &mut Model, user: usize, on: bool) {
    let outcome = if on { now(engine.enable(id(user))) } else { now(engine.disable(id(user))) };
    assert_eq!(outcome.is_ok(), model.users[user].is_some());
    if let Some(user) = &mut model.users[user] {
        user.active = on;
    }
}

fn delete(engine: &Engine, model: &mut Model, user: usize, slot: usize) {
    let Some(id_of) = model.records[slot].as_ref().map(|record| record.id) else { return };
    let outcome = now(engine.delete(id_of, id(user)));
    assert_eq!(outcome.is_ok(), of(model, slot, user).is_some());
    if outcome.is_ok() {
        model.records[slot] = None;
    }
}

fn erase(engine: &Engine, model: &mut Model, user: usize) {
    now(engine.erase(id(user))).unwrap();
    model.users[user] = None;
    for record in &mut model.records {
        *record = record.take().filter(|record| record.owner != user);
    }
    // Whoever has the name next finds nothing that was granted to this user.
    model.records.iter_mut().flatten().for_each(|record| record.granted[user] = false);
}

/// Everybody asks for everything, and gets exactly what the model says.
fn check(engine: &Engine, model: &Model) {
    for record in model.records.iter().flatten() {
        for (user, known) in model.users.iter().enumerate() {
            let delivery = now(engine.deliver(record.id, id(user)));
            let may = record.owner == user || record.granted[user];
            let Some(known) = known.as_ref().filter(|known| known.active && may) else {
                assert!(delivery.is_err(), "{} got what is not theirs", NAMES[user]);
                continue;
            };
            let delivery = delivery.unwrap();
            let payload = now(engine.read(&delivery.payload, 0, 10_000)).unwrap();
            let sealed = [&delivery.header[..], &payload].concat();
            let expect =
                Expect::context().record(record.id).owner(id(record.owner)).sequence(record.sequence);
            let opened = open(&known.key.down(), expect, &sealed).unwrap();
            assert_eq!(opened.plaintext(), record.text);
            for (_, stranger) in model.users.iter().enumerate().filter(|(other, _)| *other != user) {
                let key = stranger.as_ref().map(|stranger| &stranger.key);
                assert!(key.is_none_or(|key| open(&key.down(), Expect::anything(), &sealed).is_err()));
            }
        }
    }
    let stored = model.records.iter().flatten().map(|record| record.id);
    for id_of in stored {
        assert!(now(engine.records().get(id_of)).unwrap().is_some());
    }
}
