//! Steps 3 and 4: messages by id, and an order that is approved.

use core::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use symbolon::keys::{Epoch, Id, OsRng, UnixTime};
use symbolon::table::{
    Answer, Approval, ApprovalId, Approver, Directory, Document, Inbox, Record, Screen, SignedApproval,
    StoreError, Table,
};
use symbolon::{Client, RemoteDirectory};

use crate::Failure;
use crate::scene::{Scene, User};
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
    story.step("Messages by id: the sender finds the key, the server forwards, the recipient finds the key");
    let mine = alice.register(scene.alice.id, &scene.alice.identity).await?;
    let theirs = bob.register(scene.bob.id, &scene.bob.identity).await?;
    bob.login(scene.bob.id).await?;
    story.shows(
        "T11",
        "both registered their public keys and proved that they hold the private ones",
        json!({ "alice": mine.keys().table.to_string(), "bob": theirs.keys().table.to_string() }),
    );
    let record = alice.record(scene.bob.id).await?.ok_or("bob is not in the directory")?;
    story.check("T7", record == theirs, "the directory hands out the key by id", json!({ "id": "bob" }))?;

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
    story.shows("T8", "the server stores the message", json!({ "number": number }));
    let letters = bob.poll(None, 16).await?.letters;
    let (_, message) = letters.iter().find(|(at, _)| *at == number).ok_or("the message did not arrive")?;
    story.shows("T9", "the recipient's device polls and has it", json!({ "letters": letters.len() }));
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

/// What the first user asks the second to pay.
fn order(payee: Id) -> Result<Document, Failure> {
    let expires = UnixTime::from_secs(UnixTime::now().as_secs().saturating_add(600));
    let mut order =
        Document::new(ApprovalId::generate(&mut OsRng), 12_34, ("EUR".parse()?, 2), payee, expires);
    order.reference = "invoice 2026-117".into();
    order.text = "Two halves of a token, as ordered.".into();
    Ok(order)
}

/// The second user's thumb: it reads what is shown, and presses the button.
struct Button;

impl Approver for Button {
    async fn ask(&self, document: &Document) -> Answer {
        let shown = document.render(Screen::default());
        if shown.is_empty() { Answer::Declined } else { Answer::Approved }
    }
}

pub(crate) async fn order_is_approved(
    scene: &Scene,
    alice: &Client,
    bob: &Client,
    order: &[u8],
    story: &mut Story,
) -> Result<(), Failure> {
    story
        .step("The message is a payment order; the recipient approves it, and the signed approval goes back");
    let approval = Approval::request(order)?;
    let document = approval.document().clone();
    let pages = document.render(Screen::default());
    let shown: Vec<String> = pages.iter().map(ToString::to_string).collect();
    let signed = approval.ask(&Button).await?.sign(
        &scene.bob.id,
        &scene.bob.identity.signing_key(),
        "Bob, account 7",
        UnixTime::now(),
    )?;
    story.shows(
        "T4",
        "shown from the signed bytes, approved by a pressed button, then signed",
        json!({ "shown": shown, "signed bytes": signed.to_bytes().len() }),
    );

    let (replying, asking) = (table(&scene.bob, bob), table(&scene.alice, alice));
    let inbox = Inbox::new(scene.alice.store.clone());
    let returned = send((&replying, bob), (&asking, alice), &inbox, &signed.to_bytes()).await?;
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
