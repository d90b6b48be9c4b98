//! What a session and a listener take from the heap: nothing for a message, and a bounded amount for strangers.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use symbolon_agreement::datagram::{PacketOpener, PacketSealer};
use symbolon_agreement::net::{self, Listener, Policy};
use symbolon_agreement::{Arrival, Established, Initiator, Opened, Responder, Suite, Terms};
use symbolon_keys::{Backend, NoiseSecretKey, OsRng, UnixTime};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Allocations of this thread: the test harness has others.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}
static BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// One test at a time: the bytes are everybody's.
static TURN: Mutex<()> = Mutex::new(());

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.try_with(|calls| calls.set(calls.get() + 1)).ok();
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

const NOW: UnixTime = UnixTime::from_secs(1000);

fn ends(backend: Backend) -> (Established, Established) {
    let key = || NoiseSecretKey::generate(backend, &mut OsRng);
    let responder = Responder::new(key()).suites(&[Suite::NK]).backend(backend);
    let builder = Initiator::nk().expect(*responder.public_key()).classical().backend(backend);
    let mut i = builder.start(&mut OsRng).unwrap();
    let received = responder.receive(i.body(), None).unwrap();
    let (m2, mut ticket) = received.answer(Terms::new().port(7), NOW, &mut OsRng).unwrap();
    let (mut claim, _) = i.receive(&m2).unwrap().claim().unwrap();
    let challenged = ticket.claim(claim.body(), Arrival::Port(7), NOW, &mut OsRng).unwrap();
    let (proof, mine) = claim.answer(&challenged.message).unwrap();
    (mine, ticket.prove(challenged.path, &proof, NOW).unwrap())
}

/// Runs `f` once to warm up, then a hundred times, and returns how often that allocated.
fn allocations(mut f: impl FnMut()) -> usize {
    f();
    let before = CALLS.get();
    (0..100).for_each(|_| f());
    CALLS.get() - before
}

#[test]
fn a_message_allocates_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for &backend in Backend::ALL {
        for size in [0, 100, 16_384, 65_518] {
            let message = vec![1; size];
            let (mine, theirs) = ends(backend);
            let ((mut sealer, ..), (_, mut opener, _)) = (mine.into_session(NOW), theirs.into_session(NOW));
            let mut out = Vec::new();
            let counted = allocations(|| {
                out.clear();
                sealer.seal(&message, NOW, &mut out).unwrap();
                assert!(matches!(opener.open(&mut out[3..]).unwrap(), Opened::Last(_)));
            });
            assert_eq!(counted, 0, "records of {size} bytes, {backend}");
        }
        let (mine, theirs) = ends(backend);
        let ((mut sealer, ..), (_, mut opener, _)): ((PacketSealer, _, _), (_, PacketOpener, _)) =
            (mine.into_datagrams(NOW), theirs.into_datagrams(NOW));
        let mut out = Vec::new();
        let counted = allocations(|| {
            out.clear();
            sealer.seal(&[1; 1000], NOW, &mut out).unwrap();
            opener.open(&mut out).unwrap();
        });
        assert_eq!(counted, 0, "packets, {backend}");
    }
}

#[test]
fn a_session_over_tcp_allocates_nothing_for_a_message() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let counted = runtime.block_on(async {
        let key = NoiseSecretKey::generate(Backend::best(), &mut OsRng);
        let server = *key.public_key();
        let listener = Listener::bind("127.0.0.1:0", key).await.unwrap();
        let mine = NoiseSecretKey::generate(Backend::best(), &mut OsRng);
        let (client, served) =
            tokio::join!(net::connect(listener.local_addr(), &mine, server), listener.accept());
        let (mut client, mut served) = (client.unwrap(), served.unwrap());
        drop(listener);
        let (message, mut received) = (vec![1; 10_000], Vec::new());
        let mut exchange = async || {
            client.send(&message).await.unwrap();
            assert!(served.recv_into(&mut received).await.unwrap());
        };
        for _ in 0..10 {
            exchange().await;
        }
        let before = CALLS.get();
        for _ in 0..100 {
            exchange().await;
        }
        CALLS.get() - before
    });
    assert_eq!(counted, 0);
}

/// Ten thousand connections to an assigned port, each with something else than the claim: nothing stays of them, and
/// whose port it is gets in.
#[test]
fn junk_on_an_assigned_port_costs_nothing_that_stays() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let key = NoiseSecretKey::generate(Backend::best(), &mut OsRng);
        let server = *key.public_key();
        let policy = Policy::default().ttl(Duration::from_secs(300));
        let listener = Listener::bind("127.0.0.1:0", key).policy(policy).await.unwrap();
        let mine = NoiseSecretKey::generate(Backend::best(), &mut OsRng);
        let assigned = net::begin(listener.local_addr(), &mine, server).await.unwrap();
        let mut claim = assigned.claim_message();
        let mut junk = async |from: u16, to: u16| {
            for n in from..to {
                claim[30] = n as u8 | 1;
                let stranger = tokio::net::TcpStream::connect(assigned.address()).await.unwrap();
                let rubbish = [n as u8; 100];
                stranger.try_write(if n % 4 == 0 { &claim } else { &rubbish }).ok();
                drop(stranger);
                while listener.strangers() > 10 {
                    tokio::task::yield_now().await;
                }
            }
            while listener.strangers() > 0 {
                tokio::task::yield_now().await;
            }
        };
        junk(0, 100).await;
        let before = BYTES.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        junk(100, 10_100).await;
        let (after, peak) = (BYTES.load(Ordering::Relaxed), PEAK.load(Ordering::Relaxed));
        println!("peak {} bytes, {} after 10,000 strangers", peak - before, after.saturating_sub(before));
        assert!(peak - before < 256 * 1024, "{} bytes", peak - before);
        assert!(after.saturating_sub(before) < 16 * 1024, "{} bytes", after - before);
        let (client, served) = tokio::join!(assigned.connect(), listener.accept());
        client.unwrap().send(b"hello").await.unwrap();
        assert_eq!(served.unwrap().recv().await.unwrap().unwrap(), b"hello");
    });
}

/// A thousand connections that say a little and wait: the listener's heap stays within what the policy allows.
#[test]
fn strangers_cost_a_bounded_amount() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let key = NoiseSecretKey::generate(Backend::best(), &mut OsRng);
        let policy = Policy::default().strangers(100, 100);
        let listener = Listener::bind("127.0.0.1:0", key).policy(policy).await.unwrap();
        let before = BYTES.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let mut strangers = Vec::new();
        for _ in 0..1000 {
            let stranger = tokio::net::TcpStream::connect(listener.local_addr()).await.unwrap();
            stranger.try_write(&[1, 16, 0, 1, 0, 2, 1, 0, 2]).ok();
            strangers.push(stranger);
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let peak = PEAK.load(Ordering::Relaxed) - before;
        println!("peak {peak} bytes for 1,000 strangers, {} at a time", listener.strangers());
        assert!(listener.strangers() <= 100);
        // The thousand sockets of this end are in it, too.
        assert!(peak < 4 * 1024 * 1024, "{peak} bytes");
    });
}
