//! Documents: stored, granted, re-wrapped, taken back.

use symbolon::agreement::net;
use symbolon::envelope::{Context, RecordId, UserKey, UserParameters};
use symbolon::envelope::{Expect, open};
use symbolon::keys::passphrase::Passphrase;
use symbolon::keys::{Epoch, OsRng};
use symbolon::store::Options;
use symbolon::{Client, ClientError, Limits, Pieces, Process, ProcessPieces, RefusalCode, ServiceError};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use crate::world::{User, World};

pub(crate) fn refused(error: &ClientError) -> Option<RefusalCode> {
    match error {
        ClientError::Refused(refusal) => Some(refusal.code()),
        _ => None,
    }
}

/// A user who is registered, logged in and enrolled, with the key derived again from the passphrase.
pub(crate) async fn enrolled(world: &World, name: &str) -> (User, Client, UserKey) {
    let user = User::new(name);
    let client = world.login(&user).await;
    let passphrase: Passphrase = format!("the passphrase of {name}").parse().unwrap();
    let parameters = UserParameters::generate(Epoch::FIRST, &mut OsRng);
    let realm = world.operator.realm();
    let key = UserKey::derive(realm, user.id, &passphrase, None, &parameters).unwrap();
    world.operator.enrol_key(user.id, &key, &parameters).await.unwrap();
    let told = client.key_parameters(user.id).await.unwrap();
    assert_eq!(told, parameters);
    let derived = UserKey::derive(realm, user.id, &passphrase, None, &told).unwrap();
    assert_eq!(derived.expose(), key.expose(), "E8: the same on any machine");
    (user, client, derived)
}

async fn fetch(
    world: &World,
    client: &Client,
    key: &UserKey,
    record: RecordId,
) -> Result<Vec<u8>, ClientError> {
    let mut out = Vec::new();
    client.get(key, world.operator.realm(), record, &mut out).await.map(|_| out)
}

// proves E3 E4 E5 E8 E9
#[tokio::test]
async fn stored_granted_fetched_revoked() {
    let world = World::new().await;
    let (alice, a, mine) = enrolled(&world, "alice").await;
    let (bob, b, theirs) = enrolled(&world, "bob").await;
    for len in [0, 1, 65_536, 300_000] {
        let document: Vec<u8> = (0..len).map(|n: u32| n.to_be_bytes()[3]).collect();
        let record = RecordId::generate(&mut OsRng);
        let context = Context::new(world.operator.realm(), record, alice.id);
        assert_eq!(a.put(&mine, &context, None, &document[..]).await.unwrap(), 1);
        assert_eq!(fetch(&world, &a, &mine, record).await.unwrap(), document);
        assert_eq!(
            refused(&fetch(&world, &b, &theirs, record).await.unwrap_err()),
            Some(RefusalCode::Denied)
        );
        a.grant(record, bob.id).await.unwrap();
        assert_eq!(fetch(&world, &b, &theirs, record).await.unwrap(), document);
        let other = world.login(&bob).await;
        assert!(fetch(&world, &other, &mine, record).await.is_err(), "under bob's key alone");
        a.revoke(record, bob.id).await.unwrap();
        assert_eq!(
            refused(&fetch(&world, &b, &theirs, record).await.unwrap_err()),
            Some(RefusalCode::Denied)
        );
    }
    let anothers = b.grant(RecordId::generate(&mut OsRng), bob.id).await.unwrap_err();
    assert_eq!(refused(&anothers), Some(RefusalCode::Denied));
}

#[tokio::test]
async fn a_record_is_replaced_at_the_sequence_that_was_seen() {
    let world = World::new().await;
    let (alice, a, mine) = enrolled(&world, "alice").await;
    let record = RecordId::generate(&mut OsRng);
    let context = Context::new(world.operator.realm(), record, alice.id);
    assert_eq!(a.put(&mine, &context, None, &b"one"[..]).await.unwrap(), 1);
    let twice = a.put(&mine, &context, None, &b"two"[..]).await.unwrap_err();
    assert_eq!(refused(&twice), Some(RefusalCode::Conflict));
    assert_eq!(a.put(&mine, &context, Some(1), &b"two"[..]).await.unwrap(), 2);
    let late = a.put(&mine, &context, Some(1), &b"three"[..]).await.unwrap_err();
    assert_eq!(refused(&late), Some(RefusalCode::Conflict));
    assert_eq!(fetch(&world, &a, &mine, record).await.unwrap(), b"two");
}

