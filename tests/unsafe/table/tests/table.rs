//! What a table leaves behind and what it takes: secrets of peers are gone from the heap when an entry leaves the table
//! in whatever way; a hit allocates its output; a peer takes so many bytes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use symbolon_keys::{Backend, Id, OsRng, RootKey, Secret, SigningKey, TableSecretKey, UnixTime};
use symbolon_table::{
    DirectoryServer, MemoryStore, PairRoot, Policy, PublicKeys, Record, Statement, Table, TableError,
};

/// As many bytes of a secret as need not come by chance.
const WINDOW: usize = 12;
const MAX_SECRETS: usize = 64;
/// An id takes as many bytes as it has: those of the peers that are counted have so many.
const ID_LEN: usize = 20;

struct Looking;

#[global_allocator]
static ALLOCATOR: Looking = Looking;

static LOOKING: AtomicBool = AtomicBool::new(false);
static FOUND: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// What is looked for: a fixed buffer, since the allocator must not allocate. Written only while nobody looks.
static mut SECRETS: [[u8; WINDOW]; MAX_SECRETS] = [[0; WINDOW]; MAX_SECRETS];
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// One test at a time.
static TURN: Mutex<()> = Mutex::new(());

fn holds_a_secret(block: &[u8]) -> bool {
    let secrets = &raw const SECRETS;
    // SAFETY: written by `watch` only, before it sets `LOOKING`.
    let secrets = &unsafe { &*secrets }[..COUNT.load(Ordering::SeqCst)];
    block.windows(WINDOW).any(|window| secrets.iter().any(|secret| window == secret))
}

// SAFETY: all is left to the system's allocator; what is freed is read first, when it is still ours to read.
unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        LIVE.fetch_add(layout.size(), Ordering::SeqCst);
        // Zeroed, so that reading all of a block later is defined and finds nothing of an earlier owner.
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::SeqCst);
        if LOOKING.load(Ordering::SeqCst) {
            // SAFETY: the block is live until the call below.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            FOUND.fetch_add(usize::from(holds_a_secret(bytes)), Ordering::SeqCst);
        }
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Runs `f` and counts the freed blocks that still held bytes of one of `secrets`: their first or their last.
fn watch<T>(secrets: &[[u8; 32]], f: impl FnOnce() -> T) -> usize {
    let parts = secrets.iter().flat_map(|secret| [&secret[..WINDOW], &secret[32 - WINDOW..]]);
    let mut count = 0;
    for part in parts {
        // SAFETY: nobody looks; `TURN` is held.
        unsafe { SECRETS[count].copy_from_slice(part) };
        count += 1;
    }
    COUNT.store(count, Ordering::SeqCst);
    FOUND.store(0, Ordering::SeqCst);
    LOOKING.store(true, Ordering::SeqCst);
    let kept = f();
    LOOKING.store(false, Ordering::SeqCst);
    drop(kept);
    FOUND.load(Ordering::SeqCst)
}

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

struct User {
    id: Id,
    seed: [u8; 32],
    signing: SigningKey,
    record: Record,
}

impl User {
    fn key(&self) -> TableSecretKey {
        TableSecretKey::from_secret(Backend::best(), Secret::from(self.seed))
    }

    fn root(&self, other: &Self) -> [u8; 32] {
        *PairRoot::agree(&self.key(), &self.record.party(), &other.record.party()).unwrap().expose()
    }
}

type Server = Arc<DirectoryServer<MemoryStore>>;

/// Registers `name`, or its next keys after `before`.
fn register(server: &Server, name: &str, before: Option<&User>) -> User {
    let now = UnixTime::now();
    let seed = *Secret::<32>::generate(&mut OsRng).expose();
    let (table, signing) =
        (TableSecretKey::from_secret(Backend::best(), Secret::from(seed)), SigningKey::generate(&mut OsRng));
    let keys = PublicKeys::new(*table.public_key(), signing.verifying_key());
    let id: Id = name.parse().unwrap();
    let said = Statement::new(id, keys, now, now.saturating_add(Duration::from_secs(1 << 30)));
    let record = match before {
        None => said.first(&signing),
        Some(before) => said.next(&before.record, &before.signing, &signing),
    };
    let record = record.unwrap();
    let challenge = ready(server.begin(&id, now)).unwrap();
    let answer = challenge.answer(record.clone(), &table, &signing).unwrap();
    ready(server.register(&answer, now)).unwrap();
    User { id, seed, signing, record }
}

