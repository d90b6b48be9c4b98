//! Steps 3 and 4: messages by id, and an order that is approved.

use core::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use symbolon::keys::{Epoch, Id, OsRng, UnixTime};
use symbolon::table::{
    Answer, Approval, ApprovalError, ApprovalId, Approver, Directory, Document, Inbox, Record, Screen,
    SignedApproval, StoreError, Table,
};
use symbolon::{Client, RemoteDirectory};

use crate::Failure;
use crate::scene::{Scene, User, fails};
use crate::story::Story;

/// Counts how often the directory is asked.
struct Counting {
    directory: RemoteDirectory,
    asked: AtomicUsize,
}

impl Directory for Counting {
    async fn lookup(&self, ids: &[Id]) -> Result<Vec<Option<Record>>, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.directory.lookup(ids).await
    }

    async fn history(&self, id: &Id, from: Epoch) -> Result<Vec<Record>, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.directory.history(id, from).await
    }
}

fn table(user: &User, client: &Client) -> Table<Counting> {
    let directory = Counting { directory: client.directory(), asked: AtomicUsize::new(0) };
    Table::new(user.id, user.identity.table_key(), directory)
}

fn asked(table: &Table<Counting>) -> usize {
    table.directory().asked.load(Ordering::Relaxed)
}

/// One message from one user to another: sealed, left at the server, fetched, opened, accepted, acknowledged.
async fn send(
    (from, sender): (&Table<Counting>, &Client),
    (to, recipient): (&Table<Counting>, &Client),
    inbox: &Inbox<symbolon::AnyStore>,
    text: &[u8],
) -> Result<Vec<u8>, Failure> {
    let sealed = from.seal(to.id(), text).await?;
    let number = sender.deposit(&sealed).await?;
    let letters = recipient.poll(None, 16).await?.letters;
    let (_, message) = letters.iter().find(|(at, _)| *at == number).ok_or("the message did not arrive")?;
    let received = inbox.accept(to.open(message).await?).await?;
    recipient.acknowledge(&[number]).await?;
    Ok(received.plaintext().to_vec())
}

pub(crate) async fn messages_by_id(
    scene: &Scene,
    alice: &Client,
    bob: &Client,
    story: &mut Story,
) -> Result<Vec<u8>, Failure> {
    story
        .step("Messages by id: the sender finds the key, the server forwards, the recipient finds the key")?;
    registered(scene, alice, bob, story).await?;
    for client in [alice, bob] {
        acknowledge_leftovers(client).await?;
    }
    let (sending, receiving) = (table(&scene.alice, alice), table(&scene.bob, bob));
    let inbox = Inbox::new(scene.bob.store.clone());
    let order = order(scene.alice.id)?.to_bytes()?;
    let sealed = sending.seal(&scene.bob.id, &order).await?;
    story.check(
        "T2",
        asked(&sending) == 1 && sending.len() == 1,
        "a miss: the sender's table fetched the key, computed the secret, sealed",
        json!({ "bytes": order.len(), "sealed": sealed.len(), "directory asked": asked(&sending) }),
    )?;
    let number = alice.deposit(&sealed).await?;
    let waiting = scene.has_letter(&scene.bob, number).await?;
    story.check("T8", waiting, "the server stores the message", json!({ "number": number }))?;
    let letters = bob.poll(None, 16).await?.letters;
    let (_, message) = letters.iter().find(|(at, _)| *at == number).ok_or("the message did not arrive")?;
    story.check(
        "T9",
        *message == sealed,
        "the recipient's device polls and has it, as it was sent",
        json!({ "letters": letters.len() }),
    )?;
    let opened = receiving.open(message).await?;
    let from = *opened.from();
    let received = inbox.accept(opened).await?.plaintext().to_vec();
    bob.acknowledge(&[number]).await?;
    story.check(
        "T1",
        received == order && asked(&receiving) == 1,
        "a miss there too: fetched the sender's key, computed the same secret, opened",
        json!({ "from": from.to_string(), "directory asked": asked(&receiving) }),
    )?;
    let replayed = inbox.accept(receiving.open(message).await?).await.err();
    story.check(
        "T5",
        replayed.is_some(),
        "both ids travel with the message, and it is accepted once",
        json!({ "again": replayed.map(|error| error.to_string()) }),
    )?;

    let again = send((&sending, alice), (&receiving, bob), &inbox, b"a second message").await?;
    story.check(
        "T12",
        again == b"a second message" && asked(&sending) == 1 && asked(&receiving) == 1,
        "the second message is a hit at both ends: the directory was not asked again",
        json!({ "asked by sender": asked(&sending), "asked by recipient": asked(&receiving) }),
    )?;
    story.check(
        "T6",
        sending.len() == 1 && receiving.len() == 1,
        "each table holds the secret of its peer, by id",
        json!({ "alice's": sending.len(), "bob's": receiving.len() }),
    )?;
    Ok(received)
}

