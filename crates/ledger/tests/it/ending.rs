//! The end of a pad: what is left of its half is destroyed, and stored answers are still given.

use std::fs;

use symbolon_keys::UnixTime;
use symbolon_ledger::material::{FileHalf, PadHalf, PadMaterial, Stage};
use symbolon_ledger::witness::WitnessSession;
use symbolon_ledger::{
    Amount, Batch, Fault, Fence, FileSink, Folder, GeneratorSource, Issue, LedgerStore, MaterialError,
    MemoryMaterial, MemoryStore, Op, Pad, PadError, PadId, PadStatus, Policy, Provision, Restored, SinglePad,
    Transfer, TransferId,
};
use tempfile::TempDir;

use crate::world::{CASH, INCOME, Link, MemoryPad, REFUND, Terms, USER, World, bought, emitted};

/// Nothing of the half can be read, and nothing of its keys is left.
#[track_caller]
fn destroyed(half: &impl PadHalf) {
    assert_eq!(half.stage(), Stage::Destroyed);
    assert_eq!((half.keys().inner().expose(), half.keys().witness().expose()), (&[0; 32], &[0; 32]));
    for lane in [0, 1] {
        let last = half.header().lanes[usize::from(lane)] - 32;
        for at in [0, last / 2, last] {
            let read = half.read(lane, at, &mut [0; 32]);
            assert!(matches!(read, Err(MaterialError::Destroyed { .. })), "{read:?} at {at} of lane {lane}");
        }
    }
}

// proves L3
#[tokio::test]
async fn whatever_ends_the_pad_destroys_its_half() {
    // By its owner, by its value, by the last byte of a lane.
    for end in [PadStatus::Closed, PadStatus::ValueSpent, PadStatus::PadSpent] {
        let world = World::new(Terms { value: 5, ..Terms::default() }).await;
        let (server, user) = world.attach().await;
        let frame = emitted(user.seal(b"ask").commit().await.unwrap());
        let request = server.open(&frame).await.unwrap();
        let fee = if end == PadStatus::ValueSpent { 5 } else { 1 };
        let message = vec![7; if end == PadStatus::PadSpent { 28_668 } else { 1 }];
        let seal = server.seal(&message).answering(request.id()).charge(Amount::new(fee));
        let answer = emitted(seal.commit().await.unwrap());
        match end {
            PadStatus::Closed => server.close().await.unwrap(),
            PadStatus::PadSpent => {
                for _ in 0..server.remaining().send / 112 {
                    emitted(server.seal(b"").commit().await.unwrap());
                }
            }
            _ => {}
        }
        assert_eq!((server.status(), server.remaining().receive), (end, 0));
        // Nothing more is sealed, opened or witnessed, and what was answered is answered again.
        for _ in 0..2 {
            assert!(matches!(server.open(&frame).await, Err(PadError::Answered(again)) if again == answer));
        }
        let late = emitted(user.seal(b"late").commit().await.unwrap());
        assert!(matches!(server.open(&late).await, Err(PadError::NotOpen(status)) if status == end));
        assert!(matches!(server.seal(b"").commit().await, Err(PadError::NotOpen(status)) if status == end));
        let hello = vec![0; 64];
        let attested = server.attest(&mut WitnessSession::new(), &hello).await;
        assert!(matches!(attested, Err(PadError::NotOpen(status)) if status == end));
        drop(server);
        destroyed(&world.server.material.take(world.id).unwrap());
        let server = world.server.attach(world.id).await.unwrap();
        assert_eq!(server.status(), end);
        assert!(matches!(server.open(&frame).await, Err(PadError::Answered(again)) if again == answer));
        server.detach().await.unwrap();
        // The peer's half is the peer's to end.
        assert_eq!(*user.open(&answer).await.unwrap(), *message, "what was paid for arrives");
        assert_eq!(user.status(), PadStatus::Open);
    }
}

#[tokio::test]
async fn a_halted_pad_is_not_destroyed() {
    let world = World::new(Terms::default()).await;
    let server = world.server.attach(world.id).await.unwrap();
    halt(&world, PadStatus::RollbackSuspected).await;
    assert!(server.seal(b"x").commit().await.is_err());
    drop(server);
    let server = world.server.attach(world.id).await.unwrap();
    assert_eq!(server.status(), PadStatus::RollbackSuspected);
    server.detach().await.unwrap();
    assert_eq!(world.server.material.take(world.id).unwrap().stage(), Stage::InUse);
}