fn policy(capacity: usize) -> Policy {
    let mut policy = Policy::default();
    policy.capacity = capacity;
    policy
}

#[test]
fn what_is_not_wiped_is_found() {
    let _turn = turn();
    let secret: [u8; 32] = *Secret::<32>::generate(&mut OsRng).expose();
    assert_eq!(watch(&[secret], || drop(secret.to_vec())), 1);
}

#[test]
fn entries_that_leave_the_table_are_wiped() {
    let _turn = turn();
    let server: Server = Arc::new(DirectoryServer::new(MemoryStore::new()));
    let alice = register(&server, "alice", None);
    let peers: Vec<User> = (0..24).map(|n| register(&server, &format!("peer{n}"), None)).collect();
    let roots: Vec<[u8; 32]> = peers.iter().map(|peer| alice.root(peer)).collect();

    let fill = |table: &Table<Server>, peers: &[User]| {
        peers.iter().for_each(|peer| drop(ready(table.seal(&peer.id, b"hello")).unwrap()));
        // What lies on the stack gets into padding on the heap; it is not what is looked for here.
        scrub_stack();
    };
    let table = Table::builder(alice.id, alice.key(), Arc::clone(&server)).policy(policy(8)).build();
    fill(&table, &peers[..8]);
    let evicted = watch(&roots[..8], || fill(&table, &peers[8..]));
    assert_eq!(evicted, 0, "evicted");
    assert!(table.len() <= 8);
    let forgotten = watch(&roots, || peers.iter().for_each(|peer| table.forget(&peer.id)));
    assert_eq!((forgotten, table.len()), (0, 0), "forgotten");
    fill(&table, &peers[..4]);
    assert_eq!(watch(&roots, || drop(table)), 0, "with the table");
}

/// Overwrites what earlier calls left behind.
#[inline(never)]
fn scrub_stack() {
    std::hint::black_box(&mut [0_u8; 256 << 10]);
}

#[test]
fn replaced_and_retired_secrets_are_wiped() {
    let _turn = turn();
    let server: Server = Arc::new(DirectoryServer::new(MemoryStore::new()));
    let (alice, bob) = (register(&server, "alice", None), register(&server, "bob", None));
    let newer = register(&server, "alice", Some(&alice));
    let roots = [bob.root(&alice), bob.root(&newer)];
    let clock = Arc::new(std::sync::atomic::AtomicU64::new(UnixTime::now().as_secs()));
    let table = |user: &User, clock: &Arc<std::sync::atomic::AtomicU64>| {
        let clock = Arc::clone(clock);
        Table::builder(user.id, user.key(), Arc::clone(&server))
            .epoch(user.record.epoch())
            .clock(move || UnixTime::from_secs(clock.load(Ordering::SeqCst)))
            .build()
    };
    let early = ready(table(&alice, &clock).seal(&bob.id, b"early")).unwrap();
    let bobs = table(&bob, &clock);
    let found = watch(&roots, || {
        let opened = ready(bobs.open(&early)).unwrap().accept_replays();
        assert_eq!(opened.plaintext(), b"early");
        clock.fetch_add(Policy::default().retire_after.as_secs(), Ordering::SeqCst);
        assert_eq!(ready(bobs.open(&early)).map(drop), Err(TableError::Retired));
        // The next answer of the directory sweeps what is past its date.
        ready(bobs.refresh()).unwrap();
        let key = RootKey::from(Secret::from([5; 32]));
        let snapshot = bobs.snapshot(&key).unwrap();
        table(&bob, &clock).restore(&key, &snapshot).unwrap();
    });
    assert_eq!(found, 0);
}

#[test]
fn plaintexts_are_wiped() {
    let _turn = turn();
    let server: Server = Arc::new(DirectoryServer::new(MemoryStore::new()));
    let (alice, bob) = (register(&server, "alice", None), register(&server, "bob", None));
    let secret: [u8; 32] = *Secret::<32>::generate(&mut OsRng).expose();
    let alices = Table::new(alice.id, alice.key(), Arc::clone(&server));
    let bobs = Table::new(bob.id, bob.key(), Arc::clone(&server));
    let found = watch(&[secret], || {
        let message = ready(alices.seal(&bob.id, &secret)).unwrap();
        drop(ready(bobs.open(&message)).unwrap().accept_replays());
        drop(ready(bobs.open(&message)).unwrap());
        let mut forged = message.clone();
        *forged.last_mut().unwrap() ^= 1;
        ready(bobs.open(&forged)).map(drop).unwrap_err();
        drop(symbolon_table::pad(&secret));
    });
    assert_eq!(found, 0);
}

