//! What every store must pass: memory here, SQLite in `symbolon-store`, and a store of your own.
//!
//! Each suite takes `fresh`, which makes an empty store, and `reopen`, which closes a store and opens what is durable
//! of it. A failure is a panic that says which promise was broken.

#![expect(clippy::missing_panics_doc, reason = "a suite of tests: it panics where a promise is broken")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests, for other crates' tests"
)]

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;

use symbolon_keys::{Backend, Epoch, Id, OsRng, Secret, SigningKey, TableSecretKey, UnixTime};

use crate::document::ApprovalId;
use crate::letter::{Delivery, Deposit, Full, Letter, Quota};
use crate::message::{Header, MessageId, seal};
use crate::pair::PairRoot;
use crate::record::{PublicKeys, Record, Statement};
use crate::store::{ApprovalStore, DirectoryStore, InboxStore, MailboxStore};

/// The promises of [`DirectoryStore`].
pub async fn directory<S: DirectoryStore>(fresh: impl AsyncFn() -> S, reopen: impl AsyncFn(S) -> S) {
    let store = fresh().await;
    let (alice, bob) = (id("alice"), id("bob"));
    let history = history(alice, 5);
    let [first, second, ..] = history.as_slice() else { panic!("five records") };
    assert_eq!(store.newest(&[alice]).await.unwrap(), [None], "an empty directory knows nobody");
    assert!(!store.append(second).await.unwrap(), "a history begins at epoch 0");
    assert!(store.append(first).await.unwrap());
    assert!(!store.append(first).await.unwrap(), "an epoch is taken once");
    assert!(!store.append(history.get(2).unwrap()).await.unwrap(), "no epoch is skipped");
    for record in history.iter().skip(1) {
        assert!(store.append(record).await.unwrap());
    }
    assert!(!store.append(second).await.unwrap(), "the past is closed");

    let store = reopen(store).await;
    let newest = store.newest(&[bob, alice, bob]).await.unwrap();
    assert_eq!(newest, [None, history.last().cloned(), None], "answers come in the order of the questions");
    assert_eq!(store.newest(&[]).await.unwrap(), []);
    let all = store.history(&alice, Epoch::FIRST, 100).await.unwrap();
    assert_eq!(all, history, "a history is kept whole, byte for byte");
    let some = store.history(&alice, Epoch::new(1), 2).await.unwrap();
    assert_eq!(Some(some.as_slice()), history.get(1..3), "from an epoch, within a limit");
    assert_eq!(store.history(&alice, Epoch::new(5), 9).await.unwrap(), []);
    assert_eq!(store.history(&alice, Epoch::new(u64::MAX), 9).await.unwrap(), []);
    assert_eq!(store.history(&bob, Epoch::FIRST, 9).await.unwrap(), []);

    // Two devices race to register one id: one wins.
    let rivals: Vec<Record> = (0..8).map(|_| self::history(bob, 1).pop().unwrap()).collect();
    let won = join(rivals.iter().map(|record| store.append(record)).collect()).await;
    assert_eq!(won.iter().filter(|won| *won.as_ref().unwrap()).count(), 1, "one winner");
    let winner = rivals.iter().zip(&won).find(|(_, won)| *won.as_ref().unwrap()).map(|(record, _)| record);
    assert_eq!(store.newest(&[bob]).await.unwrap(), [winner.cloned()]);
}

/// The promises of [`MailboxStore`].
pub async fn mailbox<S: MailboxStore>(fresh: impl AsyncFn() -> S, reopen: impl AsyncFn(S) -> S) {
    deposits_and_polls(&fresh, &reopen).await;
    quotas(&fresh().await).await;
    quotas_of_senders(&fresh, &reopen).await;
    races(&fresh().await).await;
}

