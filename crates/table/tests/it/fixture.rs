//! A small world: a directory in memory, users with keys, and a clock that tests turn.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use rand_core::{TryCryptoRng, TryRng};
use symbolon_keys::{Backend, Epoch, Id, OsRng, RootKey, Secret, SigningKey, TableSecretKey, UnixTime};
use symbolon_table::{
    Directory, DirectoryServer, MemoryStore, Policy, PublicKeys, Record, RegisterError, Statement,
    StoreError, Table,
};

/// When every test begins.
pub(crate) const START: u64 = 1_800_000_000;
pub(crate) const DAY: u64 = 24 * 60 * 60;
/// Long after every test.
pub(crate) const LATER: u64 = START + 3650 * DAY;

pub(crate) fn id(text: &str) -> Id {
    text.parse().unwrap()
}

pub(crate) fn at(seconds: u64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

/// A user's secret keys and newest record.
pub(crate) struct User {
    pub(crate) id: Id,
    pub(crate) seed: Secret<32>,
    pub(crate) table: TableSecretKey,
    pub(crate) signing: SigningKey,
    pub(crate) record: Record,
}

impl User {
    pub(crate) fn new(name: &str, now: u64) -> Self {
        let (seed, table, signing) = keys();
        let keys = PublicKeys::new(*table.public_key(), signing.verifying_key());
        let record = Statement::new(id(name), keys, at(now), at(LATER)).first(&signing).unwrap();
        Self { id: id(name), seed, table, signing, record }
    }

    /// The same user with new keys, one epoch on.
    pub(crate) fn next(&self, now: u64) -> Self {
        let (seed, table, signing) = keys();
        let keys = PublicKeys::new(*table.public_key(), signing.verifying_key());
        let said = Statement::new(self.id, keys, at(now), at(LATER));
        let record = said.next(&self.record, &self.signing, &signing).unwrap();
        Self { id: self.id, seed, table, signing, record }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.record.epoch()
    }

    /// The table key once more: a table takes it for its own.
    pub(crate) fn key(&self) -> TableSecretKey {
        TableSecretKey::from_secret(Backend::best(), Secret::from(*self.seed.expose()))
    }
}

fn keys() -> (Secret<32>, TableSecretKey, SigningKey) {
    let seed = Secret::generate(&mut OsRng);
    let table = TableSecretKey::from_secret(Backend::best(), Secret::from(*seed.expose()));
    (seed, table, SigningKey::generate(&mut OsRng))
}

/// A directory that counts what it is asked, and fails when told to.
pub(crate) struct Wire {
    pub(crate) server: DirectoryServer<MemoryStore>,
    pub(crate) asked: AtomicUsize,
    pub(crate) down: AtomicBool,
    /// What each answer waits for, where a test wants callers to overlap.
    pub(crate) gate: tokio::sync::Semaphore,
}

impl Wire {
    async fn pass(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.gate.add_permits(1);
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::retryable("no route to the directory"));
        }
        Ok(())
    }
}

impl Directory for Wire {
    async fn lookup(&self, ids: &[Id]) -> Result<Vec<Option<Record>>, StoreError> {
        self.pass().await?;
        self.server.lookup(ids).await
    }

    async fn history(&self, id: &Id, from: Epoch) -> Result<Vec<Record>, StoreError> {
        self.pass().await?;
        self.server.history(id, from).await
    }
}

/// The directory and the clock.
pub(crate) struct World {
    pub(crate) wire: Arc<Wire>,
    pub(crate) store: MemoryStore,
    clock: Arc<AtomicU64>,
}

impl World {
    pub(crate) fn new() -> Self {
        let store = MemoryStore::new();
        let secret = RootKey::from(Secret::from([7; 32]));
        let wire = Wire {
            server: DirectoryServer::with_secret(store.clone(), secret, Backend::best()),
            asked: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            gate: tokio::sync::Semaphore::new(1),
        };
        Self { wire: Arc::new(wire), store, clock: Arc::new(AtomicU64::new(START)) }
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(crate) fn wait(&self, time: Duration) {
        self.clock.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    /// Sets the clock, back too.
    pub(crate) fn set(&self, now: u64) {
        self.clock.store(now, Ordering::SeqCst);
    }

    pub(crate) fn down(&self, down: bool) {
        self.wire.down.store(down, Ordering::SeqCst);
    }

    /// How often the directory was asked since the last call.
    pub(crate) fn asked(&self) -> usize {
        self.wire.asked.swap(0, Ordering::SeqCst)
    }

    pub(crate) async fn register(&self, user: &User) -> Result<(), RegisterError> {
        let challenge = self.wire.server.begin(&user.id, at(self.now())).await?;
        let registration = challenge.answer(user.record.clone(), &user.table, &user.signing)?;
        self.wire.server.register(&registration, at(self.now())).await
    }

    /// A new user, registered.
    pub(crate) async fn user(&self, name: &str) -> User {
        let user = User::new(name, self.now());
        self.register(&user).await.unwrap();
        user
    }

    /// The user with new keys, registered.
    pub(crate) async fn change(&self, user: &User) -> User {
        let next = user.next(self.now());
        self.register(&next).await.unwrap();
        next
    }

    pub(crate) fn table(&self, user: &User) -> Table<Arc<Wire>> {
        self.table_with(user, Policy::default())
    }

    pub(crate) fn table_with(&self, user: &User, policy: Policy) -> Table<Arc<Wire>> {
        let clock = Arc::clone(&self.clock);
        Table::builder(user.id, user.key(), Arc::clone(&self.wire))
            .epoch(user.epoch())
            .policy(policy)
            .clock(move || at(clock.load(Ordering::SeqCst)))
            .build()
    }
}

/// Gives out the bytes it was made of, for vectors.
pub(crate) struct Fixed(pub(crate) Vec<u8>);

impl TryRng for Fixed {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unimplemented!("vectors draw bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unimplemented!("vectors draw bytes")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.copy_from_slice(&self.0.drain(..bytes.len()).collect::<Vec<u8>>());
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}
