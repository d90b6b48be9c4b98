//! The table: one call to seal, one to open, whatever it knows of the peer.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use symbolon_keys::{Epoch, OsRng, TableSecretKey, label};
use symbolon_table::{
    Directory, DirectoryServer, InvalidRecord, MemoryStore, OnChange, Policy, Record, StoreError, Table,
    TableError,
};

use crate::fixture::{DAY, START, User, Wire, World, at, id};

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

async fn opened(table: &Table<Arc<Wire>>, message: &[u8]) -> Result<Vec<u8>, TableError> {
    Ok(table.open(message).await?.accept_replays().plaintext().to_vec())
}

// proves T1, T2, T5, T6, T12
#[tokio::test]
async fn a_miss_asks_the_directory_once_and_a_hit_never() {
    let world = World::new();
    let (alice, bob, carol) = (world.user("alice").await, world.user("bob").await, world.user("carol").await);
    let (alices, bobs, carols) = (world.table(&alice), world.table(&bob), world.table(&carol));

    let first = alices.seal(&bob.id, b"one").await.unwrap();
    assert_eq!(world.asked(), 1);
    let message = bobs.open(&first).await.unwrap().accept_replays();
    assert_eq!(
        (message.plaintext(), message.from(), message.epoch()),
        (&b"one"[..], &alice.id, Epoch::FIRST)
    );
    assert_eq!(world.asked(), 1);

    let second = alices.seal(&bob.id, b"two").await.unwrap();
    assert_eq!(opened(&bobs, &second).await.unwrap(), b"two");
    let back = bobs.seal(&alice.id, b"three").await.unwrap();
    assert_eq!(opened(&alices, &back).await.unwrap(), b"three");
    assert_eq!(world.asked(), 0, "all of these are hits");

    let third = carols.seal(&bob.id, b"four").await.unwrap();
    assert_eq!(opened(&bobs, &third).await.unwrap(), b"four");
    assert_eq!((alices.len(), bobs.len(), carols.len()), (1, 2, 1));
    assert_eq!(bobs.head(&alice.id), Some(alice.record.hash()));
}

