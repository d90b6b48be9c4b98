//! Orders and their answers through the mailbox.

use symbolon::keys::{Epoch, OsRng, UnixTime};
use symbolon::table::{
    Answer, ApprovalError, ApprovalId, Approver, Document, Inbox, MemoryStore, Received, Table, pad,
};
use symbolon::{Asked, Client, ClientError, Order, OrderReply, RemoteDirectory};

use crate::world::{User, World};

/// Somebody who always says the same.
struct Says(Answer);

impl Approver for Says {
    async fn ask(&self, _: &Document) -> Answer {
        self.0
    }
}

struct Person {
    user: User,
    client: Client,
    table: Table<RemoteDirectory>,
    store: MemoryStore,
}

impl Person {
    async fn new(world: &World, name: &str) -> Self {
        let user = User::new(name);
        let client = world.login(&user).await;
        let table = Table::new(user.id, user.identity.table_key(), client.directory());
        Self { user, client, table, store: MemoryStore::new() }
    }

    /// The next letter, accepted and acknowledged.
    async fn next(&self) -> Received {
        let letters = self.client.poll(None, 1).await.unwrap().letters;
        let (number, message) = letters.first().expect("a letter");
        let opened = self.table.open(message).await.unwrap();
        let received = Inbox::new(self.store.clone()).accept(opened).await.unwrap();
        self.client.acknowledge(&[*number]).await.unwrap();
        received
    }

    async fn answer(&self, order: Order, answer: Answer) -> Result<OrderReply, ApprovalError> {
        let key = self.user.identity.signing_key();
        order.ask(&Says(answer), (&self.user.id, &key), "from a test").await
    }

    async fn consent(&self, asked: &Asked, received: &Received) -> Result<Option<Document>, ClientError> {
        let consent = asked.consent(&self.table, received, &self.store).await?;
        assert!(consent.as_ref().is_none_or(|consent| consent.user_info == "from a test"));
        Ok(consent.map(|consent| consent.document))
    }
}

fn document(payee: &Person, seconds: u64) -> Document {
    let expires = UnixTime::from_secs(UnixTime::now().as_secs() + seconds);
    let unit = ("EUR".parse().unwrap(), 2);
    Document::new(ApprovalId::generate(&mut OsRng), 12_34, unit, payee.user.id, expires)
}

fn approval(error: ClientError) -> ApprovalError {
    match error {
        ClientError::Approval(error) => error,
        other => panic!("{other}"),
    }
}

// proves T3 T4
#[tokio::test]
async fn an_order_is_asked_answered_and_counts_once() {
    let world = World::new().await;
    let (alice, bob) = (Person::new(&world, "alice").await, Person::new(&world, "bob").await);
    let document = document(&alice, 600);
    let asked = Asked::new(bob.user.id, &document).unwrap();
    alice.client.ask_approval(&alice.table, &asked).await.unwrap();

    let order = Order::read(&bob.next().await).unwrap();
    assert_eq!((order.from(), order.document()), (&alice.user.id, &document));
    let reply = bob.answer(order, Answer::Approved).await.unwrap();
    assert_eq!((reply.to(), reply.answer()), (&alice.user.id, Answer::Approved));
    // Sent twice, as after a lost answer.
    for _ in 0..2 {
        bob.client.answer_approval(&bob.table, &reply).await.unwrap();
    }
    // After a restart, what is kept of the order is the document.
    let asked = Asked::new(*asked.of(), &Document::from_bytes(asked.document()).unwrap()).unwrap();
    assert_eq!(alice.consent(&asked, &alice.next().await).await.unwrap(), Some(document));
    let again = alice.consent(&asked, &alice.next().await).await.unwrap_err();
    assert_eq!(approval(again), ApprovalError::Replay);
}