async fn deposits_and_polls<S: MailboxStore>(fresh: impl AsyncFn() -> S, reopen: impl AsyncFn(S) -> S) {
    let (store, quota) = (fresh().await, Quota::default());
    let (alice, bob, carol) = (id("alice"), id("bob"), id("carol"));
    let letters: Vec<Letter> = (1..=5).map(|time| letter(alice, bob, 10, time)).collect();
    let mut sequences = Vec::new();
    for letter in &letters {
        sequences.push(stored(store.deposit(letter, &quota).await.unwrap()));
    }
    assert!(sequences.is_sorted_by(|a, b| a < b), "numbers go up: {sequences:?}");
    let [one, two, three, ..] = sequences.as_slice() else { panic!("five numbers") };
    assert_eq!(store.deposit(&letters[0], &quota).await.unwrap(), Deposit::Already(*one));
    let mut bytes = letters[0].message().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = Letter::new(bytes, UnixTime::from_secs(9)).unwrap();
    assert_eq!(store.deposit(&forged, &quota).await.unwrap(), Deposit::Conflict);
    assert_eq!(store.poll(&bob, 0, 1).await.unwrap(), [delivery(*one, &letters[0])], "the first is unharmed");
    // A later deposit of the same message keeps the first time.
    let again = Letter::new(letters[0].message().to_vec(), UnixTime::from_secs(99)).unwrap();
    assert_eq!(store.deposit(&again, &quota).await.unwrap(), Deposit::Already(*one));

    let store = reopen(store).await;
    let all: Vec<_> = sequences.iter().zip(&letters).map(|(s, letter)| delivery(*s, letter)).collect();
    assert_eq!(store.poll(&bob, 0, 100).await.unwrap(), all, "polling removes nothing");
    assert_eq!(store.poll(&bob, *two, 2).await.unwrap(), all[2..4], "after a number, within a limit");
    assert_eq!(store.poll(&bob, u64::MAX, 2).await.unwrap(), []);
    assert_eq!(store.poll(&alice, 0, 9).await.unwrap(), [], "a sender sees nothing");
    assert_eq!(store.acknowledge(&carol, &sequences).await.unwrap(), 0, "nobody acknowledges for another");
    assert_eq!(store.acknowledge(&bob, &[*one, *three, u64::MAX, 0]).await.unwrap(), 2);
    assert_eq!(store.acknowledge(&bob, &[*one, *three]).await.unwrap(), 0, "twice is once");
    assert_eq!(store.acknowledge(&bob, &[]).await.unwrap(), 0);

    let store = reopen(store).await;
    let left = [all[1].clone(), all[3].clone(), all[4].clone()];
    assert_eq!(store.poll(&bob, 0, 100).await.unwrap(), left, "acknowledged letters are gone, durably");
    assert_eq!(
        store.expire(UnixTime::from_secs(5)).await.unwrap(),
        2,
        "older than 5: the letters of 2 and 4"
    );
    assert_eq!(store.acknowledge(&bob, &sequences).await.unwrap(), 1);
    let store = reopen(store).await;
    assert_eq!(store.poll(&bob, 0, 100).await.unwrap(), []);
    let next = stored(store.deposit(&letter(alice, bob, 10, 6), &quota).await.unwrap());
    assert!(next > *sequences.last().unwrap(), "a number never comes again, even in an empty mailbox");
}

async fn quotas<S: MailboxStore>(store: &S) {
    let (alice, bob, carol, dave) = (id("alice"), id("bob"), id("carol"), id("dave"));
    let (a, b) = (letter(alice, bob, 100, 1), letter(alice, bob, 100, 2));
    let size = u64::try_from(a.message().len()).unwrap();
    let quota =
        Quota { letters: 3, bytes: size.saturating_mul(4), letters_per_sender: 2, ..Quota::default() };
    let first = stored(store.deposit(&a, &quota).await.unwrap());
    stored(store.deposit(&b, &quota).await.unwrap());
    let third = letter(alice, bob, 1, 3);
    assert_eq!(store.deposit(&third, &quota).await.unwrap(), Deposit::Full(Full::Sender));
    assert_eq!(store.deposit(&a, &quota).await.unwrap(), Deposit::Already(first), "known before full");
    stored(store.deposit(&letter(alice, carol, 100, 3), &quota).await.unwrap());
    let big = letter(dave, bob, 800, 4);
    assert_eq!(store.deposit(&big, &quota).await.unwrap(), Deposit::Full(Full::Bytes));
    stored(store.deposit(&letter(dave, bob, 1, 4), &quota).await.unwrap());
    let fourth = letter(carol, bob, 1, 4);
    assert_eq!(store.deposit(&fourth, &quota).await.unwrap(), Deposit::Full(Full::Letters));
    assert_eq!(store.acknowledge(&bob, &[first]).await.unwrap(), 1);
    stored(store.deposit(&fourth, &quota).await.unwrap());
}