#[tokio::test]
async fn a_message_opens_only_where_it_belongs() {
    let world = World::new();
    let (alice, bob, carol) = (world.user("alice").await, world.user("bob").await, world.user("carol").await);
    let (alices, bobs, carols) = (world.table(&alice), world.table(&bob), world.table(&carol));
    let message = alices.seal(&bob.id, b"hello").await.unwrap();
    assert_eq!(opened(&carols, &message).await, Err(TableError::Misaddressed(bob.id)));
    // Reflection: it comes back to its sender.
    assert_eq!(opened(&alices, &message).await, Err(TableError::Misaddressed(bob.id)));
    world.asked();
    // Readdressed by whoever carries it: "bob" becomes "eve", or "alice" becomes "carol".
    let replace = |from: &str, to: &str| -> Vec<u8> {
        let place = message.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut bytes = message.clone();
        bytes[place..place + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let eve = world.user("eve").await;
    assert_eq!(opened(&world.table(&eve), &replace("bob", "eve")).await, Err(TableError::Rejected));
    assert_eq!(opened(&bobs, &replace("alice", "carol")).await, Err(TableError::Rejected), "misbinding");
    assert_eq!(opened(&bobs, &message).await.unwrap(), b"hello");
    assert_eq!(alices.seal(&alice.id, b"").await, Err(TableError::OwnId));
    assert_eq!(opened(&bobs, b"").await, Err(TableError::Malformed));
}

#[tokio::test]
async fn what_is_not_for_us_costs_no_question() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let message = world.table(&alice).seal(&bob.id, b"hello").await.unwrap();
    let bobs = world.table(&bob);
    world.asked();
    // The recipient's epoch follows sender, epoch and recipient.
    let place = 1 + 2 + 5 + 8 + 2 + 3;
    let mut future = message.clone();
    future[place + 7] = 1;
    assert_eq!(opened(&bobs, &future).await, Err(TableError::UnknownEpoch));
    assert_eq!(world.asked(), 0);
    assert!(bobs.is_empty());
}

#[tokio::test]
async fn an_unknown_peer_is_remembered_as_unknown_for_a_while() {
    let world = World::new();
    let alice = world.user("alice").await;
    let alices = world.table(&alice);
    let bob = User::new("bob", START);
    let message = world.table(&bob).seal(&alice.id, b"hello").await.unwrap();
    world.asked();
    for _ in 0..3 {
        assert_eq!(alices.seal(&bob.id, b"").await, Err(TableError::UnknownPeer(bob.id)));
        assert_eq!(opened(&alices, &message).await, Err(TableError::UnknownPeer(bob.id)));
    }
    assert_eq!(world.asked(), 1);
    world.register(&bob).await.unwrap();
    assert_eq!(opened(&alices, &message).await, Err(TableError::UnknownPeer(bob.id)), "not asked again yet");
    world.wait(Policy::default().unknown_for);
    assert_eq!(opened(&alices, &message).await.unwrap(), b"hello");
}

#[tokio::test]
async fn many_callers_one_question() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let alices = Arc::new(world.table(&alice));
    // Nobody gets an answer before all have asked.
    let closed = world.wire.gate.acquire().await.unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (alices, bob) = (Arc::clone(&alices), bob.id);
            tokio::spawn(async move { alices.seal(&bob, b"hello").await })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(closed);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn callers_who_go_away_leave_nothing_behind() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let alices = Arc::new(world.table(&alice));
    let closed = world.wire.gate.acquire().await.unwrap();
    let spawn = || {
        let (alices, bob) = (Arc::clone(&alices), bob.id);
        tokio::spawn(async move { alices.seal(&bob, b"hello").await })
    };
    let (first, second, third) = (spawn(), spawn(), spawn());
    tokio::task::yield_now().await;
    // The one who asks, and one of those who wait.
    first.abort();
    second.abort();
    assert!(first.await.unwrap_err().is_cancelled() && second.await.unwrap_err().is_cancelled());
    drop(closed);
    third.await.unwrap().unwrap();
    assert_eq!(world.asked(), 2, "the question of the first, and that of the third");
    alices.seal(&bob.id, b"").await.unwrap();
}

#[tokio::test]
async fn one_failure_answers_all_who_wait() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let alices = Arc::new(world.table(&alice));
    world.down(true);
    let closed = world.wire.gate.acquire().await.unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (alices, bob) = (Arc::clone(&alices), bob.id);
            tokio::spawn(async move { alices.seal(&bob, b"hello").await })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(closed);
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert!(matches!(error, TableError::Unavailable(_)) && error.is_retryable());
    }
    assert_eq!(world.asked(), 1);
    world.down(false);
    alices.seal(&bob.id, b"").await.unwrap();
}

#[tokio::test]
async fn one_message_that_does_not_open_is_no_answer_to_another() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let old = world.table(&alice).seal(&bob.id, b"old").await.unwrap();
    let newer = world.change(&alice).await;
    let new = world.table(&newer).seal(&bob.id, b"new").await.unwrap();
    world.wait(Policy::default().retire_after);
    let bobs = Arc::new(world.table(&bob));
    let closed = world.wire.gate.acquire().await.unwrap();
    let spawn = |message: Vec<u8>| {
        let bobs = Arc::clone(&bobs);
        tokio::spawn(async move { opened(&bobs, &message).await })
    };
    let (first, second) = (spawn(old), spawn(new));
    tokio::task::yield_now().await;
    drop(closed);
    assert_eq!(first.await.unwrap(), Err(TableError::Retired));
    assert_eq!(second.await.unwrap().unwrap(), b"new");
}

