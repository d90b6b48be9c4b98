//! Letters wait, are pushed, are acknowledged.

use core::time::Duration;
use std::sync::Arc;

use symbolon_keys::Id;
use symbolon_table::{
    Cursor, DepositError, Full, Inbox, InboxError, Mailbox, MailboxLimits, MemoryStore, PollError, Quota,
    Table,
};

use crate::fixture::{START, User, Wire, World, at, id};

struct Post {
    world: World,
    alice: User,
    bob: User,
    alices: Table<Arc<Wire>>,
    store: MemoryStore,
    mailbox: Arc<Mailbox<MemoryStore>>,
}

impl Post {
    async fn new() -> Self {
        let world = World::new();
        let (alice, bob) = (world.user("alice").await, world.user("bob").await);
        let (alices, store) = (world.table(&alice), MemoryStore::new());
        let mailbox = Arc::new(Mailbox::new(store.clone()));
        Self { world, alice, bob, alices, store, mailbox }
    }

    async fn send(&self, text: &str) -> u64 {
        let message = self.alices.seal(&self.bob.id, text.as_bytes()).await.unwrap();
        self.mailbox.deposit(&self.alice.id, message, at(START)).await.unwrap()
    }

    async fn texts(&self, table: &Table<Arc<Wire>>, cursor: Option<&Cursor>) -> (Vec<String>, Cursor) {
        let (letters, cursor) = self.mailbox.poll(&self.bob.id, cursor, 64).await.unwrap();
        let mut texts = Vec::new();
        for delivery in letters {
            let opened = table.open(delivery.letter.message()).await.unwrap().accept_replays();
            texts.push(String::from_utf8(opened.plaintext().to_vec()).unwrap());
        }
        (texts, cursor)
    }
}

// proves T8, T9
#[tokio::test]
async fn a_device_polls_what_waited_in_order() {
    let post = Post::new().await;
    let bobs = post.world.table(&post.bob);
    for text in ["one", "two", "three"] {
        post.send(text).await;
    }
    let (texts, cursor) = post.texts(&bobs, None).await;
    assert_eq!(texts, ["one", "two", "three"]);
    assert!(post.texts(&bobs, Some(&cursor)).await.0.is_empty());
    post.send("four").await;
    let cursor = Cursor::from_bytes(&cursor.to_bytes()).unwrap();
    assert_eq!(post.texts(&bobs, Some(&cursor)).await.0, ["four"]);
    assert_eq!(post.texts(&bobs, None).await.0.len(), 4, "not acknowledged, so it is all there");
}

