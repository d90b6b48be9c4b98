//! Refreshing in rounds, and keeping a table across a restart.

use std::sync::Arc;

use symbolon_keys::{Backend, Epoch, Id, RootKey, Secret};
use symbolon_table::{
    Directory, InvalidRecord, OnChange, PeerState, Policy, Record, SnapshotError, StoreError, Table,
    TableError,
};

use crate::fixture::{DAY, START, User, Wire, World, at, id};

fn key(n: u8) -> RootKey {
    Secret::from([n; 32]).into()
}

async fn reads(table: &Table<Arc<Wire>>, message: &[u8]) -> Result<Vec<u8>, TableError> {
    Ok(table.open(message).await?.accept_replays().plaintext().to_vec())
}

// proves T13
#[tokio::test]
async fn a_round_confirms_what_is_stale_with_one_question() {
    let world = World::new();
    let alice = world.user("alice").await;
    let alices = world.table(&alice);
    let mut peers = Vec::new();
    for n in 0..20 {
        let peer = world.user(&format!("peer{n:02}")).await;
        alices.seal(&peer.id, b"").await.unwrap();
        peers.push(peer);
    }
    assert_eq!(alices.refresh().await.unwrap().confirmed, 0, "all is fresh");
    world.wait(Policy::default().refresh_after);
    let changed = world.change(&peers[3]).await;
    world.asked();
    let round = alices.refresh().await.unwrap();
    assert_eq!((round.confirmed, round.changed, round.failed), (19, vec![changed.id], vec![]));
    assert_eq!(world.asked(), 2, "one for all, one for the change");
    let message = alices.seal(&changed.id, b"new").await.unwrap();
    assert_eq!(world.asked(), 0);
    assert_eq!(reads(&world.table(&changed), &message).await.unwrap(), b"new");
}

/// For the keys of a peer that the table does not use itself: the newest record, by the same policy.
#[tokio::test]
async fn a_record_is_that_which_the_table_trusts() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let careful = |on_change| {
        let mut policy = Policy::default();
        policy.on_change = on_change;
        world.table_with(&alice, policy)
    };
    let (trusting, asking) = (careful(OnChange::Accept), careful(OnChange::AskFirst));
    for table in [&trusting, &asking] {
        assert_eq!(table.record(&bob.id).await.unwrap(), bob.record, "also of one it never met");
        assert_eq!(table.record(&id("nobody")).await, Err(TableError::UnknownPeer(id("nobody"))));
        assert_eq!(table.record(&alice.id).await, Err(TableError::OwnId));
    }
    // Changed a moment ago: nothing is stale, and the change is seen.
    let newer = world.change(&bob).await;
    assert_eq!(trusting.record(&bob.id).await.unwrap(), newer.record);
    assert_eq!(trusting.head(&bob.id), Some(newer.record.hash()));
    assert!(matches!(asking.record(&bob.id).await, Err(TableError::KeyChanged { .. })));
    assert!(matches!(asking.record(&bob.id).await, Err(TableError::KeyChanged { .. })));
    assert!(asking.approve(&bob.id, &newer.record.hash()).await.unwrap());
    assert_eq!(asking.record(&bob.id).await.unwrap(), newer.record);
    // It is not told from memory: a key may have been given up since.
    world.down(true);
    assert!(matches!(trusting.record(&bob.id).await, Err(TableError::Unavailable(_))));
    world.down(false);
    world.set(crate::fixture::LATER);
    assert_eq!(trusting.record(&bob.id).await, Err(TableError::Expired(bob.id)));
}

#[tokio::test]
async fn a_round_with_the_directory_down_changes_nothing() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let alices = world.table(&alice);
    alices.seal(&bob.id, b"").await.unwrap();
    world.wait(Policy::default().refresh_after);
    world.down(true);
    assert!(matches!(alices.refresh().await, Err(TableError::Unavailable(_))));
    assert_eq!(alices.state(&bob.id), PeerState::Stale(Epoch::FIRST));
    alices.seal(&bob.id, b"").await.unwrap();
}

#[tokio::test]
async fn a_round_finds_changes_that_wait_and_later_ones() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let mut policy = Policy::default();
    policy.on_change = OnChange::AskFirst;
    let alices = world.table_with(&alice, policy);
    alices.seal(&bob.id, b"").await.unwrap();
    let mut newest = bob;
    for _ in 0..2 {
        newest = world.change(&newest).await;
        world.wait(policy.refresh_after);
        assert_eq!(alices.refresh().await.unwrap().changed, [newest.id]);
        let offered = newest.epoch();
        assert_eq!(alices.state(&newest.id), PeerState::Changed { known: Epoch::FIRST, offered });
    }
    assert!(alices.approve(&newest.id, &newest.record.hash()).await.unwrap());
    assert_eq!(alices.state(&newest.id), PeerState::Fresh(newest.epoch()));
}

/// Answers for one id less than it is asked, where it is asked for more than one.
struct Terse(Arc<Wire>);