// proves T13
#[tokio::test]
async fn a_changed_key_is_noticed_by_age_and_messages_sealed_before_still_open() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let (alices, bobs) = (world.table(&alice), world.table(&bob));
    alices.seal(&bob.id, b"").await.unwrap();
    let before = alices.seal(&bob.id, b"before").await.unwrap();
    opened(&bobs, &before).await.unwrap();

    let newer = world.change(&alice).await;
    let new_alices = world.table(&newer);
    let after = new_alices.seal(&bob.id, b"after").await.unwrap();
    world.asked();
    assert_eq!(opened(&bobs, &after).await.unwrap(), b"after", "asked for on demand");
    assert_eq!(opened(&bobs, &before).await.unwrap(), b"before", "sealed just before the change");
    assert_eq!(world.asked(), 1);
    // Bob seals to the new key now; the old table of Alice cannot open that, the new one can.
    let answer = bobs.seal(&alice.id, b"answer").await.unwrap();
    assert_eq!(opened(&alices, &answer).await, Err(TableError::UnknownEpoch));
    assert_eq!(opened(&new_alices, &answer).await.unwrap(), b"answer");

    world.wait(Policy::default().retire_after - Duration::from_secs(1));
    assert_eq!(opened(&bobs, &before).await.unwrap(), b"before");
    world.wait(Duration::from_secs(1));
    assert_eq!(opened(&bobs, &before).await, Err(TableError::Retired));
    assert_eq!(opened(&bobs, &after).await.unwrap(), b"after");
}

#[tokio::test]
async fn a_message_under_a_replaced_key_opens_for_one_who_never_met_the_sender() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let before = world.table(&alice).seal(&bob.id, b"before").await.unwrap();
    let newer = world.change(&alice).await;
    let newest = world.change(&newer).await;
    let bobs = world.table(&bob);
    assert_eq!(opened(&bobs, &before).await.unwrap(), b"before");
    let after = world.table(&newest).seal(&bob.id, b"after").await.unwrap();
    assert_eq!(opened(&bobs, &after).await.unwrap(), b"after");
    assert_eq!(opened(&bobs, &before).await.unwrap(), b"before");
    world.wait(Policy::default().retire_after);
    assert_eq!(opened(&world.table(&bob), &before).await, Err(TableError::Retired));
}

#[tokio::test]
async fn a_stale_key_is_asked_for_before_it_seals() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let alices = world.table(&alice);
    alices.seal(&bob.id, b"").await.unwrap();
    let newer = world.change(&bob).await;
    world.wait(Policy::default().refresh_after - Duration::from_secs(1));
    world.asked();
    let old = alices.seal(&bob.id, b"to the old key").await.unwrap();
    assert_eq!(world.asked(), 0);
    world.wait(Duration::from_secs(1));
    let new = alices.seal(&bob.id, b"to the new key").await.unwrap();
    assert_eq!(world.asked(), 1);
    assert_eq!(opened(&world.table(&bob), &old).await.unwrap(), b"to the old key");
    assert_eq!(opened(&world.table(&newer), &new).await.unwrap(), b"to the new key");
    // Unchanged: fresh again for another day.
    world.wait(Policy::default().refresh_after);
    alices.seal(&bob.id, b"").await.unwrap();
    alices.seal(&bob.id, b"").await.unwrap();
    assert_eq!(world.asked(), 1 + 2, "one for the stale key, two for Bob's tables");
}

#[tokio::test]
async fn with_the_directory_down_hits_go_on_and_misses_fail() {
    let world = World::new();
    let (alice, bob, carol) = (world.user("alice").await, world.user("bob").await, world.user("carol").await);
    let (alices, bobs) = (world.table(&alice), world.table(&bob));
    let message = alices.seal(&bob.id, b"").await.unwrap();
    opened(&bobs, &message).await.unwrap();
    world.down(true);
    let unavailable = TableError::Unavailable(StoreError::retryable("no route to the directory"));
    assert_eq!(alices.seal(&carol.id, b"").await, Err(unavailable.clone()));
    let message = alices.seal(&bob.id, b"a hit").await.unwrap();
    assert_eq!(opened(&bobs, &message).await.unwrap(), b"a hit");
    // Stale, but usable; and the directory is not asked again at once.
    world.wait(Policy::default().refresh_after);
    world.asked();
    for _ in 0..5 {
        alices.seal(&bob.id, b"stale").await.unwrap();
    }
    assert_eq!(world.asked(), 1);
    world.wait(Policy::default().retry_after);
    alices.seal(&bob.id, b"stale").await.unwrap();
    assert_eq!(world.asked(), 1);
    // Too old to be used on nobody's word.
    world.wait(Policy::default().stale_for);
    assert_eq!(alices.seal(&bob.id, b"").await, Err(unavailable));
    assert_eq!(opened(&bobs, &message).await.unwrap(), b"a hit", "what came still opens");
    world.down(false);
    world.wait(Policy::default().retry_after);
    alices.seal(&bob.id, b"").await.unwrap();
}