#[tokio::test]
async fn a_lost_acknowledgement_brings_the_letter_again_and_the_inbox_knows_it() {
    let post = Post::new().await;
    let (bobs, inbox) = (post.world.table(&post.bob), Inbox::new(MemoryStore::new()));
    post.send("pay 5").await;
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let (letters, _) = post.mailbox.poll(&post.bob.id, None, 1).await.unwrap();
        let opened = bobs.open(letters[0].letter.message()).await.unwrap();
        outcomes.push(inbox.accept(opened).await.map(drop));
        // The first time the acknowledgement does not arrive.
    }
    assert_eq!(outcomes, [Ok(()), Err(InboxError::Replay)]);
    let (letters, _) = post.mailbox.poll(&post.bob.id, None, 1).await.unwrap();
    assert_eq!(post.mailbox.acknowledge(&post.bob.id, &[letters[0].sequence]).await, Ok(1));
    assert_eq!(post.mailbox.acknowledge(&post.bob.id, &[letters[0].sequence]).await, Ok(0), "twice");
    assert!(post.mailbox.poll(&post.bob.id, None, 1).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn the_same_deposit_again_is_the_same_letter() {
    let post = Post::new().await;
    let message = post.alices.seal(&post.bob.id, b"once").await.unwrap();
    let deposit = async |message: Vec<u8>| post.mailbox.deposit(&post.alice.id, message, at(START)).await;
    let sequence = deposit(message.clone()).await.unwrap();
    assert_eq!(deposit(message.clone()).await, Ok(sequence));
    let mut other = message.clone();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(deposit(other).await, Err(DepositError::Conflict));
    let foreign = post.mailbox.deposit(&post.bob.id, message.clone(), at(START)).await;
    assert_eq!(foreign, Err(DepositError::ForeignSender), "nobody sends in another's name");
    assert_eq!(deposit(message[..40].to_vec()).await, Err(DepositError::Malformed));
}

#[tokio::test]
async fn a_full_mailbox_says_so_and_takes_again_when_read() {
    let Post { world: _world, alice, bob, alices, store, .. } = Post::new().await;
    let mut limits = MailboxLimits::default();
    limits.quota = Quota { letters_per_sender: 2, ..Quota::default() };
    limits.message_len = 500;
    let mailbox = Mailbox::with_limits(store, limits);
    let seal = async |len: usize| alices.seal(&bob.id, &vec![0; len]).await.unwrap();
    let deposit = async |message: Vec<u8>| mailbox.deposit(&alice.id, message, at(START)).await;
    let first = deposit(seal(10).await).await.unwrap();
    deposit(seal(10).await).await.unwrap();
    let third = seal(10).await;
    assert_eq!(deposit(third.clone()).await, Err(DepositError::Full(Full::Sender)));
    assert_eq!(deposit(seal(500).await).await, Err(DepositError::TooLong));
    mailbox.acknowledge(&bob.id, &[first]).await.unwrap();
    deposit(third).await.unwrap();
}

#[tokio::test]
async fn letters_grow_old() {
    let post = Post::new().await;
    post.send("old").await;
    let keep = MailboxLimits::default().keep_for.as_secs();
    assert_eq!(post.mailbox.expire(at(START + keep)).await, Ok(0));
    assert_eq!(post.mailbox.expire(at(START + keep + 1)).await, Ok(1));
    assert!(post.mailbox.poll(&post.bob.id, None, 9).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn a_foreign_cursor_is_refused_and_a_forged_one_removes_nothing() {
    let post = Post::new().await;
    post.send("hello").await;
    let (_, alices) = post.mailbox.poll(&post.alice.id, None, 9).await.unwrap();
    let refused = post.mailbox.poll(&post.bob.id, Some(&alices), 9).await;
    assert_eq!(refused, Err(PollError::ForeignCursor));
    assert!(matches!(post.mailbox.subscribe(&post.bob.id, Some(&alices)), Err(PollError::ForeignCursor)));
    let forged = [&[0, 3][..], b"bob", &u64::MAX.to_be_bytes()].concat();
    let forged = Cursor::from_bytes(&forged).unwrap();
    assert!(post.mailbox.poll(&post.bob.id, Some(&forged), 9).await.unwrap().0.is_empty());
    assert_eq!(post.mailbox.poll(&post.bob.id, None, 9).await.unwrap().0.len(), 1);
    let good = forged.to_bytes();
    for len in 0..good.len() {
        assert!(Cursor::from_bytes(&good[..len]).is_err());
    }
    assert!(Cursor::from_bytes(&[good, vec![0]].concat()).is_err());
}

// proves T10
#[tokio::test]
async fn a_subscription_gives_what_waited_and_then_what_comes() {
    let post = Post::new().await;
    let (first, second) = (post.send("one").await, post.send("two").await);
    let mut push = post.mailbox.subscribe(&post.bob.id, None).unwrap();
    assert_eq!(push.next().await.unwrap().sequence, first);
    // While the backlog is being read, more comes.
    let third = post.send("three").await;
    assert_eq!(push.next().await.unwrap().sequence, second);
    assert_eq!(push.next().await.unwrap().sequence, third);
    let waiting = tokio::spawn(async move {
        let delivery = push.next().await.unwrap();
        (delivery.sequence, push)
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    let fourth = post.send("four").await;
    let (sequence, push) = waiting.await.unwrap();
    assert_eq!(sequence, fourth);
    // A new connection goes on at the cursor.
    let cursor = push.cursor();
    drop(push);
    let fifth = post.send("five").await;
    let mut push = post.mailbox.subscribe(&post.bob.id, Some(&cursor)).unwrap();
    assert_eq!(push.next().await.unwrap().sequence, fifth);
    assert_eq!(format!("{:?}", post.mailbox).matches("listening: 1").count(), 1);
    drop(push);
    assert_eq!(format!("{:?}", post.mailbox).matches("listening: 0").count(), 1, "no bell is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_letter_falls_between_backlog_and_push() {
    let post = Arc::new(Post::new().await);
    let count = 200_u64;
    for listener in 0..4 {
        let (sender, mailbox, bob) = (Arc::clone(&post), Arc::clone(&post.mailbox), post.bob.id);
        let sending = tokio::spawn(async move {
            for n in 0..count {
                sender.send(&n.to_string()).await;
            }
        });
        let listening = tokio::spawn(async move {
            let mut push = mailbox.subscribe(&bob, None).unwrap();
            let mut last = 0;
            for _ in 0..count {
                let delivery = push.next().await.unwrap();
                assert_eq!(delivery.sequence, last.max(listener * count) + 1);
                last = delivery.sequence;
                mailbox.acknowledge(&bob, &[last]).await.unwrap();
            }
        });
        let both = async { (sending.await.unwrap(), listening.await.unwrap()) };
        tokio::time::timeout(Duration::from_secs(30), both).await.expect("a letter was missed");
    }
}

#[tokio::test]
async fn a_letter_stored_by_another_process_is_found_when_the_bell_is_rung() {
    let post = Post::new().await;
    let other = Mailbox::new(post.store.clone());
    let mut push = post.mailbox.subscribe(&post.bob.id, None).unwrap();
    let waiting = tokio::spawn(async move { push.next().await.unwrap().sequence });
    tokio::task::yield_now().await;
    let message = post.alices.seal(&post.bob.id, b"hello").await.unwrap();
    let sequence = other.deposit(&post.alice.id, message, at(START)).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    post.mailbox.ring(&post.bob.id);
    assert_eq!(waiting.await.unwrap(), sequence);
    post.mailbox.ring(&Id::from_bytes(b"nobody").unwrap());
    assert!(post.mailbox.poll(&id("nobody"), None, 9).await.unwrap().0.is_empty());
}
