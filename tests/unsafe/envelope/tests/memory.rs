//! What a stream takes from the heap: the same for every length, and at most 8 MiB for its two ends together.
//!
//! `SYMBOLON_STREAM_LEN` sets how many bytes go through; run with `--nocapture`, it prints what was taken.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use symbolon_envelope::{HeaderError, HeaderReader, Identity, MAX_THREADS, Open, Recipient, Rewrap, Seal, UserKey};
use symbolon_keys::{Backend, OsRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// For both ends.
const LIMIT: usize = 8 << 20;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// One test at a time: the bytes are everybody's.
static TURN: Mutex<()> = Mutex::new(());

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let bytes = BYTES.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(bytes, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

/// The most bytes of the heap while `f` runs, beyond those before.
fn peak(name: &str, f: impl FnOnce()) -> usize {
    let before = BYTES.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    f();
    let peak = PEAK.load(Ordering::Relaxed) - before;
    println!("{name}: {} KiB", peak >> 10);
    peak
}

fn len() -> u64 {
    std::env::var("SYMBOLON_STREAM_LEN").map_or(48 << 20, |len| len.parse().unwrap())
}

#[test]
fn streams_of_any_length_take_the_same() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = UserKey::generate(&mut OsRng);
    let (up, down) = (key.up(), key.down());
    let (recipients, identities): ([&dyn Recipient; 1], [&dyn Identity; 1]) = ([&up], [&down]);
    for (threads, backend) in [1, 2, MAX_THREADS].into_iter().flat_map(|n| Backend::ALL.iter().map(move |b| (n, *b))) {
        let through = |len: u64| {
            let (sealed, to) = io::pipe().unwrap();
            let (mut rewrapped, mut again) = io::pipe().unwrap();
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut sealer = Seal::to(&recipients).backend(backend).threads(threads).writer(to).unwrap();
                    sealer.copy_from(&mut io::repeat(7).take(len)).unwrap();
                    sealer.finish().unwrap();
                });
                let mut sealed = sealed;
                scope.spawn(move || {
                    Rewrap::from(&up).to(&down).copy(&mut sealed, &mut again).unwrap();
                });
                let mut opener =
                    Open::with(&identities).backend(backend).threads(threads).reader(&mut rewrapped).unwrap();
                assert_eq!(opener.copy_to(&mut io::sink()).unwrap(), len);
            });
        };
        through(0);
        let taken = peak(&format!("{backend}, {threads} threads"), || through(len()));
        assert!(taken <= LIMIT, "{taken}");
        let twice = peak("twice that", || through(2 * len()));
        assert!(twice <= taken + (64 << 10), "{twice}: it grows with the length");
    }
}

#[test]
fn so_do_asynchronous_ones() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let key = UserKey::generate(&mut OsRng);
    let up = key.up();
    let through = async |len: u64| {
        let (to, from) = tokio::io::duplex(10_000);
        let write = async {
            let mut sealer = Seal::to(&[&up]).writer_async(to).await.unwrap();
            tokio::io::copy(&mut tokio::io::repeat(7).take(len), &mut sealer).await.unwrap();
            sealer.shutdown().await.unwrap();
        };
        let read = async {
            let mut opener = Open::with(&[&up]).reader_async(from).await.unwrap();
            assert_eq!(tokio::io::copy(&mut opener, &mut tokio::io::sink()).await.unwrap(), len);
        };
        tokio::join!(write, read);
    };
    let taken = peak("asynchronous", || runtime.block_on(through(len() / 2)));
    assert!(taken <= 2 << 20, "{taken}");
}

#[test]
fn long_headers_are_refused_with_little_memory() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let begins = ["age-encryption.org/v1\n-> ", "age-encryption.org/v1\n-> x\n", "", "age-encryption.org/"];
    for begin in begins {
        let mut given = 0;
        let taken = peak("a line without an end", || {
            let mut reader = HeaderReader::new();
            reader.push(begin.as_bytes()).unwrap();
            let refused = (0..1 << 20).find_map(|_| {
                given += 1024;
                reader.push(&[b'a'; 1024]).err()
            });
            assert!(matches!(
                refused,
                Some(HeaderError::TooLong | HeaderError::NotAge | HeaderError::Malformed)
            ));
        });
        assert!(taken <= 256 << 10 && given <= 66 << 10, "{taken} for {given}");
    }
}