#[test]
fn a_hit_allocates_its_output_and_no_more() {
    let _turn = turn();
    let server: Server = Arc::new(DirectoryServer::new(MemoryStore::new()));
    let (alice, bob) = (register(&server, "alice", None), register(&server, "bob", None));
    for &backend in Backend::ALL {
        let table =
            |user: &User| Table::builder(user.id, user.key(), Arc::clone(&server)).backend(backend).build();
        let (alices, bobs) = (table(&alice), table(&bob));
        let message = ready(alices.seal(&bob.id, b"hello")).unwrap();
        drop(ready(bobs.open(&message)).unwrap());
        let count = |f: &dyn Fn()| {
            let before = ALLOCATIONS.load(Ordering::SeqCst);
            f();
            ALLOCATIONS.load(Ordering::SeqCst) - before
        };
        let sealing = count(&|| drop(ready(alices.seal(&bob.id, b"hello")).unwrap()));
        let opening = count(&|| drop(ready(bobs.open(&message)).unwrap()));
        println!("{backend}: {sealing} to seal, {opening} to open");
        assert_eq!((sealing, opening), (1, 1), "{backend}");
    }
}

#[test]
fn a_peer_takes_so_many_bytes() {
    let _turn = turn();
    let server: Server = Arc::new(DirectoryServer::new(MemoryStore::new()));
    let (alice, bob) = (register(&server, "alice", None), register(&server, "bob", None));
    const PEERS: usize = 10_000;
    // One real snapshot of one peer tells the format's length; the table below is filled through `restore` as well.
    let device_key = RootKey::from(Secret::from([5; 32]));
    let small = Table::new(alice.id, alice.key(), Arc::clone(&server));
    ready(small.seal(&bob.id, b"")).unwrap();
    let snapshot = many(&small.snapshot(&device_key).unwrap(), &device_key, &alice.id, PEERS);
    drop(small);

    let before = LIVE.load(Ordering::SeqCst);
    let table = Table::builder(alice.id, alice.key(), Arc::clone(&server)).policy(policy(PEERS)).build();
    table.restore(&device_key, &snapshot).unwrap();
    let bytes = LIVE.load(Ordering::SeqCst) - before;
    let (held, each) = (table.len(), bytes / table.len());
    println!("{held} peers, {each} bytes of heap each, with ids of {ID_LEN}");
    assert!(held > PEERS * 9 / 10, "{held}");
    assert!(each <= 200, "{each}");
}

/// The snapshot of a table with `count` peers like the one of `one` (`docs/snapshot.md`).
fn many(one: &[u8], device_key: &RootKey, id: &Id, count: usize) -> Vec<u8> {
    use symbolon_keys::{OneTimeKey, label};
    let head = 1 + 2 + id.as_bytes().len() + 24 + 32;
    let salt = &one[head - 32 - 24..head - 32];
    let keys: Secret<64> = device_key.derive(label::TABLE_SNAPSHOT, &[id.as_bytes(), salt]).unwrap();
    let (key, _) = keys.split::<32, 32>();
    let (body, tag) = one[head..].split_last_chunk::<16>().unwrap();
    let mut body = body.to_vec();
    OneTimeKey::new(Backend::best(), &key).open_in_place(&one[..head], &mut body, tag).unwrap();
    let rest = &body[4 + 2 + "bob".len()..];
    let mut body = u32::try_from(count).unwrap().to_be_bytes().to_vec();
    for n in 0..count {
        let name = format!("u{n:07}@example.org");
        assert_eq!(name.len(), ID_LEN);
        body.extend_from_slice(&u16::try_from(name.len()).unwrap().to_be_bytes());
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(rest);
    }
    let tag = OneTimeKey::new(Backend::best(), &key).seal_in_place(&one[..head], &mut body).unwrap();
    [&one[..head], &body, &tag].concat()
}
