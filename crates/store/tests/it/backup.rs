//! Backups, what they are good for, and what they are not; and giving space back.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use symbolon_envelope::{Change, Payload, PayloadId, Record, RecordId, Records, Upload};
use symbolon_keys::{Epoch, Id, UnixTime};
use symbolon_ledger::{
    Batch, BatchId, Fence, Generation, Instance, Lease, LedgerStore, Op, OwnerId, PadId, PadMode, PadRow,
    PadStatus, ReceiveRow, SendRow,
};
use symbolon_store::{AttachError, Restored, Sqlite};
use symbolon_table::{InboxStore, MessageId};

use crate::place::{Place, beside, reopen};

fn pad() -> PadRow {
    let (generation, batch) = (Generation::from([1; 16]), [0; 16].into());
    PadRow {
        id: PadId::from([7; 16]),
        instance: Instance::from([8; 16]),
        mode: PadMode::PadOverAead,
        witnessed: false,
        account: None,
        refund: None,
        status: PadStatus::Open,
        lease: Lease { epoch: 0, owner: None, until: UnixTime::default() },
        send: SendRow { lane: 0, generation, len: 4096, from: 0, reserved: 0, batch },
        receive: ReceiveRow {
            lane: 1,
            generation,
            len: 4096,
            position: 0,
            seq: 0,
            ceiling_from: 0,
            ceiling: 0,
            batch,
        },
    }
}

async fn remember(store: &Sqlite, n: u8) -> bool {
    let (bob, alice): (Id, Id) = ("bob".parse().unwrap(), "alice".parse().unwrap());
    store.remember(&bob, &alice, &MessageId::from([n; 16]), Epoch::FIRST).await.unwrap()
}

async fn put(store: &Sqlite, n: u8, body: &[u8]) {
    let payload = PayloadId::from([n; 16]);
    let mut upload = store.upload(payload).await.unwrap();
    upload.write(body).await.unwrap();
    let record = Record {
        id: RecordId::from([n; 16]),
        owner: "alice".parse().unwrap(),
        sequence: 1,
        server_key: 1,
        header: vec![n],
        payload: Payload { id: payload, len: body.len() as u64, digest: [n; 32] },
        stored: UnixTime::from_secs(1),
    };
    assert_eq!(Records::put(store, record, upload, None).await.unwrap(), Change::Done);
}

#[tokio::test]
async fn a_backup_is_attached_as_a_restore_only() {
    let place = Place::new();
    let store = place.fresh().await;
    let (large, small) = (vec![3; 200_000], vec![4; 100]);
    put(&store, 1, &large).await;
    put(&store, 2, &small).await;
    assert!(remember(&store, 1).await);
    store.commit(Batch::new(UnixTime::from_secs(1)).with(Op::Provision(pad()))).await.unwrap();

    let copy = place.path("backup.db");
    store.backup(&copy).await.unwrap();
    assert!(matches!(store.backup(&copy).await, Err(AttachError::Exists { .. })), "never over another");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!beside(&copy, "-wal").exists() && !beside(&copy, "-guard").exists(), "one file");

    // The original goes on; the copy does not follow.
    assert!(remember(&store, 2).await);
    assert!(store.delete(RecordId::from([1; 16]), "alice".parse().unwrap()).await.unwrap());
    assert_eq!(store.pad(pad().id).await.unwrap().unwrap().status, PadStatus::Open);
    let store = reopen(store).await;
    store.check().await.unwrap();

    let no_guard = AttachError::RestoreRequired(Restored::NoGuard);
    assert_eq!(Sqlite::attach(&copy).await.err(), Some(no_guard));
    fs::copy(beside(store.path(), "-guard"), beside(&copy, "-guard")).unwrap();
    assert_eq!(Sqlite::attach(&copy).await.err(), Some(AttachError::RestoreRequired(Restored::Backup)));

    let restored = Sqlite::attach_after_restore(&copy).await.unwrap();
    restored.check().await.unwrap();
    assert!(!remember(&restored, 1).await, "what was accepted before stays accepted");
    assert_eq!(
        restored.read(PayloadId::from([1; 16]), 0, 1 << 20).await.unwrap(),
        Some(large),
        "files came along"
    );
    assert_eq!(restored.read(PayloadId::from([2; 16]), 0, 1 << 20).await.unwrap(), Some(small));
    let halted = restored.pad(pad().id).await.unwrap().unwrap();
    assert_eq!(
        halted,
        PadRow { status: PadStatus::RollbackSuspected, ..pad() },
        "pads do not go on by themselves"
    );
    let restored = reopen(restored).await;
    assert!(remember(&restored, 2).await, "what came after the copy is not in it");
}

