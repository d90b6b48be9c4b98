//! One commit for many: shared, judged alone, answered after it, and what a failure means.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use symbolon_keys::{Epoch, Id};
use symbolon_store::{CommitPoint, Options, Sqlite, StoreError};
use symbolon_table::{InboxStore, MessageId};

use crate::place::{Place, reopen};

/// Holds the writer up at one point of its commits, until it is let go.
struct Gate {
    reached: Receiver<()>,
    go: Sender<()>,
}

impl Gate {
    fn at(point: CommitPoint) -> (Self, Options) {
        let ((arrive, reached), (go, gone)) = (channel(), channel());
        let gone = Mutex::new(gone);
        let options = Options::default().on_commit(move |at| {
            if at == point {
                let _ = arrive.send(());
                let _ = gone.lock().unwrap().recv();
            }
            Ok(())
        });
        (Self { reached, go }, options)
    }

    /// Waits until the writer stands there.
    fn wait(&self) {
        self.reached.recv().unwrap();
    }

    fn pass(&self) {
        self.go.send(()).unwrap();
    }

    /// Lets the writer pass from now on.
    fn open(self) {}
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

/// One small write: true if it was new.
pub async fn remember<S: InboxStore>(store: &S, n: u32) -> Result<bool, symbolon_table::StoreError> {
    remember_at(store, n, Epoch::FIRST).await
}

pub async fn remember_at<S: InboxStore>(
    store: &S,
    n: u32,
    epoch: Epoch,
) -> Result<bool, symbolon_table::StoreError> {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    store.remember(&id("bob"), &id("alice"), &MessageId::from(bytes), epoch).await
}

/// A request that was made, and may have been answered.
pub type Asked<T> = Pin<Box<dyn Future<Output = T>>>;

/// Asks without waiting: the request is in the queue when this returns.
pub fn ask<S: Clone + 'static, T: 'static>(
    store: &S,
    request: impl AsyncFnOnce(S) -> T + 'static,
) -> Asked<T> {
    let mut asked: Asked<T> = Box::pin(request(store.clone()));
    assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    asked
}

async fn provision(place: &Place, options: Options) -> Sqlite {
    options.provision(place.path("exchange.db")).await.unwrap()
}

#[tokio::test]
async fn what_waits_is_committed_together() {
    let place = Place::new();
    let groups = Arc::new(AtomicUsize::new(0));
    let (first, seen) = (Arc::new(Mutex::new(None)), groups.clone());
    let held = first.clone();
    let store = provision(
        &place,
        Options::default().on_commit(move |at| {
            if at == CommitPoint::Begin && seen.fetch_add(1, Ordering::SeqCst) == 0 {
                let gate: Option<Receiver<()>> = held.lock().unwrap().take();
                gate.map(|gate| gate.recv());
            }
            Ok(())
        }),
    )
    .await;
    let (go, gate) = channel();
    *first.lock().unwrap() = Some(gate);
    let one = ask(&store, async |store| remember(&store, 0).await);
    let others: Vec<_> =
        (1..=500).map(|n| ask(&store, async move |store| remember(&store, n).await)).collect();
    go.send(()).unwrap();
    assert!(one.await.unwrap());
    for other in others {
        assert!(other.await.unwrap());
    }
    let groups = groups.load(Ordering::SeqCst);
    assert!(groups <= 3, "501 requests took {groups} commits");
}

#[tokio::test]
async fn each_is_judged_alone() {
    let place = Place::new();
    let (gate, options) = Gate::at(CommitPoint::Begin);
    let store = provision(&place, options).await;
    let holds_up = ask(&store, async |store| remember(&store, 0).await);
    gate.wait();
    let good = ask(&store, async |store| remember(&store, 1).await);
    // SQLite cannot hold this number: the statement fails.
    let bad = ask(&store, async |store| remember_at(&store, 2, Epoch::new(u64::MAX)).await);
    let late = ask(&store, async |store| remember(&store, 3).await);
    let again = ask(&store, async |store| remember(&store, 1).await);
    gate.open();
    assert!(holds_up.await.unwrap());
    assert_eq!(good.await, Ok(true));
    assert_eq!(bad.await, Err(StoreError::TooLarge.into()));
    assert_eq!(late.await, Ok(true));
    assert_eq!(again.await, Ok(false), "it sees what came before it in the same commit");
    let store = reopen(store).await;
    assert_eq!(remember(&store, 2).await, Ok(true), "of what failed nothing stayed");
    assert_eq!(remember(&store, 3).await, Ok(false));
}

#[tokio::test]
async fn no_reply_before_the_commit() {
    for point in [CommitPoint::Applied, CommitPoint::Committed, CommitPoint::Guarded] {
        let place = Place::new();
        let (gate, options) = Gate::at(point);
        let store = provision(&place, options).await;
        let mut reply = ask(&store, async |store| remember(&store, 1).await);
        gate.wait();
        let early = reply.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(early, Poll::Pending), "released at {point:?}");
        gate.pass();
        assert_eq!(reply.await, Ok(true));
        gate.open();
    }
}

