//! Limits: each is met, says what to do, and holds up nobody else.

use std::time::Duration;

use symbolon::agreement::net;
use symbolon::envelope::{Context, RecordId};
use symbolon::keys::{Backend, Identity, OsRng};
use symbolon::table::{Table, pad};
use symbolon::{
    AnyStore, ClientError, Limits, Rate, Refusal, RefusalCode, Server, ServerError, ServerFolder,
};
use tokio::time::timeout;

use crate::documents::{enrolled, refused};
use crate::world::{User, World, url};

async fn world(set: impl FnOnce(&mut Limits)) -> World {
    let mut limits = Limits::default();
    set(&mut limits);
    World::with(|server| server.limits(limits)).await
}

fn refusal(error: ClientError) -> Refusal {
    match error {
        ClientError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn limits_within_which_nobody_is_served_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bad: [fn(&mut Limits); 8] = [
        |limits| limits.sessions = 0,
        |limits| limits.requests = usize::MAX,
        |limits| limits.transfers = 0,
        |limits| limits.request_rate.burst = 0,
        |limits| limits.document = limits.documents_per_owner + 1,
        |limits| limits.documents = 1,
        |limits| limits.mailbox.letters = 0,
        |limits| limits.ping = limits.idle,
    ];
    for (n, set) in bad.into_iter().enumerate() {
        let identity = Identity::generate(Backend::best(), &mut OsRng);
        let store = AnyStore::provision(&url(&folder.path().join(format!("{n}.db")))).await.unwrap();
        let rest = ServerFolder::provision(folder.path().join(n.to_string()), &identity).unwrap();
        let mut limits = Limits::default();
        set(&mut limits);
        let refused = Server::builder(store, identity, rest).limits(limits).bind("127.0.0.1:0").await;
        assert!(matches!(refused, Err(ServerError::Limits(_))), "{n}");
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let world = world(|limits| limits.request_rate = Rate::new(1, 8)).await;
    let (alice, bob) = (User::new("alice"), User::new("bob"));
    let client = world.login(&alice).await;
    let told = loop {
        if let Err(error) = client.record(alice.id).await {
            break refusal(error);
        }
    };
    assert_eq!((told.code(), told.retry_after()), (RefusalCode::Unavailable, Some(Duration::from_secs(1))));
    assert!(told.reason().contains("come back in 1 s"), "{told}");
    // Another session is the same user; another user is not.
    let again = world.connect(&alice).await;
    let told = again.login(alice.id).await.err().or(again.record(alice.id).await.err());
    assert_eq!(refused(&told.unwrap()), Some(RefusalCode::Unavailable));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    client.record(alice.id).await.unwrap();
    world.connect(&bob).await;
}

#[tokio::test]
async fn registrations_are_rationed_by_source() {
    let world = world(|limits| limits.registration_rate = Rate::new(1, 2)).await;
    for name in ["one", "two"] {
        world.login(&User::new(name)).await;
    }
    let three = User::new("three");
    let told = world.connect(&three).await.register(three.id, &three.identity).await.unwrap_err();
    assert!(refusal(told).retry_after().is_some());
}

#[tokio::test]
async fn quotas_of_documents() {
    let world = world(|limits| {
        (limits.document, limits.documents_per_owner, limits.documents) = (100_000, 150_000, 200_000);
    })
    .await;
    let realm = world.operator.realm();
    let (alice, a, mine) = enrolled(&world, "alice").await;
    let (bob, b, theirs) = enrolled(&world, "bob").await;
    let [one, two, three] = [(); 3].map(|()| RecordId::generate(&mut OsRng));
    let document = vec![7; 90_000];
    a.put(&mine, &Context::new(realm, one, alice.id), None, &document[..]).await.unwrap();
    let full = a.put(&mine, &Context::new(realm, two, alice.id), None, &document[..]).await.unwrap_err();
    assert_eq!(refused(&full), Some(RefusalCode::Full), "{full}");
    // In its own place a document always fits; and what another owner has does not count.
    let a = world.login(&alice).await;
    a.put(&mine, &Context::new(realm, one, alice.id), Some(1), &document[..]).await.unwrap();
    b.put(&theirs, &Context::new(realm, two, bob.id), None, &document[..]).await.unwrap();
    // Bob's quota would take it; the server has no room.
    let full = b.put(&theirs, &Context::new(realm, three, bob.id), None, &[7; 40_000][..]).await.unwrap_err();
    assert_eq!(refused(&full), Some(RefusalCode::Full), "{full}");
}

#[tokio::test]
async fn two_documents_of_one_owner_at_once_keep_the_quota() {
    let world = world(|limits| (limits.document, limits.documents_per_owner) = (100_000, 150_000)).await;
    let (alice, a, mine) = enrolled(&world, "alice").await;
    let b = world.login(&alice).await;
    let document = vec![7; 90_000];
    let contexts =
        [(); 2].map(|()| Context::new(world.operator.realm(), RecordId::generate(&mut OsRng), alice.id));
    let (one, two) = tokio::join!(
        a.put(&mine, &contexts[0], None, &document[..]),
        b.put(&mine, &contexts[1], None, &document[..])
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
}

#[tokio::test]
async fn a_mailbox_takes_what_the_operator_says() {
    let world = world(|limits| limits.mailbox.letters = 2).await;
    let (alice, bob) = (User::new("alice"), User::new("bob"));
    let (a, b) = (world.login(&alice).await, world.login(&bob).await);
    let table = Table::new(alice.id, alice.identity.table_key(), a.directory());
    for _ in 0..2 {
        a.deposit(&table.seal(&bob.id, &pad(b"hello")).await.unwrap()).await.unwrap();
    }
    let third = table.seal(&bob.id, &pad(b"hello")).await.unwrap();
    assert_eq!(refused(&a.deposit(&third).await.unwrap_err()), Some(RefusalCode::Full));
    let letters = b.poll(None, 9).await.unwrap().letters;
    b.acknowledge(&[letters[0].0]).await.unwrap();
    a.deposit(&third).await.unwrap();
}

/// A peer that vanished from a push session is noticed: it answers no ping. One that answers stays.
#[tokio::test]
async fn who_listens_is_there() {
    let world = world(|limits| {
        (limits.ping, limits.idle) = (Duration::from_millis(50), Duration::from_millis(500));
    })
    .await;
    let alice = User::new("alice");
    world.login(&alice).await.close().await.unwrap();
    let client = world.connect(&alice).await;
    client.login(alice.id).await.unwrap();
    let mut pushed = client.subscribe(None).await.unwrap();
    let listening = tokio::spawn(async move { pushed.next().await.map(drop) });

    // Login as alice, subscribe from the beginning; then silence.
    let mut silent = net::connect(world.addr, &alice.identity.noise_key(), world.key).await.unwrap();
    for request in
        [&b"\x01\x82\x00\x82\x00\x82\x00\x81\x65alice"[..], b"\x01\x82\x00\x82\x01\x82\x09\x81\x40"]
    {
        silent.send(request).await.unwrap();
    }
    let ended = async {
        let mut pings = 0;
        while let Ok(Some(message)) = silent.recv().await {
            pings += usize::from(message == b"\x01\x82\x06\x80");
        }
        pings
    };
    let pings = timeout(Duration::from_secs(20), ended).await.expect("the server ends the session");
    assert!(pings > 3, "{pings}");
    assert!(!listening.is_finished(), "who answers stays");
    listening.abort();
}
