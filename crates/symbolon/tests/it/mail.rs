//! Registration and mail.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use symbolon::agreement::net::Listener;
use symbolon::keys::{Backend, Epoch, OsRng, Secret, UnixTime};
use symbolon::table::{
    Directory, Header, Inbox, InboxError, PairRoot, PeerState, Policy, Table, TableError, seal,
};
use symbolon::{Client, ClientError, Follow, RefusalCode};

use crate::world::{User, World};

fn refused(error: &ClientError) -> Option<RefusalCode> {
    match error {
        ClientError::Refused(refusal) => Some(refusal.code()),
        _ => None,
    }
}

fn table(user: &User, client: &Client) -> Table<symbolon::RemoteDirectory> {
    Table::new(user.id, user.identity.table_key(), client.directory())
}

// proves T1 T2 T5 T6 T7 T8 T9 T11 T12
#[tokio::test]
async fn from_registration_to_acknowledgement() {
    let world = World::new().await;
    let (alice, bob) = (User::new("alice"), User::new("bob"));
    let (a, b) = (world.login(&alice).await, world.login(&bob).await);
    let (sending, receiving) = (table(&alice, &a), table(&bob, &b));
    let store = world.database("bob.db").await;
    let inbox = Inbox::new(store);

    let sealed = sending.seal(&bob.id, b"hello").await.unwrap();
    let number = a.deposit(&sealed).await.unwrap();
    assert_eq!(a.deposit(&sealed).await.unwrap(), number, "deposited twice, it lies there once");
    let polled = b.poll(None, 10).await.unwrap();
    assert_eq!(polled.letters, [(number, sealed.clone())]);
    let received = inbox.accept(receiving.open(&sealed).await.unwrap()).await.unwrap();
    assert_eq!((received.from(), received.plaintext()), (&alice.id, &b"hello"[..]));
    let again = inbox.accept(receiving.open(&sealed).await.unwrap()).await.unwrap_err();
    assert_eq!(again, InboxError::Replay);
    b.acknowledge(&[number]).await.unwrap();
    b.acknowledge(&[number]).await.unwrap();
    assert!(b.poll(None, 10).await.unwrap().letters.is_empty());
    assert!(b.poll(polled.cursor.as_ref(), 10).await.unwrap().letters.is_empty());

    let nobody = sending.seal(&"nobody".parse().unwrap(), b"hello").await.unwrap_err();
    assert!(matches!(nobody, TableError::UnknownPeer(_)), "{nobody}");
}

#[tokio::test]
async fn nobody_takes_another_name_or_mailbox() {
    let world = World::new().await;
    let (alice, bob) = (User::new("alice"), User::new("bob"));
    let a = world.login(&alice).await;
    // The same id with other keys.
    let thief = User { id: alice.id, ..User::new("thief") };
    let t = world.connect(&thief).await;
    let taken = t.register(alice.id, &thief.identity).await.unwrap_err();
    assert!(taken.to_string().contains("alice"), "{taken}");
    assert_eq!(refused(&t.login(alice.id).await.unwrap_err()), Some(RefusalCode::Denied));
    assert_eq!(refused(&t.poll(None, 1).await.unwrap_err()), Some(RefusalCode::NotLoggedIn));

    // A message to nobody: quotas are each mailbox's, and ids are free to think of.
    let nobody = ("nobody".parse().unwrap(), Epoch::FIRST);
    let header = Header::fresh((alice.id, Epoch::FIRST), nobody, &mut OsRng);
    let unread = seal(&PairRoot::from(Secret::from([7; 32])), &header, Backend::best(), b"").unwrap();
    assert_eq!(refused(&a.deposit(&unread).await.unwrap_err()), Some(RefusalCode::Denied));

    // A message in somebody else's name, and somebody else's cursor.
    let b = world.login(&bob).await;
    let sealed = table(&alice, &a).seal(&bob.id, b"pay").await.unwrap();
    assert_eq!(refused(&b.deposit(&sealed).await.unwrap_err()), Some(RefusalCode::Denied));
    a.deposit(&sealed).await.unwrap();
    let cursor = b.poll(None, 1).await.unwrap().cursor;
    assert_eq!(refused(&a.poll(cursor.as_ref(), 1).await.unwrap_err()), Some(RefusalCode::Denied));
    a.acknowledge(&[1]).await.unwrap();
    assert_eq!(
        b.poll(None, 1).await.unwrap().letters.len(),
        1,
        "acknowledging another's letter does nothing"
    );
}