/// Closes or halts the server's pad in its ledger, and lets its half know nothing of it: as a crash right after the
/// commit does.
async fn halt(world: &World, status: PadStatus) {
    let row = world.server.store.pad(world.id).await.unwrap().unwrap();
    let fence = Fence { pad: world.id, epoch: row.lease.epoch };
    let close = Batch::new(UnixTime::now()).with(Op::Close { fence, status });
    world.server.store.commit(close).await.unwrap();
}

#[tokio::test]
async fn a_crash_before_the_destruction_is_made_up_for() {
    for stage in [None, Some(Stage::Ended)] {
        let world = World::new(Terms::default()).await;
        let server = world.server.attach(world.id).await.unwrap();
        halt(&world, PadStatus::Closed).await;
        drop(server);
        let half = world.server.material.take(world.id).unwrap();
        stage.iter().for_each(|stage| half.advance(*stage).unwrap());
        half.read(0, 0, &mut [0; 32]).expect("the lanes are whole");
        drop(half);
        drop(world.server.attach(world.id).await.unwrap());
        destroyed(&world.server.material.take(world.id).unwrap());
    }
}

#[tokio::test]
async fn a_ledger_from_before_the_end() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    emitted(server.seal(b"a").commit().await.unwrap());
    let old = world.server.store.backup();
    server.close().await.unwrap();
    drop(server);
    let (material, policy) = (&world.server.material, Policy::default());
    let refused = Pad::attach(&old, material, world.id).await;
    assert!(matches!(refused, Err(PadError::Material(MaterialError::Ended(id))) if id == world.id));
    let refused = Pad::recover(&old, material, world.id, policy, &mut Link::to(&user)).await;
    assert!(refused.is_err());
    // An operator can only close it there, too.
    let vouched = Restored::Untouched { send: 0, receive: 0 };
    for _ in 0..2 {
        let pad = MemoryPad::attach_after_restore(&old, material, world.id, policy, vouched).await.unwrap();
        assert_eq!(pad.status(), PadStatus::Closed);
        assert!(pad.seal(b"b").commit().await.is_err());
    }
    let balance = async |account| old.account(account).await.unwrap().unwrap().balance.minor_units();
    assert_eq!((balance(USER).await, balance(REFUND).await), (0, 100));
    // No ledger at all is no way back either.
    assert!(matches!(
        Pad::attach(&MemoryStore::new(), material, world.id).await,
        Err(PadError::LedgerMissing(_))
    ));
}

#[tokio::test]
async fn the_last_commit_unheard_of() {
    // The claim that ends the user's pad, and the answer that ends the server's: each was applied, and nobody knows.
    let world = World::new(Terms { bytes: 2 * 2096, value: 2, ..Terms::default() }).await;
    let (server, user) = world.attach().await;
    let asked = emitted(user.seal(&[1; 1900]).commit().await.unwrap());
    assert_eq!(user.remaining().send, 0);
    let request = server.open(&asked).await.unwrap();
    let answer = || server.seal(&[2; 1900]).answering(request.id()).charge(Amount::new(1));
    world.server.store.fail([None, Some(Fault::Unheard)]);
    assert!(answer().commit().await.is_err());
    assert!(matches!(server.seal(b"").commit().await, Err(PadError::Exhausted { .. })));
    let stored = match server.open(&asked).await {
        Err(PadError::Answered(stored)) => emitted(stored),
        other => panic!("the stored answer was due, not {other:?}"),
    };
    world.user.store.fail([Some(Fault::Unheard)]);
    assert!(user.open(&stored).await.is_err());
    assert_eq!(*user.open(&stored).await.unwrap(), [2; 1900], "the same frame, asked again");
    assert_eq!(user.status(), PadStatus::PadSpent);
    drop(user);
    destroyed(&world.user.material.take(world.id).unwrap());
}

#[tokio::test]
async fn an_unheard_answer_that_spends_the_value_is_given_again() {
    let world = World::new(Terms { value: 4, ..Terms::default() }).await;
    let (server, user) = world.attach().await;
    let asked = emitted(user.seal(b"a").commit().await.unwrap());
    let request = server.open(&asked).await.unwrap();
    let answer = || server.seal(b"b").answering(request.id()).charge(Amount::new(4));
    world.server.store.fail([None, Some(Fault::Unheard)]);
    assert!(answer().commit().await.is_err());
    let again = emitted(answer().commit().await.expect("the answer that stands"));
    assert_eq!(*user.open(&again).await.unwrap(), *b"b");
    assert_eq!((server.status(), world.server.balance(INCOME).await), (PadStatus::ValueSpent, 4));
    assert!(matches!(server.open(&asked).await, Err(PadError::Answered(stored)) if stored == again));
}