#[tokio::test]
async fn what_does_not_verify_is_not_stored() {
    let world = World::new().await;
    let (alice, a, mine) = enrolled(&world, "alice").await;
    let (bob, b, _) = enrolled(&world, "bob").await;
    let record = RecordId::generate(&mut OsRng);
    let realm = world.operator.realm();
    let ours = Context::new(realm, record, alice.id);
    // Under another key, in another's name, of another realm.
    let refusals = [
        b.put(&mine, &Context::new(realm, record, bob.id), None, &b"x"[..]).await,
        a.put(&mine, &Context::new(realm, record, bob.id), None, &b"x"[..]).await,
        a.put(&mine, &Context::new("elsewhere".parse().unwrap(), record, alice.id), None, &b"x"[..]).await,
    ];
    for refusal in refusals {
        assert_eq!(refused(&refusal.unwrap_err()), Some(RefusalCode::Denied));
    }
    // A document whose source fails half-way.
    let broken = a.put(&mine, &ours, None, Broken(200_000)).await.unwrap_err();
    assert!(matches!(broken, ClientError::Io(_)), "{broken}");
    drop(a);
    let a = world.login(&alice).await;
    assert_eq!(refused(&fetch(&world, &a, &mine, record).await.unwrap_err()), Some(RefusalCode::Denied));
    assert_eq!(a.put(&mine, &ours, None, &b"whole"[..]).await.unwrap(), 1);
    let nobody = a.grant(record, "nobody".parse().unwrap()).await.unwrap_err();
    assert_eq!(refused(&nobody), Some(RefusalCode::Denied));
}

/// Gives so many bytes, and then fails.
struct Broken(usize);

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.0 == 0 {
            return std::task::Poll::Ready(Err(std::io::Error::other("the disk is gone")));
        }
        let n = buf.remaining().min(self.0);
        buf.put_slice(&vec![7; n]);
        self.0 -= n;
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn strangers_learn_nothing_of_who_is_enrolled() {
    let world = World::new().await;
    let (_, client, _) = enrolled(&world, "alice").await;
    let nobody = "nobody".parse().unwrap();
    let told = client.key_parameters(nobody).await.unwrap();
    assert_eq!(client.key_parameters(nobody).await.unwrap(), told, "the same salt every time");
    let known = client.key_parameters("alice".parse().unwrap()).await.unwrap();
    assert_ne!(told.derivation.salt, known.derivation.salt);
    assert_eq!(told.epoch, known.epoch);
}

#[tokio::test]
async fn a_document_has_a_largest_size() {
    let mut limits = Limits::default();
    limits.document = 100_000;
    let world = World::with(|server| server.limits(limits)).await;
    let (alice, a, mine) = enrolled(&world, "alice").await;
    let record = RecordId::generate(&mut OsRng);
    let context = Context::new(world.operator.realm(), record, alice.id);
    let large = a.put(&mine, &context, None, &vec![7; 200_000][..]).await.unwrap_err();
    assert_eq!(refused(&large), Some(RefusalCode::Full), "{large}");
    let a = world.login(&alice).await;
    assert_eq!(a.put(&mine, &context, None, &vec![7; 90_000][..]).await.unwrap(), 1);
}

/// Counts the bytes that the instruction names.
struct Count;

impl Process for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn process(
        &self,
        _: &Context,
        instruction: &[u8],
        document: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
        let [byte] = instruction else { return Err(ServiceError::Malformed("name one byte")) };
        let count = document.iter().filter(|at| *at == byte).count();
        Ok(Zeroizing::new(count.to_string().into_bytes()))
    }
}