impl Directory for Terse {
    async fn lookup(&self, ids: &[Id]) -> Result<Vec<Option<Record>>, StoreError> {
        let mut records = self.0.lookup(ids).await?;
        records.truncate(records.len().saturating_sub(1).max(1));
        Ok(records)
    }

    async fn history(&self, id: &Id, from: Epoch) -> Result<Vec<Record>, StoreError> {
        self.0.history(id, from).await
    }
}

#[tokio::test]
async fn who_was_left_out_of_an_answer_is_not_confirmed() {
    let world = World::new();
    let alice = world.user("alice").await;
    let clock = Arc::new(core::sync::atomic::AtomicU64::new(START));
    let now = Arc::clone(&clock);
    let alices = Table::builder(alice.id, alice.key(), Terse(Arc::clone(&world.wire)))
        .clock(move || at(now.load(core::sync::atomic::Ordering::SeqCst)))
        .build();
    for name in ["bob", "carol"] {
        alices.seal(&world.user(name).await.id, b"").await.unwrap();
    }
    clock.fetch_add(Policy::default().refresh_after.as_secs(), core::sync::atomic::Ordering::SeqCst);
    let round = alices.refresh().await.unwrap();
    assert_eq!((round.confirmed, round.changed), (1, vec![]));
    let [(left_out, TableError::Directory(InvalidRecord::History))] = round.failed[..] else {
        panic!("{:?}", round.failed)
    };
    assert_eq!(alices.state(&left_out), PeerState::Stale(Epoch::FIRST));
}

/// A clock that ran ahead and was set right: what was confirmed in that future is not fresh until it comes.
#[tokio::test]
async fn a_clock_set_back_makes_nothing_fresh() {
    const AHEAD: u64 = START + 3000 * DAY;
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let alices = world.table(&alice);
    world.set(AHEAD);
    alices.seal(&bob.id, b"").await.unwrap();
    alices.seal(&id("carol"), b"").await.unwrap_err();
    assert_eq!(alices.state(&id("carol")), PeerState::Unknown);
    world.set(AHEAD - 59);
    assert_eq!(alices.state(&bob.id), PeerState::Fresh(Epoch::FIRST), "clocks may be read out of order");

    world.set(START);
    assert_eq!(alices.state(&bob.id), PeerState::Stale(Epoch::FIRST));
    assert_eq!(alices.state(&id("carol")), PeerState::Absent, "nor is anybody unknown until then");
    world.asked();
    alices.seal(&bob.id, b"").await.unwrap();
    assert_eq!((world.asked(), alices.state(&bob.id)), (1, PeerState::Fresh(Epoch::FIRST)));

    // A directory that failed in that future is asked again.
    world.set(AHEAD);
    world.down(true);
    alices.seal(&bob.id, b"").await.unwrap_err();
    world.down(false);
    world.set(START + 2 * DAY);
    alices.seal(&bob.id, b"").await.unwrap();
    assert_eq!(alices.state(&bob.id), PeerState::Fresh(Epoch::FIRST));
}

/// The inbox forgets what lies below the oldest epoch: so no clock may bring that epoch back.
#[tokio::test]
async fn a_key_past_its_date_opens_nothing_again() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let bobs = world.table(&bob);
    let early = world.table(&alice).seal(&bob.id, b"early").await.unwrap();
    let newer = world.change(&bob).await;
    bobs.rotate(newer.key(), newer.epoch(), at(START + DAY)).unwrap();
    assert_eq!(bobs.oldest_epoch(), bob.epoch());
    assert_eq!(reads(&bobs, &early).await.unwrap(), b"early");
    world.set(START + DAY);
    assert_eq!(bobs.oldest_epoch(), newer.epoch());
    world.set(START);
    assert_eq!(bobs.oldest_epoch(), newer.epoch());
    assert_eq!(reads(&bobs, &early).await, Err(TableError::Retired));
}

#[tokio::test]
async fn states() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let alices = Arc::new(world.table(&alice));
    assert_eq!(alices.state(&bob.id), PeerState::Absent);
    let closed = world.wire.gate.acquire().await.unwrap();
    let sealing = tokio::spawn({
        let (alices, bob) = (Arc::clone(&alices), bob.id);
        async move { alices.seal(&bob, b"").await }
    });
    tokio::task::yield_now().await;
    assert_eq!(alices.state(&bob.id), PeerState::Fetching);
    drop(closed);
    sealing.await.unwrap().unwrap();
    assert_eq!(alices.state(&bob.id), PeerState::Fresh(Epoch::FIRST));
    world.wait(Policy::default().refresh_after);
    assert_eq!(alices.state(&bob.id), PeerState::Stale(Epoch::FIRST));
    assert_eq!(alices.seal(&id("carol"), b"").await, Err(TableError::UnknownPeer(id("carol"))));
    assert_eq!(alices.state(&id("carol")), PeerState::Unknown);
    alices.forget(&id("carol"));
    assert_eq!(alices.state(&id("carol")), PeerState::Absent);
    alices.forget(&bob.id);
    assert_eq!(alices.state(&bob.id), PeerState::Absent);
}

