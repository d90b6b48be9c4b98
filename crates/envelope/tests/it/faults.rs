//! A store that fails at every point, before or after the change: what was readable stays readable, as it was before or
//! as it is after, and a repetition finishes the work.

use core::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use symbolon_envelope::{
    Change, Custodian, CustodianError, Expect, MemoryRecords, MemoryUpload, MemoryUserKeys, PayloadId,
    Record, RecordId, Records, RewrapJob, Seal, ServerKeys, Upload, UserKey, UserKeyRow, UserKeyStore,
    UserParameters, open,
};
use symbolon_keys::{Epoch, Id, OsRng, UnixTime};

use crate::support::{bytes, id};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const DOCUMENT: usize = 150_000;

#[derive(Debug)]
pub struct Crashed;

impl fmt::Display for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("crashed")
    }
}

impl core::error::Error for Crashed {}

/// What happens while a record is on its way into the store.
pub type Meanwhile = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Fails at one step, and at all that follow: the process is dead.
#[derive(Clone, Default)]
pub struct Faulty {
    pub records: Arc<MemoryRecords>,
    pub users: Arc<MemoryUserKeys>,
    /// Steps until the failure; each change is two, one before it and one after.
    left: Arc<AtomicI64>,
    pub meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

impl Faulty {
    fn step(&self) -> Result<(), Crashed> {
        if self.left.fetch_sub(1, Ordering::Relaxed) > 0 { Ok(()) } else { Err(Crashed) }
    }

    async fn around<T>(
        &self,
        change: impl Future<Output = Result<T, core::convert::Infallible>>,
    ) -> Result<T, Crashed> {
        self.step()?;
        let Ok(done) = change.await;
        self.step()?;
        Ok(done)
    }
}

pub struct FaultyUpload(Faulty, MemoryUpload);

impl Upload for FaultyUpload {
    type Error = Crashed;

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Crashed> {
        self.0.step()?;
        let Ok(()) = self.1.write(bytes).await;
        Ok(())
    }
}

impl Records for Faulty {
    type Error = Crashed;
    type Upload = FaultyUpload;