#[tokio::test]
async fn processed_by_instruction_for_whoever_asks_and_may() {
    let world = World::with(|server| server.process(Count)).await;
    let (alice, a, mine) = enrolled(&world, "alice").await;
    let (bob, b, theirs) = enrolled(&world, "bob").await;
    let realm = world.operator.realm();
    let record = RecordId::generate(&mut OsRng);
    let document = b"banana".repeat(40_000);
    a.put(&mine, &Context::new(realm, record, alice.id), None, &document[..]).await.unwrap();

    let mut result = Vec::new();
    a.process((alice.id, &mine), (realm, record), ("count", b"a"), &mut result).await.unwrap();
    assert_eq!(result, b"120000");
    // Bob may ask for himself when he is granted the document, and not before.
    let refusals = [
        a.process((alice.id, &mine), (realm, record), ("count", b"ab"), &mut Vec::new()).await.unwrap_err(),
        a.process((alice.id, &mine), (realm, record), ("unheard-of", b""), &mut Vec::new())
            .await
            .unwrap_err(),
    ];
    assert!(refusals.iter().all(|error| refused(error) == Some(RefusalCode::Service)));
    let not_yet = b.process((bob.id, &theirs), (realm, record), ("count", b"n"), &mut Vec::new()).await;
    assert_eq!(refused(&not_yet.unwrap_err()), Some(RefusalCode::Denied));
    a.grant(record, bob.id).await.unwrap();
    let mut result = Vec::new();
    b.process((bob.id, &theirs), (realm, record), ("count", b"n"), &mut result).await.unwrap();
    assert_eq!(result, b"80000");
}

/// Makes every letter a capital; the instruction is the letter at which it gives up.
struct Capitals;

impl ProcessPieces for Capitals {
    fn name(&self) -> &'static str {
        "capitals"
    }

    fn begin(&self, instruction: &[u8]) -> Result<Box<dyn Pieces>, ServiceError> {
        match instruction {
            [stop] => Ok(Box::new(Capital { stop: *stop, whole: 0 })),
            _ => Err(ServiceError::Malformed("name one letter")),
        }
    }
}

struct Capital {
    stop: u8,
    whole: usize,
}

impl Pieces for Capital {
    fn next(
        &mut self,
        context: &Context,
        piece: Option<&[u8]>,
        result: &mut Vec<u8>,
    ) -> Result<(), ServiceError> {
        assert_eq!(context.owner().unwrap().as_str(), "alice");
        let Some(piece) = piece else {
            result.extend_from_slice(format!(" {}", self.whole).as_bytes());
            return Ok(());
        };
        if piece.contains(&self.stop) {
            return Err(ServiceError::Refused("not that letter".into()));
        }
        self.whole += piece.len();
        result.extend(piece.iter().map(u8::to_ascii_uppercase));
        Ok(())
    }
}

// proves E7
#[tokio::test]
async fn processed_piece_by_piece_and_for_somebody_else() {
    let world = World::with(|server| server.process(Count).process_pieces(Capitals)).await;
    let (alice, a, mine) = enrolled(&world, "alice").await;
    let (bob, _, theirs) = enrolled(&world, "bob").await;
    let (realm, record) = (world.operator.realm(), RecordId::generate(&mut OsRng));
    // Larger than what is processed in one piece of memory may be: no limit of that is met on the way.
    let document = b"banana".repeat(200_000);
    a.put(&mine, &Context::new(realm, record, alice.id), None, &document[..]).await.unwrap();
    let whole = [document.to_ascii_uppercase(), b" 1200000".to_vec()].concat();

    let mut result = Vec::new();
    a.process((alice.id, &mine), (realm, record), ("capitals", b"x"), &mut result).await.unwrap();
    assert!(result == whole);
    for (name, instruction, expected) in [("capitals", b"x", &whole[..]), ("count", b"b", b"200000")] {
        let mut sealed = Vec::new();
        let len = a.process_for(bob.id, record, (name, instruction), &mut sealed).await.unwrap();
        assert_eq!(len, sealed.len() as u64);
        let expect = || Expect::context().realm(realm).record(record);
        assert!(open(&theirs.down(), expect(), &sealed).unwrap().plaintext() == expected, "{name}");
        open(&mine.down(), expect(), &sealed).unwrap_err();
    }
    let failures = [
        a.process_for(bob.id, record, ("capitals", b"n"), &mut Vec::new()).await,
        a.process_for(bob.id, record, ("capitals", b""), &mut Vec::new()).await,
        a.process_for("nobody".parse().unwrap(), record, ("capitals", b"x"), &mut Vec::new()).await,
    ];
    let codes = failures.map(|failure| refused(&failure.unwrap_err()).unwrap());
    assert_eq!(codes, [RefusalCode::Service, RefusalCode::Service, RefusalCode::Denied]);
    a.record(alice.id).await.unwrap().unwrap(); // the session goes on
}