#[tokio::test]
async fn a_table_comes_back_after_a_restart() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let (alices, bobs) = (world.table(&alice), world.table(&bob));
    let early = alices.seal(&bob.id, b"early").await.unwrap();
    reads(&bobs, &early).await.unwrap();
    // With a retired secret in it.
    let newer = world.change(&alice).await;
    let late = world.table(&newer).seal(&bob.id, b"late").await.unwrap();
    reads(&bobs, &late).await.unwrap();
    let snapshot = bobs.snapshot(&key(1)).unwrap();
    world.down(true);
    world.asked();

    let bobs = world.table(&bob);
    assert_eq!(bobs.restore(&key(1), &snapshot), Ok(1));
    assert_eq!(bobs.restore(&key(1), &snapshot), Ok(0), "what is there stays");
    assert_eq!(bobs.head(&alice.id), Some(newer.record.hash()));
    assert_eq!(reads(&bobs, &early).await.unwrap(), b"early");
    assert_eq!(reads(&bobs, &late).await.unwrap(), b"late");
    bobs.seal(&alice.id, b"").await.unwrap();
    assert_eq!(world.asked(), 0);
    world.wait(Policy::default().retire_after);
    assert_eq!(reads(&bobs, &early).await, Err(TableError::Retired));
}

#[tokio::test]
async fn a_restart_amid_our_own_change() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let bobs = world.table(&bob);
    let early = world.table(&alice).seal(&bob.id, b"early").await.unwrap();
    reads(&bobs, &early).await.unwrap();
    let (newer, until) = (world.change(&bob).await, at(START + DAY));
    bobs.rotate(newer.key(), newer.epoch(), until).unwrap();
    let snapshot = bobs.snapshot(&key(1)).unwrap();
    let now = world.now();
    let bobs = Table::builder(newer.id, newer.key(), Arc::clone(&world.wire))
        .epoch(newer.epoch())
        .opens_also(bob.key(), bob.epoch(), until)
        .clock(move || at(now))
        .build();
    bobs.restore(&key(1), &snapshot).unwrap();
    assert_eq!(reads(&bobs, &early).await.unwrap(), b"early");
    assert_eq!(bobs.oldest_epoch(), bob.epoch());
}

#[tokio::test]
async fn an_offered_change_is_asked_for_again_after_a_restart() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let mut policy = Policy::default();
    policy.on_change = OnChange::AskFirst;
    let bobs = world.table_with(&bob, policy);
    bobs.seal(&alice.id, b"").await.unwrap();
    let newer = world.change(&alice).await;
    world.wait(policy.refresh_after);
    assert!(bobs.seal(&alice.id, b"").await.is_err());
    let snapshot = bobs.snapshot(&key(1)).unwrap();
    let bobs = world.table_with(&bob, policy);
    bobs.restore(&key(1), &snapshot).unwrap();
    assert!(matches!(bobs.seal(&alice.id, b"").await, Err(TableError::KeyChanged { .. })));
    assert!(bobs.approve(&alice.id, &newer.record.hash()).await.unwrap());
}

#[tokio::test]
async fn a_snapshot_that_is_not_ours_is_refused() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let alices = world.table(&alice);
    alices.seal(&bob.id, b"").await.unwrap();
    let good = alices.snapshot(&key(1)).unwrap();
    assert_ne!(good, alices.snapshot(&key(1)).unwrap(), "a fresh salt each time");
    let empty = world.table(&alice);
    let restore = |bytes: &[u8]| empty.restore(&key(1), bytes).unwrap_err();
    assert_eq!(empty.restore(&key(2), &good), Err(SnapshotError::Rejected));
    assert_eq!(world.table(&bob).restore(&key(1), &good), Err(SnapshotError::Foreign));
    for bit in 0..good.len() * 8 {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let said = restore(&flipped);
        let expected: &[SnapshotError] = match bit / 8 {
            0 => &[SnapshotError::Malformed],
            1..8 => &[SnapshotError::Foreign, SnapshotError::Malformed],
            _ => &[SnapshotError::Rejected],
        };
        assert!(expected.contains(&said), "bit {bit}: {said:?}");
    }
    for len in 0..good.len() {
        restore(&good[..len]);
    }
    restore(&[good.clone(), vec![0]].concat());
    assert!(empty.is_empty());
    assert_eq!(empty.restore(&key(1), &good), Ok(1));
    // The same on every backend.
    for &backend in Backend::ALL {
        let other = Table::builder(alice.id, alice.key(), Arc::clone(&world.wire)).backend(backend).build();
        assert_eq!(other.restore(&key(1), &good), Ok(1));
    }
}

#[tokio::test]
async fn a_table_tells_what_it_is_and_no_secret() {
    let user = User::new("alice", START);
    let world = World::new();
    let table = world.table(&user);
    assert_eq!(format!("{table:?}"), "Table { id: Id(alice), peers: 0, .. }");
    let builder = Table::builder(user.id, user.key(), Arc::clone(&world.wire));
    let printed = format!("{builder:?}");
    assert!(printed.starts_with("TableBuilder { id: Id(alice), key: DhSecretKey<table>("), "{printed}");
    assert!(!printed.contains(&hex::encode(user.seed.expose())));
}