#[tokio::test]
async fn a_key_past_its_validity_seals_nothing() {
    let world = World::new();
    let alice = world.user("alice").await;
    let bob = User::new("bob", START);
    let said = symbolon_table::Statement::new(bob.id, *bob.record.keys(), at(START), at(START + DAY / 2));
    let bob = User { record: said.first(&bob.signing).unwrap(), ..bob };
    world.register(&bob).await.unwrap();
    let alices = world.table(&alice);
    alices.seal(&bob.id, b"").await.unwrap();
    world.wait(Duration::from_secs(DAY / 2));
    assert_eq!(alices.seal(&bob.id, b"").await, Err(TableError::Expired(bob.id)));
    let newer = world.change(&bob).await;
    let message = alices.seal(&bob.id, b"again").await.unwrap();
    assert_eq!(opened(&world.table(&newer), &message).await.unwrap(), b"again");
}

#[tokio::test]
async fn ask_first_uses_a_changed_key_only_when_approved() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let careful = policy(|policy| policy.on_change = OnChange::AskFirst);
    let (alices, bobs) = (world.table(&alice), world.table_with(&bob, careful));
    let before = alices.seal(&bob.id, b"before").await.unwrap();
    opened(&bobs, &before).await.unwrap();
    let newer = world.change(&alice).await;
    let after = world.table(&newer).seal(&bob.id, b"after").await.unwrap();
    let changed = TableError::KeyChanged {
        peer: alice.id,
        known: Epoch::FIRST,
        offered: Epoch::new(1),
        head: newer.record.hash(),
    };
    assert!(changed.is_retryable());
    for _ in 0..2 {
        assert_eq!(opened(&bobs, &after).await, Err(changed.clone()));
        assert_eq!(bobs.seal(&alice.id, b"").await, Err(changed.clone()));
        assert_eq!(opened(&bobs, &before).await.unwrap(), b"before");
    }
    assert_eq!(bobs.head(&alice.id), Some(alice.record.hash()));
    assert!(!bobs.approve(&alice.id, &alice.record.hash()).await.unwrap(), "not what was offered");
    assert!(bobs.approve(&alice.id, &newer.record.hash()).await.unwrap());
    assert!(!bobs.approve(&alice.id, &newer.record.hash()).await.unwrap(), "nothing waits any more");
    assert!(!bobs.approve(&id("nobody"), &newer.record.hash()).await.unwrap());
    assert_eq!(opened(&bobs, &after).await.unwrap(), b"after");
    assert_eq!(opened(&bobs, &before).await.unwrap(), b"before");
    let answer = bobs.seal(&alice.id, b"answer").await.unwrap();
    assert_eq!(opened(&world.table(&newer), &answer).await.unwrap(), b"answer");
}

#[tokio::test]
async fn refuse_never_takes_a_changed_key() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let bobs = world.table_with(&bob, policy(|policy| policy.on_change = OnChange::Refuse));
    bobs.seal(&alice.id, b"").await.unwrap();
    let newer = world.change(&alice).await;
    world.wait(Policy::default().refresh_after);
    assert!(matches!(bobs.seal(&alice.id, b"").await, Err(TableError::KeyChanged { .. })));
    let refused = bobs.approve(&alice.id, &newer.record.hash()).await;
    assert!(matches!(refused, Err(TableError::KeyChanged { .. })));
    // Met anew, by a person's decision.
    bobs.forget(&alice.id);
    let message = bobs.seal(&alice.id, b"again").await.unwrap();
    assert_eq!(opened(&world.table(&newer), &message).await.unwrap(), b"again");
}