/// Refused while it is still being sent: the client hears why, and not that a connection broke.
#[tokio::test]
async fn an_early_refusal_is_heard() {
    let world = World::new().await;
    let mallory = User::new("mallory");
    let key = UserKey::generate(&mut OsRng);
    let document = vec![7; 24 << 20];
    for _ in 0..4 {
        let client = world.login(&mallory).await;
        let context = Context::new(world.operator.realm(), RecordId::generate(&mut OsRng), mallory.id);
        let early = client.put(&key, &context, None, &document[..]).await.unwrap_err();
        assert_eq!(refused(&early), Some(RefusalCode::Denied), "{early}");
        // The server ended the session, half a document stands in it.
        let after = client.record(mallory.id).await.unwrap_err();
        assert!(after.is_passing(), "{after}");
    }
}

#[tokio::test]
async fn a_full_disk_stores_nothing_and_loses_nothing() {
    let world = World::on(Options::default().max_size(800_000), |server| server).await;
    let (alice, a, mine) = enrolled(&world, "alice").await;
    let realm = world.operator.realm();
    let document = vec![7; 50_000];
    let mut stored = Vec::new();
    let refusal = loop {
        let record = RecordId::generate(&mut OsRng);
        match a.put(&mine, &Context::new(realm, record, alice.id), None, &document[..]).await {
            Ok(_) => stored.push(record),
            Err(refusal) => break refusal,
        }
        assert!(stored.len() < 100, "the database does not grow beyond its limit");
    };
    assert_eq!(refused(&refusal), Some(RefusalCode::Unavailable), "{refusal}");
    assert!(!stored.is_empty());
    for record in stored {
        assert_eq!(fetch(&world, &a, &mine, record).await.unwrap(), document);
    }
}

/// The examples of the specification, sent as they stand there.
#[tokio::test]
async fn the_examples_of_the_specification() {
    let page = include_str!("../../../../docs/protocol.md");
    let world = World::new().await;
    let user = User::new("alice");
    let mut session = net::connect(world.addr, &user.identity.noise_key(), world.key).await.unwrap();
    // A lookup of "a", whom nobody knows; a new document, before any login.
    for (request, answer) in [
        ("01 82 00 82 00 82 04 81 81 61 61", "01 82 00 82 00 82 02 81 81 40"),
        (
            "01 82 00 82 01 82 0d 81 50 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f",
            "01 82 01 82 01 82 01",
        ),
    ] {
        assert!(page.contains(request) && page.contains(answer), "{request}");
        session.send(&hex(request)).await.unwrap();
        let answered = session.recv().await.unwrap().unwrap();
        let answer = hex(answer);
        assert_eq!(answered[..answer.len()], answer, "{request}");
    }
}

fn hex(text: &str) -> Vec<u8> {
    text.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[tokio::test]
async fn one_user_does_not_take_every_place() {
    let world = World::with(|server| {
        let mut limits = Limits::default();
        limits.transfers = 8;
        server.limits(limits)
    })
    .await;
    let (alice, a, mine) = enrolled(&world, "alice").await;
    let (_, b, theirs) = enrolled(&world, "bob").await;
    let second = world.login(&alice).await;
    let context = Context::new(world.operator.realm(), RecordId::generate(&mut OsRng), alice.id);
    // A document that never comes to its end: after a beginning its writer says nothing.
    let (_silent, rest) = tokio::io::duplex(16);
    let document = std::io::Cursor::new(vec![7; 1 << 20]).chain(rest);
    let slow = UserKey::from(symbolon::keys::Secret::from(*mine.expose()));
    let putting = tokio::spawn(async move { a.put(&slow, &context, None, document).await.map(drop) });
    let record = RecordId::generate(&mut OsRng);
    // It must be there first, or it is the one that is refused.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let busy = fetch(&world, &second, &mine, record).await.unwrap_err();
    assert_eq!(refused(&busy), Some(RefusalCode::Unavailable), "{busy}");
    assert!(busy.to_string().contains("on their way"), "refused for something else: {busy}");
    let other = fetch(&world, &b, &theirs, record).await.unwrap_err();
    assert_eq!(refused(&other), Some(RefusalCode::Denied), "{other}");
    putting.abort();
}