/// Both put their public keys into the directory, under ids that nobody else gets.
async fn registered(scene: &Scene, alice: &Client, bob: &Client, story: &mut Story) -> Result<(), Failure> {
    let mine = alice.register(scene.alice.id, &scene.alice.identity).await?;
    let theirs = bob.register(scene.bob.id, &scene.bob.identity).await?;
    bob.login(scene.bob.id).await?;
    // Mallory holds other private keys: bob's id is not to be had with them.
    let mallory = scene.connect(&scene.mallory).await?;
    let stolen = fails(mallory.register(scene.bob.id, &scene.mallory.identity)).await;
    story.check(
        "T11",
        stolen.is_some(),
        "both registered their public keys and proved that they hold the private ones; nobody else gets their ids",
        json!({
            "alice": mine.keys().table.to_string(), "bob": theirs.keys().table.to_string(),
            "mallory as bob": stolen,
        }),
    )?;
    let record = alice.record(scene.bob.id).await?.ok_or("bob is not in the directory")?;
    story.check("T7", record == theirs, "the directory hands out the key by id", json!({ "id": "bob" }))
}

/// Messages of runs that were interrupted: they would be in the way of those of this run.
async fn acknowledge_leftovers(client: &Client) -> Result<(), Failure> {
    loop {
        let letters = client.poll(None, 16).await?.letters;
        if letters.is_empty() {
            return Ok(());
        }
        let numbers: Vec<u64> = letters.iter().map(|(number, _)| *number).collect();
        client.acknowledge(&numbers).await?;
    }
}

/// What the first user asks the second to pay.
fn order(payee: Id) -> Result<Document, Failure> {
    let expires = UnixTime::from_secs(UnixTime::now().as_secs().saturating_add(600));
    let mut order =
        Document::new(ApprovalId::generate(&mut OsRng), 12_34, ("EUR".parse()?, 2), payee, expires);
    order.reference = "invoice 2026-117".into();
    order.text = "Two halves of a token, as ordered.".into();
    Ok(order)
}

/// The second user's thumb, which counts what it is shown.
struct Button {
    answer: Answer,
    shown: AtomicUsize,
}

impl Button {
    const fn that_says(answer: Answer) -> Self {
        Self { answer, shown: AtomicUsize::new(0) }
    }
}

impl Approver for Button {
    async fn ask(&self, document: &Document) -> Answer {
        self.shown.fetch_add(document.render(Screen::default()).len(), Ordering::Relaxed);
        self.answer
    }
}

pub(crate) async fn order_is_approved(
    scene: &Scene,
    alice: &Client,
    bob: &Client,
    order: &[u8],
    story: &mut Story,
) -> Result<(), Failure> {
    story.step(
        "The message is a payment order; the recipient approves it, and the signed approval goes back",
    )?;
    let button = Button::that_says(Answer::Declined);
    let declined = Approval::request(order)?.ask(&button).await.err();
    story.check(
        "T4",
        matches!(declined, Some(ApprovalError::Declined)) && button.shown.into_inner() > 0,
        "shown and declined: there is nothing that could be signed",
        json!({ "error": declined.map(|error| error.to_string()) }),
    )?;

    let approval = Approval::request(order)?;
    let pages = approval.document().render(Screen::default());
    let shown: Vec<String> = pages.iter().map(ToString::to_string).collect();
    let button = Button::that_says(Answer::Approved);
    let approved = approval.ask(&button).await?;
    let (id, key) = (&scene.bob.id, scene.bob.identity.signing_key());
    let signed = approved.sign(id, &key, "Bob, account 7", UnixTime::now())?.to_bytes();
    let (replying, asking) = (table(&scene.bob, bob), table(&scene.alice, alice));
    let sealed = replying.seal(&scene.alice.id, &signed).await?;
    let number = bob.deposit(&sealed).await?;
    let letters = alice.poll(None, 16).await?.letters;
    let (_, message) = letters.iter().find(|(at, _)| *at == number).ok_or("the approval did not arrive")?;
    let received = Inbox::new(scene.alice.store.clone()).accept(asking.open(message).await?).await?;
    alice.acknowledge(&[number]).await?;
    let returned = received.plaintext().to_vec();
    let hidden = !message.windows(signed.len()).any(|bytes| bytes == signed);
    story.check(
        "T4",
        button.shown.into_inner() == pages.len() && hidden && returned == signed,
        "approved by a pressed button, then signed, encrypted with the table's secret, and transmitted",
        json!({ "shown": shown, "signed bytes": signed.len(), "sealed bytes": message.len() }),
    )?;

    let signed = SignedApproval::from_bytes(&returned)?;
    let signer = alice.record(scene.bob.id).await?.ok_or("the signer is not in the directory")?;
    let signer = (signer.id(), &signer.keys().verifying);
    let verified = signed.verify(signer, order, UnixTime::now())?;
    let consent = verified.spend(&scene.alice.store).await?;
    let twice = signed.verify(signer, order, UnixTime::now())?.spend(&scene.alice.store).await;
    story.check(
        "T3",
        consent.signer == scene.bob.id && twice.is_err(),
        "the approval verifies under the recipient's key, and counts once",
        json!({ "signer": consent.signer.to_string(), "says": consent.user_info, "again": twice.err().map(|e| e.to_string()) }),
    )
}