#[tokio::test]
async fn pages_hold_what_fits_and_the_cursor_goes_on() {
    let world = World::new().await;
    let (alice, bob) = (User::new("alice"), User::new("bob"));
    let (a, b) = (world.login(&alice).await, world.login(&bob).await);
    let sending = table(&alice, &a);
    let large = vec![7; 60_000];
    let mut sent = Vec::new();
    for _ in 0..20 {
        let sealed = sending.seal(&bob.id, &large).await.unwrap();
        a.deposit(&sealed).await.unwrap();
        sent.push(sealed);
    }
    let mut got = Vec::new();
    let mut cursor = None;
    loop {
        let page = b.poll(cursor.as_ref(), 100).await.unwrap();
        if page.letters.is_empty() {
            break;
        }
        got.extend(page.letters.into_iter().map(|(_, message)| message));
        cursor = page.cursor;
    }
    assert_eq!(got, sent, "in order, none twice, none lost");
    let huge = sending.seal(&bob.id, &vec![7; 70_000]).await.unwrap();
    assert_eq!(refused(&a.deposit(&huge).await.unwrap_err()), Some(RefusalCode::Malformed));
}

// proves T10
#[tokio::test]
async fn pushed_backlog_first_then_live() {
    let world = World::new().await;
    let (alice, bob) = (User::new("alice"), User::new("bob"));
    let (a, b) = (world.login(&alice).await, world.login(&bob).await);
    let sending = table(&alice, &a);
    let mut sent = Vec::new();
    for n in 0_u8..3 {
        sent.push(sending.seal(&bob.id, &[n]).await.unwrap());
        a.deposit(&sent[usize::from(n)]).await.unwrap();
    }
    let mut pushed = b.subscribe(None).await.unwrap();
    for want in &sent {
        assert_eq!(&pushed.next().await.unwrap().1, want);
    }
    let live = sending.seal(&bob.id, b"live").await.unwrap();
    a.deposit(&live).await.unwrap();
    let (number, message) = pushed.next().await.unwrap();
    assert_eq!(message, live);
    pushed.close().await.unwrap();
    let again = world.login(&bob).await;
    again.acknowledge(&[number]).await.unwrap();
    assert_eq!(
        again.poll(None, 10).await.unwrap().letters.len(),
        3,
        "what was not acknowledged is still there"
    );
}

// proves A7
#[tokio::test]
async fn profiles_are_compared_and_a_mismatch_ends_the_session() {
    let world = World::new().await;
    let alice = User::new("alice");
    world.operator.enrol_profile(alice.id, b"born 1970").await.unwrap();
    let client = world.login(&alice).await;
    client.verify_profile(b"born 1970").await.unwrap();
    let wrong = client.verify_profile(b"born 1971").await.unwrap_err();
    assert_eq!(refused(&wrong), Some(RefusalCode::Denied));
    assert!(matches!(client.record(alice.id).await, Err(ClientError::Closed)), "the session is over");
    let nobody = world.login(&User::new("bob")).await;
    assert_eq!(refused(&nobody.verify_profile(b"").await.unwrap_err()), Some(RefusalCode::Denied));
}

// proves T10
#[tokio::test]
async fn push_goes_on_through_a_restart() {
    let mut world = World::new().await;
    let (alice, bob) = (User::new("alice"), User::new("bob"));
    let (a, b) = (world.login(&alice).await, world.login(&bob).await);
    drop(b);
    let addr = Arc::new(Mutex::new(world.addr));
    let (at, key, me) = (Arc::clone(&addr), world.key, Arc::new(bob));
    let recipient = me.id;
    let mut follow = Follow::new(recipient, None, move || {
        let (at, me) = (*at.lock().unwrap(), Arc::clone(&me));
        async move {
            let client = Client::connect(at, &me.identity, key).await?;
            client.login(me.id).await?;
            Ok(client)
        }
    });
    let sealed = table(&alice, &a).seal(&recipient, b"before").await.unwrap();
    a.deposit(&sealed).await.unwrap();
    assert_eq!(follow.next().await.unwrap().1, sealed);

    world.restart().await;
    *addr.lock().unwrap() = world.addr;
    let a = world.connect(&alice).await;
    a.login(alice.id).await.unwrap();
    let after = table(&alice, &a).seal(&recipient, b"after").await.unwrap();
    a.deposit(&after).await.unwrap();
    assert_eq!(follow.next().await.unwrap().1, after, "the first is not given again");
    assert!(follow.cursor().is_some());
}