#[tokio::test]
async fn our_own_change_overlaps() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let (alices, bobs) = (world.table(&alice), world.table(&bob));
    let early = alices.seal(&bob.id, b"early").await.unwrap();
    opened(&bobs, &early).await.unwrap();
    let newer = world.change(&bob).await;
    let late = alices.seal(&bob.id, b"late").await.unwrap();
    bobs.rotate(newer.key(), newer.epoch(), at(START + 7 * DAY)).unwrap();
    assert_eq!(bobs.oldest_epoch(), bob.epoch());
    assert_eq!(opened(&bobs, &late).await.unwrap(), b"late", "to the old key");
    let from_new = bobs.seal(&alice.id, b"from the new key").await.unwrap();
    assert_eq!(opened(&alices, &from_new).await.unwrap(), b"from the new key");
    let to_new = alices.seal(&bob.id, b"to the new key").await.unwrap();
    assert_eq!(opened(&bobs, &to_new).await.unwrap(), b"to the new key");
    assert_eq!(opened(&bobs, &late).await.unwrap(), b"late");
    // A sender whom the new key never met, to the old key.
    let carol = world.user("carol").await;
    let carols = world.table(&carol);
    let stranger = {
        let old = Table::new(carol.id, carol.key(), Old(bob.record.clone()));
        old.seal(&bob.id, b"to the old key").await.unwrap()
    };
    assert_eq!(opened(&bobs, &stranger).await.unwrap(), b"to the old key");
    drop(carols);
    world.wait(Duration::from_secs(7 * DAY));
    assert_eq!(opened(&bobs, &late).await, Err(TableError::Retired));
    assert_eq!(opened(&bobs, &stranger).await, Err(TableError::Retired));
    assert_eq!(opened(&bobs, &to_new).await.unwrap(), b"to the new key");
    assert_eq!(bobs.oldest_epoch(), newer.epoch());
    let other = TableSecretKey::generate(symbolon_keys::Backend::best(), &mut OsRng);
    assert_eq!(bobs.rotate(other, newer.epoch(), at(0)), Err(TableError::UnknownEpoch));
}

/// A directory that knows one record, for ever.
struct Old(Record);

impl Directory for Old {
    async fn lookup(&self, _: &[symbolon_keys::Id]) -> Result<Vec<Option<Record>>, StoreError> {
        Ok(vec![Some(self.0.clone())])
    }

    async fn history(&self, _: &symbolon_keys::Id, _: Epoch) -> Result<Vec<Record>, StoreError> {
        Ok(vec![self.0.clone()])
    }
}

/// A directory that answers what it is told to.
#[derive(Default)]
struct Liar(std::sync::Mutex<(Option<Record>, Vec<Record>)>);

impl Liar {
    fn say(&self, newest: Option<&Record>, history: &[&Record]) {
        *self.0.lock().unwrap() = (newest.cloned(), history.iter().map(|record| (*record).clone()).collect());
    }
}

impl Directory for Liar {
    async fn lookup(&self, _: &[symbolon_keys::Id]) -> Result<Vec<Option<Record>>, StoreError> {
        Ok(vec![self.0.lock().unwrap().0.clone()])
    }

    async fn history(&self, _: &symbolon_keys::Id, _: Epoch) -> Result<Vec<Record>, StoreError> {
        Ok(self.0.lock().unwrap().1.clone())
    }
}