#[tokio::test]
async fn a_restored_pad_sends_nothing_until_an_operator_vouches_for_it() {
    let place = Place::new();
    let store = place.fresh().await;
    let commit = async |store: &Sqlite, op| store.commit(Batch::new(UnixTime::from_secs(1)).with(op)).await;
    let witnessed = PadRow { id: PadId::from([9; 16]), witnessed: true, ..pad() };
    for row in [pad(), witnessed.clone()] {
        commit(&store, Op::Provision(row)).await.unwrap();
    }
    let copy = place.path("backup.db");
    store.backup(&copy).await.unwrap();
    let store = Sqlite::attach_after_restore(&copy).await.unwrap();
    for (row, may) in [(pad(), true), (witnessed, false)] {
        let (owner, until) = (OwnerId::from([1; 16]), UnixTime::from_secs(9));
        let attach = Op::Attach { pad: row.id, instance: row.instance, owner, until, takeover: true };
        commit(&store, attach).await.unwrap();
        let (fence, batch) = (Fence { pad: row.id, epoch: 1 }, BatchId::from([2; 16]));
        let reserve = || Op::Reserve { fence, generation: row.send.generation, from: 0, to: 64, batch };
        let halted = commit(&store, reserve()).await.unwrap_err();
        assert!(halted.to_string().contains("older than what the peer has seen"), "{halted}");
        assert_eq!(
            commit(&store, Op::Reopen { fence }).await.is_ok(),
            may,
            "a witness is asked, not overruled"
        );
        assert_eq!(commit(&store, reserve()).await.is_ok(), may);
    }
}

#[tokio::test]
async fn a_backup_beside_anothers_log_is_refused() {
    let place = Place::new();
    let store = place.fresh().await;
    assert!(remember(&store, 1).await);
    let copy = place.path("backup.db");
    store.backup(&copy).await.unwrap();
    // The database was lost in a crash: its log is still there.
    assert!(beside(store.path(), "-wal").exists());
    fs::copy(beside(store.path(), "-wal"), beside(&copy, "-wal")).unwrap();
    let wal = fs::canonicalize(beside(&copy, "-wal")).unwrap();
    assert_eq!(
        Sqlite::attach_after_restore(&copy).await.err(),
        Some(AttachError::Exists { path: wal.clone() })
    );
    fs::remove_file(wal).unwrap();
    Sqlite::attach_after_restore(&copy).await.unwrap();
}

#[tokio::test]
async fn a_restore_drops_files_that_came_after_the_copy() {
    let place = Place::new();
    let store = place.fresh().await;
    put(&store, 1, &vec![1; 100_000]).await;
    let copy = place.path("backup.db");
    store.backup(&copy).await.unwrap();
    put(&store, 2, &vec![2; 100_000]).await;
    let path = store.path().to_path_buf();
    store.close().await;
    // The operator puts the copy in the place of the database, and leaves the folder.
    fs::copy(&copy, &path).unwrap();
    let store = Sqlite::attach_after_restore(&path).await.unwrap();
    assert_eq!(fs::read_dir(beside(&path, "-files")).unwrap().count(), 1);
    store.check().await.unwrap();
    assert_eq!(store.read(PayloadId::from([1; 16]), 0, 9).await.unwrap(), Some(vec![1; 9]));
}

#[tokio::test]
async fn backups_beside_traffic_are_consistent() {
    let place = Place::new();
    let store = place.fresh().await;
    let traffic = {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..60 {
                put(&store, n, &vec![n; 70_000]).await;
                if n >= 10 {
                    assert!(
                        store.delete(RecordId::from([n - 10; 16]), "alice".parse().unwrap()).await.unwrap()
                    );
                }
            }
        })
    };
    for n in 0..5 {
        let copy = place.path(&format!("backup{n}.db"));
        store.backup(&copy).await.unwrap();
        let restored = Sqlite::attach_after_restore(&copy).await.unwrap();
        restored.check().await.unwrap();
    }
    traffic.await.unwrap();
    store.check().await.unwrap();
}

#[tokio::test]
async fn compaction_gives_space_back() {
    let place = Place::new();
    let store = place.fresh().await;
    for n in 0..100 {
        put(&store, n, &vec![n; 60_000]).await;
    }
    for n in 1..100 {
        assert!(store.delete(RecordId::from([n; 16]), "alice".parse().unwrap()).await.unwrap());
    }
    store.compact().await.unwrap();
    let size =
        fs::metadata(store.path()).unwrap().len() + fs::metadata(beside(store.path(), "-wal")).unwrap().len();
    assert!(size < 400_000, "{size} bytes are left");
    store.check().await.unwrap();
    assert_eq!(store.read(PayloadId::from([0; 16]), 0, 9).await.unwrap(), Some(vec![0; 9]));
}