#[tokio::test]
async fn a_failed_commit_is_unknown_and_the_next_one_works() {
    for (point, applied) in [
        (CommitPoint::Begin, false),
        (CommitPoint::Applied, false),
        (CommitPoint::Committed, true),
        (CommitPoint::Guarded, true),
    ] {
        let place = Place::new();
        let fail = Arc::new(AtomicUsize::new(1));
        let left = fail.clone();
        let options = Options::default().on_commit(move |at| {
            if at == point && left.swap(0, Ordering::SeqCst) == 1 {
                return Err(StoreError::Io("asked for".into()));
            }
            Ok(())
        });
        let store = provision(&place, options).await;
        let failed = remember(&store, 1).await;
        match point {
            CommitPoint::Begin => assert_eq!(failed, Err(StoreError::Io("asked for".into()).into())),
            _ => assert_eq!(failed, Err(StoreError::Unknown.into()), "{point:?}"),
        }
        assert_eq!(remember(&store, 2).await, Ok(true), "the connection was opened anew");
        assert_eq!(remember(&store, 1).await, Ok(!applied), "asked again by id after {point:?}");
        let store = reopen(store).await;
        assert_eq!(remember(&store, 1).await, Ok(false));
    }
}

#[tokio::test]
async fn a_full_queue_says_so() {
    let place = Place::new();
    let (gate, options) = Gate::at(CommitPoint::Begin);
    let store = provision(&place, options.queue(2)).await;
    let holds_up = ask(&store, async |store| remember(&store, 0).await);
    gate.wait();
    let waiting: Vec<_> =
        (1..=2).map(|n| ask(&store, async move |store| remember(&store, n).await)).collect();
    let busy = remember(&store, 3).await.unwrap_err();
    assert_eq!(busy, StoreError::Busy.into());
    assert!(busy.is_retryable());
    gate.open();
    assert_eq!(holds_up.await, Ok(true));
    for request in waiting {
        assert_eq!(request.await, Ok(true));
    }
    assert_eq!(remember(&store, 3).await, Ok(true), "what was refused was not stored");
}

#[tokio::test]
async fn dropping_a_future_cancels_nothing() {
    let place = Place::new();
    let (gate, options) = Gate::at(CommitPoint::Applied);
    let store = provision(&place, options).await;
    drop(ask(&store, async |store| remember(&store, 1).await));
    gate.wait();
    gate.open();
    assert_eq!(remember(&store, 1).await, Ok(false));
}

#[tokio::test]
async fn closing_finishes_what_is_queued() {
    let place = Place::new();
    let (gate, options) = Gate::at(CommitPoint::Begin);
    let store = provision(&place, options).await;
    let requests: Vec<_> =
        (0..50).map(|n| ask(&store, async move |store| remember(&store, n).await)).collect();
    gate.wait();
    gate.open();
    let path = store.path().to_path_buf();
    store.close().await;
    for request in requests {
        assert_eq!(request.await, Ok(true));
    }
    let store = Sqlite::attach(path).await.unwrap();
    assert_eq!(remember(&store, 49).await, Ok(false));
}

#[tokio::test]
async fn nothing_that_changes_nothing_is_committed() {
    let place = Place::new();
    let commits = Arc::new(AtomicUsize::new(0));
    let seen = commits.clone();
    let options = Options::default().on_commit(move |at| {
        seen.fetch_add(usize::from(at == CommitPoint::Applied), Ordering::SeqCst);
        Ok(())
    });
    let store = provision(&place, options).await;
    assert_eq!(remember(&store, 1).await, Ok(true));
    assert_eq!(remember(&store, 1).await, Ok(false));
    assert_eq!(store.forget(&id("carol"), Epoch::new(9)).await, Ok(0));
    assert_eq!(commits.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn after_a_failed_commit_the_log_is_moved_before_the_next() {
    let place = Place::new();
    let fails = Arc::new(AtomicUsize::new(0));
    let on = fails.clone();
    let options = Options::default().on_commit(move |at| match at {
        CommitPoint::Committed if on.swap(0, Ordering::SeqCst) == 1 => Err(StoreError::Io("sync".into())),
        _ => Ok(()),
    });
    let store = provision(&place, options).await;
    for n in 0..20 {
        assert!(remember(&store, n).await.unwrap());
    }
    let log = || std::fs::metadata(place.path("exchange.db-wal")).unwrap().len();
    let long = log();
    fails.store(1, Ordering::SeqCst);
    assert!(remember(&store, 20).await.is_err());
    assert!(log() >= long);
    assert!(remember(&store, 21).await.unwrap());
    assert!(log() < long / 2, "nothing stands on what may be in memory only");
    assert!(!remember(&reopen(store).await, 20).await.unwrap(), "and what was unknown is durable");
}