/// The change as `usurper` would have it: in its place, linked to the one before, signed by the wrong key only.
fn unsigned_change(change: &Record, usurper: &User) -> Record {
    let mut body = change.as_bytes()[..change.as_bytes().len() - 128].to_vec();
    let place = 1 + 2 + change.id().as_bytes().len() + 8 + 32;
    body[place..place + 32].copy_from_slice(usurper.signing.verifying_key().as_bytes());
    let sign = |purpose| *usurper.signing.sign(purpose, &[&body]).unwrap().as_bytes();
    let signatures = [sign(label::TABLE_RECORD), sign(label::TABLE_CHANGE)].concat();
    let record = Record::from_bytes([body, signatures].concat()).unwrap();
    record.verify().unwrap();
    record
}

#[tokio::test]
async fn a_directory_that_lies_is_found_by_who_remembers_a_head() {
    let (alice, bob) = (User::new("alice", START), User::new("bob", START));
    let (bob1, usurper) = (bob.next(START), User::new("bob", START));
    let (bob2, usurper1) = (bob1.next(START), usurper.next(START));
    let time = Arc::new(AtomicU64::new(START));
    let (liar, clock) = (Arc::new(Liar::default()), Arc::clone(&time));
    let table = Table::builder(alice.id, alice.key(), Arc::clone(&liar))
        .clock(move || at(clock.load(Ordering::SeqCst)))
        .build();
    liar.say(Some(&bob1.record), &[]);
    table.seal(&bob.id, b"").await.unwrap();
    assert_eq!(table.head(&bob.id), Some(bob1.record.hash()));

    let usurper2 = usurper1.next(START);
    let unsigned = unsigned_change(&bob2.record, &usurper);
    let lies: [(&str, &[&Record]); 7] = [
        ("cut history", &[]),
        ("an old key", &[&bob.record]),
        ("another key at the same epoch", &[&usurper1.record]),
        ("another key after it", &[&bob1.record, &usurper2.record]),
        ("a gap", &[&bob2.record]),
        ("the head last", &[&bob.record, &bob1.record]),
        ("somebody else", &[&alice.record]),
    ];
    for (name, history) in lies {
        time.fetch_add(2 * DAY, Ordering::SeqCst);
        liar.say(history.last().copied(), history);
        let refused = table.seal(&bob.id, b"").await;
        assert_eq!(refused, Err(TableError::Directory(InvalidRecord::History)), "{name}");
        assert_eq!(table.head(&bob.id), Some(bob1.record.hash()), "{name}: what was known stays");
    }
    time.fetch_add(2 * DAY, Ordering::SeqCst);
    liar.say(Some(&unsigned), &[&bob1.record, &unsigned]);
    assert_eq!(table.seal(&bob.id, b"").await, Err(TableError::Directory(InvalidRecord::Signature)));
    assert_eq!(table.head(&bob.id), Some(bob1.record.hash()), "a change that the user did not sign");
    // The truth again.
    liar.say(Some(&bob2.record), &[&bob1.record, &bob2.record]);
    table.seal(&bob.id, b"").await.unwrap();
    assert_eq!(table.head(&bob.id), Some(bob2.record.hash()));
    // A stranger's record under a name asked for the first time.
    liar.say(Some(&usurper.record), &[]);
    assert_eq!(
        table.seal(&id("carol"), b"").await,
        Err(TableError::Directory(InvalidRecord::Epoch)),
        "a record of another id"
    );
}

#[tokio::test]
async fn a_directory_that_takes_back_a_change_lied() {
    let (alice, bob) = (User::new("alice", START), User::new("bob", START));
    let bob1 = bob.next(START);
    let time = Arc::new(AtomicU64::new(START));
    let (liar, clock) = (Arc::new(Liar::default()), Arc::clone(&time));
    let table = Table::builder(alice.id, alice.key(), Arc::clone(&liar))
        .clock(move || at(clock.load(Ordering::SeqCst)))
        .policy(policy(|policy| policy.on_change = OnChange::AskFirst))
        .build();
    liar.say(Some(&bob.record), &[]);
    table.seal(&bob.id, b"").await.unwrap();
    time.fetch_add(2 * DAY, Ordering::SeqCst);
    liar.say(Some(&bob1.record), &[&bob.record, &bob1.record]);
    assert!(matches!(table.seal(&bob.id, b"").await, Err(TableError::KeyChanged { .. })));
    // A message that names an epoch beyond makes the table ask again.
    let bobs =
        Table::builder(bob.id, bob1.key(), Arc::new(Old(alice.record.clone()))).epoch(Epoch::new(9)).build();
    let message = bobs.seal(&alice.id, b"").await.unwrap();
    liar.say(Some(&bob.record), &[&bob.record]);
    assert!(matches!(table.open(&message).await, Err(TableError::KeyChanged { .. })), "still waiting");
}