// proves T13
#[tokio::test]
async fn keys_change_and_devices_are_linked() {
    let world = World::new().await;
    let (phone, laptop) = (User::new("alice-phone"), User::new("alice-laptop"));
    let (p, l) = (world.login(&phone).await, world.login(&laptop).await);
    let one = p.change_keys(phone.id, &phone.identity, &phone.identity, &[laptop.id]).await.unwrap();
    let two = l.record(laptop.id).await.unwrap().unwrap();
    assert!(!one.is_linked_with(&two), "a link holds when both say so");
    let two = l.change_keys(laptop.id, &laptop.identity, &laptop.identity, &[phone.id]).await.unwrap();
    assert!(one.is_linked_with(&two));

    // New keys, signed by the old ones. A message sealed just before still opens; the login follows the record.
    let bob = User::new("bob");
    let b = world.login(&bob).await;
    let sealed = table(&bob, &b).seal(&phone.id, b"just before").await.unwrap();
    let new = User::new("new").identity;
    let changed = p.change_keys(phone.id, &phone.identity, &new, &[laptop.id]).await.unwrap();
    let mine = Table::builder(phone.id, phone.identity.table_key(), p.directory()).epoch(one.epoch()).build();
    let until = UnixTime::now().saturating_add(Duration::from_secs(60));
    mine.rotate(new.table_key(), changed.epoch(), until).unwrap();
    assert_eq!(mine.open(&sealed).await.unwrap().accept_replays().plaintext(), b"just before");
    // Asked for again, as after a lost answer: it is that record, and no other change hides behind it.
    let again = p.change_keys(phone.id, &phone.identity, &new, &[laptop.id]).await.unwrap();
    assert_eq!(again, changed);
    assert_eq!(p.change_keys(phone.id, &new, &new, &[laptop.id]).await.unwrap(), changed);
    let other = p.change_keys(phone.id, &phone.identity, &new, &[]).await.unwrap_err();
    assert!(matches!(other, ClientError::Taken(_)), "{other}");
    let stale = world.connect(&phone).await.login(phone.id).await.unwrap_err();
    assert_eq!(refused(&stale), Some(RefusalCode::Denied), "the old key logs nobody in");
    let thief =
        p.change_keys(phone.id, &phone.identity, &User::new("thief").identity, &[]).await.unwrap_err();
    assert!(matches!(thief, ClientError::Taken(_)), "{thief}");
}

// proves T7 T13
#[tokio::test]
async fn one_question_for_many_peers_and_only_what_is_new() {
    let world = World::new().await;
    let alice = User::new("alice");
    let a = world.login(&alice).await;
    let peers: Vec<User> = (0..5).map(|n| User::new(&format!("peer{n}"))).collect();
    let mut sessions = Vec::new();
    for peer in &peers {
        sessions.push(world.login(peer).await);
    }
    let mut ids: Vec<_> = peers.iter().map(|peer| peer.id).collect();
    ids.push("nobody".parse().unwrap());
    let directory = a.directory();
    let found = directory.lookup(&ids).await.unwrap();
    let named: Vec<_> = found.iter().map(|record| record.as_ref().map(|record| *record.id())).collect();
    assert_eq!(named, [&peers.iter().map(|peer| Some(peer.id)).collect::<Vec<_>>()[..], &[None]].concat());

    // Whoever knows an epoch asks from it: one record says that nothing changed, more say what did.
    let (old, new) = (&peers[2], User::new("new").identity);
    let known = found[2].clone().unwrap();
    assert_eq!(directory.history(&old.id, known.epoch()).await.unwrap(), core::slice::from_ref(&known));
    let mut policy = Policy::default();
    policy.refresh_after = Duration::ZERO;
    let sending = Table::builder(alice.id, alice.identity.table_key(), a.directory()).policy(policy).build();
    for peer in &peers {
        sending.seal(&peer.id, b"").await.unwrap();
    }
    let changed = sessions[2].change_keys(old.id, &old.identity, &new, &[]).await.unwrap();
    assert_eq!(directory.history(&old.id, known.epoch()).await.unwrap(), [known, changed.clone()]);
    let round = sending.refresh().await.unwrap();
    assert_eq!((round.confirmed, round.changed, round.failed), (4, vec![old.id], vec![]));
    assert_eq!(
        sending.state(&old.id),
        PeerState::Stale(changed.epoch()),
        "with this policy each is, at once"
    );
    assert_eq!(sending.head(&old.id), Some(changed.hash()));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let (server, alice) = (User::new("server"), User::new("alice"));
    let key = *server.identity.public().noise_key();
    let listener = Listener::bind("127.0.0.1:0", server.identity.noise_key()).start().await.unwrap();
    let client = Client::connect(listener.local_addr(), &alice.identity, key);
    let (client, session) = tokio::join!(client, listener.accept());
    let (client, _silent) = (client.unwrap(), session.unwrap());
    let limit = Duration::from_millis(20);
    client.set_deadline(limit).await;
    let given_up = client.record(alice.id).await.unwrap_err();
    assert!(matches!(given_up, ClientError::TimedOut(after) if after == limit), "{given_up}");
    assert!(given_up.is_passing());
    // What would come now is the answer to something else.
    assert!(matches!(client.record(alice.id).await, Err(ClientError::Interrupted)));
}