/// What one sender may have lying there, over all mailboxes.
async fn quotas_of_senders<S: MailboxStore>(fresh: impl AsyncFn() -> S, reopen: impl AsyncFn(S) -> S) {
    let store = fresh().await;
    let (alice, bob, carol, dave) = (id("alice"), id("bob"), id("carol"), id("dave"));
    let first = letter(alice, bob, 100, 1);
    let size = u64::try_from(first.message().len()).unwrap();
    let quota = Quota { sender_letters: 3, sender_bytes: size.saturating_mul(4), ..Quota::default() };
    let one = stored(store.deposit(&first, &quota).await.unwrap());
    stored(store.deposit(&letter(alice, carol, 1, 2), &quota).await.unwrap());
    stored(store.deposit(&letter(alice, carol, 1, 9), &quota).await.unwrap());
    let fourth = letter(alice, dave, 1, 9);
    let full = Deposit::Full(Full::SenderLetters);
    assert_eq!(store.deposit(&fourth, &quota).await.unwrap(), full, "to whomever");
    let store = reopen(store).await;
    assert_eq!(store.deposit(&fourth, &quota).await.unwrap(), full, "also after a restart");
    assert_eq!(store.deposit(&first, &quota).await.unwrap(), Deposit::Already(one), "known before full");
    stored(store.deposit(&letter(bob, dave, 1, 9), &quota).await.unwrap());

    // Whoever takes a letter out, and however, gives its sender the place back.
    assert_eq!(store.acknowledge(&bob, &[one]).await.unwrap(), 1);
    assert_eq!(store.acknowledge(&bob, &[one]).await.unwrap(), 0);
    stored(store.deposit(&fourth, &quota).await.unwrap());
    assert_eq!(store.deposit(&letter(alice, bob, 1, 9), &quota).await.unwrap(), full);
    assert_eq!(store.expire(UnixTime::from_secs(9)).await.unwrap(), 1, "the letter of 2");
    let big = letter(alice, bob, first.message().len().saturating_mul(4), 9);
    assert_eq!(store.deposit(&big, &quota).await.unwrap(), Deposit::Full(Full::SenderBytes));
    stored(store.deposit(&letter(alice, bob, 1, 9), &quota).await.unwrap());

    let recipients: Vec<Letter> = (0..8).map(|n| letter(carol, id(&alloc::format!("r{n}")), 1, 9)).collect();
    let answers = join(recipients.iter().map(|letter| store.deposit(letter, &quota)).collect()).await;
    let new = answers.iter().filter(|answer| matches!(answer, Ok(Deposit::Stored(_)))).count();
    assert_eq!(new, 3, "a sender's quota holds under a race");
}

async fn races<S: MailboxStore>(store: &S) {
    let (alice, bob) = (id("alice"), id("bob"));
    let quota = Quota { letters_per_sender: 4, ..Quota::default() };
    let same = letter(alice, bob, 10, 1);
    let answers = join((0..8).map(|_| store.deposit(&same, &quota)).collect()).await;
    let new = answers.iter().filter(|answer| matches!(answer, Ok(Deposit::Stored(_)))).count();
    assert_eq!((new, store.poll(&bob, 0, 9).await.unwrap().len()), (1, 1), "the same letter, twice at once");
    let others: Vec<Letter> = (2..10).map(|time| letter(alice, bob, 10, time)).collect();
    let answers = join(others.iter().map(|letter| store.deposit(letter, &quota)).collect()).await;
    let new = answers.iter().filter(|answer| matches!(answer, Ok(Deposit::Stored(_)))).count();
    assert_eq!((new, store.poll(&bob, 0, 99).await.unwrap().len()), (3, 4), "a quota holds under a race");
}