    async fn upload(&self, id: PayloadId) -> Result<FaultyUpload, Crashed> {
        let Ok(upload) = self.records.upload(id).await;
        Ok(FaultyUpload(self.clone(), upload))
    }
    async fn put(
        &self,
        row: Record,
        payload: FaultyUpload,
        replaces: Option<u64>,
    ) -> Result<Change, Crashed> {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
        }
        self.around(self.records.put(row, payload.1, replaces)).await
    }
    async fn get(&self, id: RecordId) -> Result<Option<Record>, Crashed> {
        let Ok(row) = self.records.get(id).await;
        Ok(row)
    }
    async fn read(&self, id: PayloadId, offset: u64, max: usize) -> Result<Option<Vec<u8>>, Crashed> {
        let Ok(bytes) = self.records.read(id, offset, max).await;
        Ok(bytes)
    }
    async fn replace_header(
        &self,
        id: RecordId,
        payload: PayloadId,
        at: u64,
        header: Vec<u8>,
        key: u32,
    ) -> Result<Change, Crashed> {
        self.around(self.records.replace_header(id, payload, at, header, key)).await
    }
    async fn require(&self, server_key: u32) -> Result<(), Crashed> {
        self.around(Records::require(&*self.records, server_key)).await
    }
    async fn delete(&self, id: RecordId, owner: Id) -> Result<bool, Crashed> {
        self.around(self.records.delete(id, owner)).await
    }
    async fn owned_by(
        &self,
        owner: Id,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<Record>, Crashed> {
        let Ok(rows) = self.records.owned_by(owner, after, limit).await;
        Ok(rows)
    }
    async fn below(
        &self,
        version: u32,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<Record>, Crashed> {
        let Ok(rows) = Records::below(&*self.records, version, after, limit).await;
        Ok(rows)
    }
    async fn grant(&self, id: RecordId, owner: Id, user: Id) -> Result<bool, Crashed> {
        self.around(self.records.grant(id, owner, user)).await
    }
    async fn revoke(&self, id: RecordId, owner: Id, user: Id) -> Result<bool, Crashed> {
        self.around(self.records.revoke(id, owner, user)).await
    }
    async fn granted(&self, id: RecordId, user: Id) -> Result<bool, Crashed> {
        let Ok(granted) = self.records.granted(id, user).await;
        Ok(granted)
    }
    async fn grantees(&self, id: RecordId) -> Result<Vec<Id>, Crashed> {
        let Ok(users) = self.records.grantees(id).await;
        Ok(users)
    }
    async fn granted_to(
        &self,
        user: Id,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<RecordId>, Crashed> {
        let Ok(ids) = self.records.granted_to(user, after, limit).await;
        Ok(ids)
    }
}

impl UserKeyStore for Faulty {
    type Error = Crashed;

    async fn put(&self, row: UserKeyRow, replaces: Option<u64>) -> Result<Change, Crashed> {
        self.around(self.users.put(row, replaces)).await
    }
    async fn require(&self, server_key: u32) -> Result<(), Crashed> {
        self.around(UserKeyStore::require(&*self.users, server_key)).await
    }
    async fn get(&self, user: Id) -> Result<Option<UserKeyRow>, Crashed> {
        let Ok(row) = self.users.get(user).await;
        Ok(row)
    }
    async fn delete(&self, user: Id) -> Result<bool, Crashed> {
        self.around(self.users.delete(user)).await
    }
    async fn below(&self, version: u32, after: Option<Id>, limit: usize) -> Result<Vec<UserKeyRow>, Crashed> {
        let Ok(rows) = UserKeyStore::below(&*self.users, version, after, limit).await;
        Ok(rows)
    }
}

pub type Engine = Custodian<Faulty, Faulty>;

pub struct World {
    pub store: Faulty,
    /// The export of the ring, as it is kept beside the store: what a restart begins with.
    ring: Vec<u8>,
    root: UserKey,
    pub alice: UserKey,
    pub record: RecordId,
}

impl World {
    pub async fn new() -> Self {
        let (root, alice) = (UserKey::generate(&mut OsRng), UserKey::generate(&mut OsRng));
        let ring = ServerKeys::generate(&mut OsRng).export(&[&root.local()], &mut OsRng).unwrap();
        let record = RecordId::generate(&mut OsRng);
        let world = Self { store: Faulty::default(), ring, root, alice, record };
        let engine = world.restart();
        engine.enrol(id("alice"), &world.alice, Epoch::FIRST, None).await.unwrap();
        world.send(&engine, None).await.unwrap();
        world
    }

    /// Another process on the same store, which does not fail until it is told to.
    pub fn restart(&self) -> Engine {
        self.store.left.store(i64::MAX, Ordering::Relaxed);
        let ring = ServerKeys::import(&[&self.root.local()], &self.ring).unwrap();
        Engine::new(id("example"), ring, self.store.clone(), self.store.clone())
    }

    pub async fn send(&self, engine: &Engine, replaces: Option<u64>) -> Result<(), CustodianError> {
        let sealed = Seal::to(&[&self.alice.up()]).bytes(&bytes(DOCUMENT)).unwrap();
        let mut receiving = engine.receive(id("alice")).await?.record(self.record);
        if let Some(sequence) = replaces {
            receiving = receiving.replacing(sequence);
        }
        receiving.write(&sealed).await?;
        receiving.finish(NOW).await.map(|_| ())
    }

    /// Opens the record with Alice's key, or another that may be hers by now.
    pub async fn readable(&self, engine: &Engine, others: &[UserKey]) {
        let delivery = engine.deliver(self.record, id("alice")).await.unwrap();
        let payload = engine.read(&delivery.payload, 0, usize::MAX).await.unwrap();
        let sealed = [&delivery.header[..], &payload].concat();
        let mut keys = others.iter().chain([&self.alice]);
        let opened = keys.find_map(|key| open(&key.down(), Expect::context(), &sealed).ok());
        assert!(opened.unwrap().plaintext() == bytes(DOCUMENT));
    }
}

/// Runs `work` with a crash at its first step, its second, and so on, until it goes through without one; after each
/// crash a restarted engine must read the record, and finish the work.
async fn at_every_point(
    mut work: impl AsyncFnMut(&mut World, &Engine) -> Result<(), CustodianError>,
    keys: impl Fn() -> Vec<UserKey>,
) -> i64 {
    let mut steps = 0;
    loop {
        let mut world = World::new().await;
        let engine = world.restart();
        world.store.left.store(steps, Ordering::Relaxed);
        let outcome = work(&mut world, &engine).await;
        let crashed = matches!(outcome, Err(CustodianError::Store(_)));
        assert!(crashed || outcome.is_ok(), "{outcome:?}");
        drop(engine);

        let engine = world.restart();
        let others = keys();
        world.readable(&engine, &others).await;
        let again = work(&mut world, &engine).await;
        assert!(!matches!(again, Err(CustodianError::Store(_))), "a repetition meets no crash");
        world.readable(&engine, &others).await;
        if !crashed {
            return steps;
        }
        steps += 1;
    }
}

#[tokio::test]
async fn storing_and_sealing_anew() {
    let replace = async |world: &mut World, engine: &Engine| match world.send(engine, Some(1)).await {
        // Done before the crash.
        Err(CustodianError::Conflict(Some(2))) => Ok(()),
        outcome => outcome,
    };
    assert!(at_every_point(replace, Vec::new).await >= 4);
    let anew = async |world: &mut World, engine: &Engine| {
        engine.reencrypt(world.record, id("alice"), NOW).await.map(|_| ())
    };
    assert!(at_every_point(anew, Vec::new).await >= 4);
}

#[tokio::test]
async fn rotating_the_server_key() {
    let rotate = async |world: &mut World, engine: &Engine| {
        let next = engine.rotated()?;
        // Durable before it is used.
        world.ring = next.export(&[&world.root.local()], &mut OsRng)?;
        engine.install(next)?;
        let mut job = RewrapJob::default();
        while engine.rewrap_step(&mut job, 1).await? {}
        assert_eq!(job.failures, 0);
        let row = engine.records().records.get(world.record).await;
        assert_eq!(row.unwrap().unwrap().server_key, engine.rotated()?.version() - 1);
        Ok(())
    };
    assert!(at_every_point(rotate, Vec::new).await >= 4);
}

#[tokio::test]
async fn changing_a_passphrase() {
    let new = || UserKey::from(symbolon_keys::Secret::from([9; 32]));
    let change = async |world: &mut World, engine: &Engine| {
        let parameters = UserParameters::generate(Epoch::new(1), &mut OsRng);
        let sealed = world.alice.change(id("example"), id("alice"), &new(), &parameters, &mut OsRng)?;
        match engine.change_key(id("alice"), &sealed).await {
            // Done before the crash: the server has the new key, and the old one opens nothing more.
            Err(CustodianError::Open(_)) => Ok(()),
            outcome => outcome.map(|_| ()),
        }
    };
    assert!(at_every_point(change, || vec![new()]).await >= 2);
}

#[tokio::test]
async fn granting_and_revoking() {
    let bob = UserKey::generate(&mut OsRng);
    let share = async |world: &mut World, engine: &Engine| {
        match engine.enrol(id("bob"), &bob, Epoch::FIRST, None).await {
            Ok(()) | Err(CustodianError::AlreadyEnrolled) => {}
            Err(error) => return Err(error),
        }
        engine.grant(world.record, id("alice"), id("bob")).await?;
        assert!(engine.deliver(world.record, id("bob")).await.is_ok());
        engine.revoke(world.record, id("alice"), id("bob")).await?;
        assert!(engine.deliver(world.record, id("bob")).await.is_err());
        Ok(())
    };
    assert!(at_every_point(share, Vec::new).await >= 6);
}

/// A store that failed for a moment: the same job goes on, and leaves nothing out.
#[tokio::test]
async fn a_job_goes_on_after_a_failure() {
    for steps in 0.. {
        let world = World::new().await;
        let engine = world.restart();
        engine.install(engine.rotated().unwrap()).unwrap();
        world.store.left.store(steps, Ordering::Relaxed);
        let (mut job, mut failures) = (RewrapJob::default(), 0);
        loop {
            match engine.rewrap_step(&mut job, 10).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => {
                    failures += 1;
                    world.store.left.store(i64::MAX, Ordering::Relaxed);
                }
            }
        }
        let store = &world.store;
        assert_eq!(Records::below(store, 2, None, 10).await.unwrap(), []);
        assert_eq!(UserKeyStore::below(store, 2, None, 10).await.unwrap(), []);
        if failures == 0 {
            assert_eq!((job.users, job.records), (1, 1));
            // Another rotation: the same job starts over.
            world.store.left.store(i64::MAX, Ordering::Relaxed);
            engine.install(engine.rotated().unwrap()).unwrap();
            while engine.rewrap_step(&mut job, 10).await.unwrap() {}
            assert_eq!((job.users, job.records), (2, 2));
            assert!(steps >= 4);
            break;
        }
    }
}