#[tokio::test]
async fn strangers_are_bounded() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let bobs = world.table_with(&bob, policy(|policy| policy.fetches = 50));
    let known = world.table(&alice).seal(&bob.id, b"").await.unwrap();
    opened(&bobs, &known).await.unwrap();
    world.asked();
    // Forged messages from very many senders: the header is all that an attacker needs.
    let many: usize = std::env::var("SYMBOLON_STRANGERS").map_or(100_000, |n| n.parse().unwrap());
    let (mut unknown, mut busy) = (0, 0);
    for n in 0..many {
        let message = renamed(&known, &format!("s{n}"));
        match bobs.open(&message).await {
            Err(TableError::UnknownPeer(_)) => unknown += 1,
            Err(TableError::Busy) => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((unknown, busy), (49, many - 49), "one fetch went to Alice");
    assert_eq!(world.asked(), 49);
    assert_eq!(bobs.len(), 1);
    assert_eq!(opened(&bobs, &known).await.unwrap(), b"", "who is known is served all the while");
    world.wait(Duration::from_secs(60));
    assert!(matches!(bobs.open(&renamed(&known, "sx")).await, Err(TableError::UnknownPeer(_))));
}

/// The message as if `sender` had sent it.
fn renamed(message: &[u8], sender: &str) -> Vec<u8> {
    let len = u16::from_be_bytes([message[1], message[2]]);
    let name = [&u16::try_from(sender.len()).unwrap().to_be_bytes(), sender.as_bytes()].concat();
    [&message[..1], &name, &message[3 + usize::from(len)..]].concat()
}

#[tokio::test]
async fn one_sender_makes_the_table_ask_a_few_times_a_minute() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let bobs = world.table(&bob);
    let message = world.table(&alice).seal(&bob.id, b"").await.unwrap();
    // The sender's epoch follows version and name.
    let place = 1 + 2 + 5;
    world.asked();
    for n in 0..20 {
        let mut forged = message.clone();
        forged[place + 7] = n + 1;
        let error = opened(&bobs, &forged).await.unwrap_err();
        let expected = if n < 4 { TableError::UnknownEpoch } else { TableError::Busy };
        assert_eq!(error, expected, "{n}");
    }
    assert!(world.asked() <= 5);
}

#[tokio::test]
async fn the_table_is_bounded() {
    let world = World::new();
    let alice = world.user("alice").await;
    let alices = world.table_with(&alice, policy(|policy| policy.capacity = 32));
    for n in 0..100 {
        let peer = world.user(&format!("peer{n}")).await;
        alices.seal(&peer.id, b"").await.unwrap();
        assert!(alices.len() <= 32, "{}", alices.len());
    }
}

#[tokio::test]
async fn a_store_of_the_directory_serves_every_table() {
    // The directory itself, in one process, without a wire.
    let server = Arc::new(DirectoryServer::new(MemoryStore::new()));
    let mut tables = Vec::new();
    let now = symbolon_keys::UnixTime::now();
    for name in ["alice", "bob"] {
        let user = User::new(name, now.as_secs());
        let challenge = server.begin(&user.id, now).await.unwrap();
        let answer = challenge.answer(user.record.clone(), &user.table, &user.signing).unwrap();
        server.register(&answer, now).await.unwrap();
        tables.push(Table::new(user.id, user.key(), Arc::clone(&server)));
    }
    let message = tables[0].seal(&id("bob"), b"hello").await.unwrap();
    assert_eq!(tables[1].open(&message).await.unwrap().accept_replays().plaintext(), b"hello");
}