#[tokio::test]
async fn no_is_an_answer_and_so_is_silence() {
    let world = World::new().await;
    let (alice, bob) = (Person::new(&world, "alice").await, Person::new(&world, "bob").await);
    for (answer, error) in
        [(Answer::Declined, ApprovalError::Declined), (Answer::TimedOut, ApprovalError::TimedOut)]
    {
        let asked = Asked::new(bob.user.id, &document(&alice, 600)).unwrap();
        alice.client.ask_approval(&alice.table, &asked).await.unwrap();
        let order = Order::read(&bob.next().await).unwrap();
        let reply = bob.answer(order, answer).await.unwrap();
        bob.client.answer_approval(&bob.table, &reply).await.unwrap();
        let received = alice.next().await;
        let other = Asked::new(bob.user.id, &document(&alice, 600)).unwrap();
        assert!(alice.consent(&other, &received).await.unwrap().is_none(), "about another order");
        assert_eq!(approval(alice.consent(&asked, &received).await.unwrap_err()), error);
    }
    // Too late to be signed.
    let late = Asked::new(bob.user.id, &document(&alice, 0)).unwrap();
    alice.client.ask_approval(&alice.table, &late).await.unwrap();
    let order = Order::read(&bob.next().await).unwrap();
    assert_eq!(bob.answer(order, Answer::Approved).await, Err(ApprovalError::Expired));
}

/// What is not an answer of who was asked, to what was asked, is none.
#[tokio::test]
async fn nobody_answers_for_another() {
    let world = World::new().await;
    let (alice, bob) = (Person::new(&world, "alice").await, Person::new(&world, "bob").await);
    let mallory = Person::new(&world, "mallory").await;
    let document = document(&alice, 600);
    let (asked, other) = (Asked::new(bob.user.id, &document), Asked::new(mallory.user.id, &document));
    let (asked, other) = (asked.unwrap(), other.unwrap());
    // Mallory is asked the same, and approves.
    alice.client.ask_approval(&alice.table, &other).await.unwrap();
    let order = Order::read(&mallory.next().await).unwrap();
    let reply = mallory.answer(order, Answer::Approved).await.unwrap();
    mallory.client.answer_approval(&mallory.table, &reply).await.unwrap();
    let received = alice.next().await;
    assert!(alice.consent(&asked, &received).await.unwrap().is_none(), "it is not from bob");
    assert!(alice.consent(&other, &received).await.unwrap().is_some());

    // Bob passes off what mallory signed as his own answer.
    let letter = pad(&[&b"SYA1\x01"[..], document.id.as_bytes(), &[0; 90]].concat());
    let forged = bob.table.seal(&alice.user.id, &letter).await.unwrap();
    bob.client.deposit(&forged).await.unwrap();
    let refused = approval(alice.consent(&asked, &alice.next().await).await.unwrap_err());
    assert_eq!(refused, ApprovalError::Malformed);
    let signed = received.plaintext();
    let forged = bob.table.seal(&alice.user.id, signed).await.unwrap();
    bob.client.deposit(&forged).await.unwrap();
    let refused = approval(alice.consent(&asked, &alice.next().await).await.unwrap_err());
    assert_eq!(refused, ApprovalError::Rejected);

    // Mail that is about something else, or about nothing.
    for plaintext in [&b"hello"[..], b"SYA1", b"SYA1\x00", b"SYA1\x00not a document", b"SYA1\x07what"] {
        for plaintext in [plaintext.to_vec(), pad(plaintext).to_vec()] {
            let sealed = bob.table.seal(&alice.user.id, &plaintext).await.unwrap();
            bob.client.deposit(&sealed).await.unwrap();
            let received = alice.next().await;
            assert!(Order::read(&received).is_none());
            assert!(alice.consent(&asked, &received).await.unwrap().is_none());
        }
    }
}

/// The key that counts is the newest that the asker's table trusts.
#[tokio::test]
async fn an_approval_under_a_key_that_was_replaced_counts_for_nothing() {
    let world = World::new().await;
    let (alice, bob) = (Person::new(&world, "alice").await, Person::new(&world, "bob").await);
    let asked = Asked::new(bob.user.id, &document(&alice, 600)).unwrap();
    alice.client.ask_approval(&alice.table, &asked).await.unwrap();
    let order = Order::read(&bob.next().await).unwrap();
    let reply = bob.answer(order, Answer::Approved).await.unwrap();
    bob.client.answer_approval(&bob.table, &reply).await.unwrap();
    let received = alice.next().await;
    let new = User::new("new").identity;
    let changed = bob.client.change_keys(bob.user.id, &bob.user.identity, &new, &[]).await.unwrap();
    assert_eq!(changed.epoch(), Epoch::new(1));
    let refused = approval(alice.consent(&asked, &received).await.unwrap_err());
    assert_eq!(refused, ApprovalError::Rejected);
    assert_eq!(alice.table.head(&bob.user.id), Some(changed.hash()), "the table followed");
}
