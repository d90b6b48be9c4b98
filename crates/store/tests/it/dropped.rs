//! What becomes of a request that nobody waits for any more.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use symbolon_envelope::{Change, Payload, PayloadId, Record, RecordId, Records, Upload};
use symbolon_keys::UnixTime;
use symbolon_store::{CommitPoint, Options, Sqlite, SqliteUpload};

use crate::place::{Place, beside};

const LEN: usize = 200_000;

fn record(n: u8) -> Record {
    Record {
        id: RecordId::from([1; 16]),
        owner: "alice".parse().unwrap(),
        sequence: 0,
        server_key: 1,
        header: vec![1],
        payload: Payload { id: PayloadId::from([n; 16]), len: LEN as u64, digest: [0; 32] },
        stored: UnixTime::from_secs(1),
    }
}

async fn uploaded(store: &Sqlite, n: u8) -> SqliteUpload {
    let mut upload = store.upload(PayloadId::from([n; 16])).await.unwrap();
    upload.write(&vec![n; LEN]).await.unwrap();
    upload
}

fn files(store: &Sqlite) -> usize {
    fs::read_dir(beside(store.path(), "-files")).unwrap().count()
}

#[tokio::test]
async fn a_record_committed_for_nobody_has_its_payload() {
    let place = Place::new();
    let ((arrive, reached), (go, gone)) = (channel(), channel::<()>());
    let armed = Arc::new(AtomicBool::new(false));
    let (on, gone) = (armed.clone(), Mutex::new(gone));
    let options = Options::default().on_commit(move |at| {
        if at == CommitPoint::Applied && on.load(Ordering::SeqCst) {
            let _ = arrive.send(());
            let _ = gone.lock().unwrap().recv();
        }
        Ok(())
    });
    let store = options.provision(place.path("exchange.db")).await.unwrap();
    let upload = uploaded(&store, 7).await;
    armed.store(true, Ordering::SeqCst);
    {
        let mut put = Box::pin(store.put(record(7), upload, None));
        loop {
            assert!(put.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            if reached.recv_timeout(Duration::from_millis(5)).is_ok() {
                break;
            }
        }
        // The writer stands between the statements and COMMIT; the caller gives up.
    }
    drop(go);
    // Comes after the first in the queue, and its file after the removal of the first one's, if there was one.
    let again = store.put(record(8), uploaded(&store, 8).await, None).await;
    assert_eq!(again, Ok(Change::Conflict(Some(0))), "it was committed");
    let bytes = store.read(PayloadId::from([7; 16]), 0, 10).await.unwrap();
    assert_eq!(bytes, Some(vec![7; 10]), "a committed record has its payload");
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_record_refused_leaves_no_file() {
    let place = Place::new();
    let store = place.fresh().await;
    assert_eq!(store.put(record(7), uploaded(&store, 7).await, None).await, Ok(Change::Done));
    let refused = store.put(record(8), uploaded(&store, 8).await, None).await;
    assert_eq!(refused, Ok(Change::Conflict(Some(0))));
    // The file goes in the order of its queue, before this one comes.
    drop(uploaded(&store, 9).await);
    let _ = uploaded(&store, 10).await;
    assert!(files(&store) <= 2, "the first one's, and the last one's if it is still there");
}