/// The promises of [`InboxStore`].
pub async fn inbox<S: InboxStore>(fresh: impl AsyncFn() -> S, reopen: impl AsyncFn(S) -> S) {
    let store = fresh().await;
    let (alice, bob, carol) = (id("alice"), id("bob"), id("carol"));
    let (one, two) = (MessageId::from([1; 16]), MessageId::from([2; 16]));
    let (old, new) = (Epoch::new(3), Epoch::new(4));
    assert!(store.remember(&bob, &alice, &one, old).await.unwrap());
    let store = reopen(store).await;
    assert!(!store.remember(&bob, &alice, &one, old).await.unwrap(), "remembered across a restart");
    assert!(!store.remember(&bob, &alice, &one, new).await.unwrap(), "under whatever epoch");
    assert!(store.remember(&bob, &carol, &one, new).await.unwrap(), "another sender's");
    assert!(store.remember(&carol, &alice, &one, old).await.unwrap(), "another recipient's");
    assert!(store.remember(&bob, &alice, &two, new).await.unwrap());

    assert_eq!(store.forget(&bob, old).await.unwrap(), 0, "that epoch is still open");
    assert_eq!(store.forget(&bob, new).await.unwrap(), 1);
    let store = reopen(store).await;
    assert!(store.remember(&bob, &alice, &one, old).await.unwrap(), "forgotten");
    assert!(!store.remember(&bob, &alice, &two, new).await.unwrap());
    assert!(!store.remember(&carol, &alice, &one, old).await.unwrap(), "another recipient's is untouched");

    let three = MessageId::from([3; 16]);
    let answers = join((0..8).map(|_| store.remember(&bob, &alice, &three, new)).collect()).await;
    assert_eq!(answers.iter().filter(|new| *new.as_ref().unwrap()).count(), 1, "one of several at once");
}

/// The promises of [`ApprovalStore`].
pub async fn approvals<S: ApprovalStore>(fresh: impl AsyncFn() -> S, reopen: impl AsyncFn(S) -> S) {
    let store = fresh().await;
    let (one, two) = (ApprovalId::from([1; 16]), ApprovalId::from([2; 16]));
    let at = UnixTime::from_secs;
    assert!(store.spend(&one, at(10)).await.unwrap());
    let store = reopen(store).await;
    assert!(!store.spend(&one, at(20)).await.unwrap(), "spent across a restart");
    assert!(store.spend(&two, at(20)).await.unwrap());
    assert_eq!(store.forget_expired(at(10)).await.unwrap(), 0, "until it expires");
    assert_eq!(store.forget_expired(at(11)).await.unwrap(), 1);
    assert!(!store.spend(&two, at(20)).await.unwrap());
    let three = ApprovalId::from([3; 16]);
    let answers = join((0..8).map(|_| store.spend(&three, at(20))).collect()).await;
    assert_eq!(answers.iter().filter(|new| *new.as_ref().unwrap()).count(), 1, "one of several at once");
}

/// Drives all of `futures` at once, as a runtime would on one thread.
async fn join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut ready = true;
        for (future, output) in running.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *output = Some(value),
                    Poll::Pending => ready = false,
                }
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

fn id(text: &str) -> Id {
    text.parse().expect("an id")
}

fn stored(deposit: Deposit) -> u64 {
    match deposit {
        Deposit::Stored(sequence) => sequence,
        other => panic!("not stored: {other:?}"),
    }
}

fn delivery(sequence: u64, letter: &Letter) -> Delivery {
    Delivery { sequence, letter: letter.clone() }
}

/// A letter of so many bytes under keys that nobody has.
fn letter(from: Id, to: Id, bytes: usize, time: u64) -> Letter {
    let header = Header::fresh((from, Epoch::FIRST), (to, Epoch::FIRST), &mut OsRng);
    let root = PairRoot::from(Secret::generate(&mut OsRng));
    let message = seal(&root, &header, Backend::best(), &vec![0; bytes]).expect("a short message");
    Letter::new(message, UnixTime::from_secs(time)).expect("a message")
}

/// A history of so many records.
fn history(id: Id, records: usize) -> Vec<Record> {
    let mut history: Vec<Record> = Vec::new();
    let mut old = SigningKey::generate(&mut OsRng);
    for _ in 0..records {
        let table = TableSecretKey::generate(Backend::best(), &mut OsRng);
        let signing = SigningKey::generate(&mut OsRng);
        let keys = PublicKeys::new(*table.public_key(), signing.verifying_key());
        let said = Statement::new(id, keys, UnixTime::from_secs(1), UnixTime::from_secs(u64::MAX));
        let record = match history.last() {
            None => said.first(&signing),
            Some(last) => said.next(last, &old, &signing),
        };
        history.push(record.map_err(|error| error.to_string()).expect("a record"));
        old = signing;
    }
    history
}