fn files(folder: &TempDir, bytes: u64) -> (PadId, SinglePad) {
    let path = folder.path().join("a.pad");
    let other = MemoryMaterial::new();
    let mut sink = FileSink::at(&path);
    let id = Issue::new(bytes)
        .value(Amount::new(9))
        .unwitnessed()
        .run(GeneratorSource::os(), &mut sink, &mut other.sink())
        .unwrap();
    (id, SinglePad::new(path))
}

/// Two lanes of more than one piece each.
const BIG: u64 = 72 << 20;

#[tokio::test]
async fn a_file_keeps_nothing_but_its_header() {
    for bytes in [8192 + 62, BIG] {
        let folder = TempDir::new().unwrap();
        let (id, file) = files(&folder, bytes);
        let store = MemoryStore::new();
        let provision = Provision::new(id).valued(USER, REFUND).after(bought(9));
        Pad::provision(&store, &file, provision).await.unwrap();
        let header = file.header().unwrap();
        let pad = Pad::attach(&store, &file, id).await.unwrap();
        emitted(pad.seal(b"a").commit().await.unwrap());
        pad.close().await.unwrap();
        drop(pad);
        let path = folder.path().join("a.pad");
        let content = fs::read(&path).unwrap();
        assert_eq!(content[96..160], [0; 64], "the keys");
        assert!(content[12_288..].iter().all(|byte| *byte == 0), "the lanes");
        assert_eq!(file.header().unwrap(), header, "what it was can still be told");
        destroyed(&file.take(id).unwrap());
        let pad = Pad::attach(&store, &file, id).await.unwrap();
        assert_eq!(pad.status(), PadStatus::Closed);
        pad.detach().await.unwrap();
        if bytes == BIG {
            use std::os::unix::fs::MetadataExt;
            assert!(fs::metadata(&path).unwrap().blocks() * 512 < BIG / 2, "its blocks are given back");
        }
    }
}

#[test]
fn keys_that_were_half_destroyed() {
    let folder = TempDir::new().unwrap();
    let (id, file) = files(&folder, 8192);
    let path = folder.path().join("a.pad");
    let half = file.take(id).unwrap();
    half.bind([5; 16].into()).unwrap();
    half.advance(Stage::InUse).unwrap();
    assert_eq!(half.stage(), Stage::InUse);
    drop(half);
    let whole = fs::read(&path).unwrap();
    let half = file.take(id).unwrap();
    half.advance(Stage::Ended).unwrap();
    drop(half);
    let ended = fs::read(&path).unwrap();
    // Torn anywhere, after the mark was durable: the keys are as good as gone, and go with the next attempt.
    for keep in [0, 1, 32, 63, 64] {
        let mut torn = ended.clone();
        torn[96..96 + keep].copy_from_slice(&whole[96..96 + keep]);
        fs::write(&path, &torn).unwrap();
        let half = FileHalf::open(&path).unwrap();
        assert_eq!((half.stage(), half.keys().inner().expose()), (Stage::Ended, &[0; 32]));
        half.advance(Stage::Ended).unwrap();
        drop(half);
        assert_eq!(fs::read(&path).unwrap()[..192], ended[..192]);
    }
    // Without the mark, or with any other damage, it is no pad file.
    let mut unmarked = ended.clone();
    unmarked[4096..12_288].copy_from_slice(&whole[4096..12_288]);
    let damaged = (0..96).chain(160..192).map(|at| {
        let mut bytes = ended.clone();
        bytes[at] ^= 1;
        bytes
    });
    for bytes in damaged.chain([unmarked]) {
        fs::write(&path, &bytes).unwrap();
        let error = FileHalf::open(&path).unwrap_err();
        assert_eq!(error.to_string(), "not a whole pad file: its header");
    }
    fs::write(&path, &ended).unwrap();
    let half = Folder::new(folder.path());
    fs::rename(&path, half.path(id)).unwrap();
    let half = half.take(id).unwrap();
    half.advance(Stage::Destroyed).unwrap();
    half.advance(Stage::InUse).unwrap();
    assert_eq!(half.stage(), Stage::Destroyed, "never back");
}

// proves L3
#[tokio::test]
async fn nothing_is_charged_by_who_lost_the_pad_or_whose_pad_has_ended() {
    for status in [None, Some(PadStatus::Closed), Some(PadStatus::RollbackSuspected)] {
        let world = World::new(Terms::default()).await;
        let server = world.server.attach(world.id).await.unwrap();
        emitted(server.seal(b"reserves some").charge(Amount::new(1)).commit().await.unwrap());
        match status {
            Some(status) => halt(&world, status).await,
            None => taken(&world).await,
        }
        // Of the pad's value, and between accounts that are open whatever becomes of it.
        let sold = Transfer::post(TransferId::new([8; 16]), CASH, INCOME, Amount::new(5));
        let refused = server.seal(b"x").transfer(sold).commit().await;
        match status {
            Some(status) => assert!(matches!(refused, Err(PadError::NotOpen(why)) if why == status)),
            None => assert!(matches!(refused, Err(PadError::Dead)), "{refused:?}"),
        }
        assert!(server.seal(b"x").charge(Amount::new(1)).commit().await.is_err());
        assert_eq!(world.server.balance(INCOME).await, 1);
    }
}

/// Another owner takes the server's pad.
async fn taken(world: &World) {
    let row = world.server.store.pad(world.id).await.unwrap().unwrap();
    let take = Op::Attach {
        pad: world.id,
        instance: row.instance,
        owner: [1; 16].into(),
        until: UnixTime::default(),
        takeover: true,
    };
    world.server.store.commit(Batch::new(UnixTime::now()).with(take)).await.unwrap();
}

/// The server has room for one long answer.
async fn tight() -> World {
    World::new(Terms { bytes: 2 * 2096, value: 2, ..Terms::default() }).await
}

async fn spent(world: &World, server: &MemoryPad) {
    assert_eq!(server.status(), PadStatus::PadSpent);
    assert_eq!((world.server.balance(USER).await, world.server.balance(REFUND).await), (0, 2));
}

// proves L3
#[tokio::test]
async fn an_end_that_was_not_committed_is_made_up_for() {
    // The commit that carried it failed.
    let world = tight().await;
    let server = world.server.attach(world.id).await.unwrap();
    assert!(matches!(server.seal(&[0; 4000]).commit().await, Err(PadError::Exhausted { .. })));
    assert_eq!(server.status(), PadStatus::Open, "that message was too long");
    world.server.store.fail([None, Some(Fault::NotApplied)]);
    assert!(server.seal(&[2; 1900]).charge(Amount::new(1)).commit().await.is_err());
    assert_eq!((server.status(), server.remaining().send), (PadStatus::Open, 0));
    assert!(matches!(server.seal(b"").commit().await, Err(PadError::Exhausted { .. })));
    spent(&world, &server).await;
    // The last reservation was never heard of, and is burnt.
    let world = tight().await;
    let server = world.server.attach_with(world.id, Policy::default().reserve(2096)).await.unwrap();
    world.server.store.fail([Some(Fault::Unheard)]);
    assert!(server.seal(b"").commit().await.is_err());
    assert!(matches!(server.seal(b"").commit().await, Err(PadError::Exhausted { .. })));
    spent(&world, &server).await;
    // The end itself was applied, and never heard of.
    let world = tight().await;
    let server = world.server.attach(world.id).await.unwrap();
    world.server.store.fail([None, Some(Fault::Unheard)]);
    assert!(server.resync(2096).await.is_err());
    assert_eq!(server.status(), PadStatus::Open, "as far as we know");
    server.dismiss(&[]).await.unwrap();
    spent(&world, &server).await;
}

#[tokio::test]
async fn what_is_skipped_to_its_end_is_spent() {
    let world = tight().await;
    let server = world.server.attach(world.id).await.unwrap();
    server.resync(2000).await.unwrap();
    spent(&world, &server).await;
    drop(server);
    destroyed(&world.server.material.take(world.id).unwrap());

    let world = tight().await;
    drop(world.server.attach(world.id).await.unwrap());
    let (store, material) = (&world.server.store, &world.server.material);
    let vouched = Restored::Untouched { send: 2096, receive: 0 };
    let server = MemoryPad::attach_after_restore(store, material, world.id, Policy::default(), vouched).await;
    let server = server.unwrap();
    spent(&world, &server).await;
    drop(server);
    destroyed(&material.take(world.id).unwrap());
}

#[tokio::test]
async fn the_claim_that_ends_a_pad_forgets_no_answer() {
    // A handle of the user's, which has no value, forgets with its first claim: and that is its last.
    let world = tight().await;
    let (server, user) = world.attach().await;
    let mut frames = Vec::new();
    while server.remaining().send > 0 {
        frames.push(emitted(server.seal(b"").commit().await.unwrap()));
    }
    let last = frames.pop().unwrap();
    let asked = frames.pop().unwrap();
    let request = user.open(&asked).await.unwrap();
    let answer = emitted(user.seal(&[1; 1900]).answering(request.id()).commit().await.unwrap());
    assert_eq!(user.remaining().send, 0);
    drop(user);
    let user = world.user.attach(world.id).await.unwrap();
    user.open(&last).await.unwrap();
    assert_eq!(user.status(), PadStatus::PadSpent);
    assert!(matches!(user.open(&asked).await, Err(PadError::Answered(again)) if again == answer));
}
