//! Registration, change, history.

use symbolon_keys::{Backend, Epoch, Id, OsRng, RootKey, Secret, SigningKey, TableSecretKey};
use symbolon_table::{
    Challenge, Directory, DirectoryServer, InvalidRecord, MemoryStore, PublicKeys, Record, RegisterError,
    Registration, RegistrationLimits, Statement, verify_history,
};

use crate::fixture::{DAY, LATER, START, User, World, at, id};

// proves T7, T11
#[tokio::test]
async fn a_registered_key_is_found_by_id() {
    let world = World::new();
    let alice = world.user("alice").await;
    let found = world.wire.lookup(&[id("bob"), id("alice")]).await.unwrap();
    assert_eq!(found, [None, Some(alice.record.clone())]);
    assert_eq!(found[1].as_ref().unwrap().keys().table, *alice.table.public_key());
}

#[tokio::test]
async fn the_same_registration_again_is_the_same_answer() {
    let world = World::new();
    let alice = User::new("alice", START);
    let challenge = world.wire.server.begin(&alice.id, at(START)).await.unwrap();
    let registration = challenge.answer(alice.record.clone(), &alice.table, &alice.signing).unwrap();
    let again = Registration::from_bytes(&registration.to_bytes()).unwrap();
    world.wire.server.register(&registration, at(START)).await.unwrap();
    world.wire.server.register(&again, at(START)).await.unwrap();
}

#[tokio::test]
async fn two_devices_race_and_one_wins() {
    let world = World::new();
    let devices = [User::new("alice", START), User::new("alice", START)];
    let mut registrations = Vec::new();
    for device in &devices {
        let challenge = world.wire.server.begin(&device.id, at(START)).await.unwrap();
        registrations.push(challenge.answer(device.record.clone(), &device.table, &device.signing).unwrap());
    }
    let server = &world.wire.server;
    let answers = tokio::join!(
        server.register(&registrations[0], at(START)),
        server.register(&registrations[1], at(START))
    );
    assert_eq!((answers.0, answers.1), (Ok(()), Err(RegisterError::Taken)));
    // The loser cannot change the winner's record either: the change is not signed by its key.
    let stolen = devices[1].next(START);
    assert_eq!(world.register(&stolen).await, Err(InvalidRecord::History.into()));
}

#[tokio::test]
async fn a_challenge_admits_one_record_of_one_id_for_a_short_time() {
    let world = World::new();
    let (server, alice) = (&world.wire.server, User::new("alice", START));
    let challenge = server.begin(&alice.id, at(START)).await.unwrap();
    let registration = challenge.answer(alice.record.clone(), &alice.table, &alice.signing).unwrap();
    let late = challenge.expires();
    assert_eq!(server.register(&registration, late).await, Err(RegisterError::Rejected));
    // For another id.
    let mallory = User::new("mallory", START);
    let other = challenge.answer(mallory.record.clone(), &mallory.table, &mallory.signing).unwrap();
    assert_eq!(server.register(&other, at(START)).await, Err(RegisterError::Rejected));
    // Used once, it admits nothing more: its epoch is taken.
    server.register(&registration, at(START)).await.unwrap();
    let rival = User::new("alice", START);
    let again = challenge.answer(rival.record.clone(), &rival.table, &rival.signing).unwrap();
    assert_eq!(server.register(&again, at(START)).await, Err(RegisterError::Taken));
    let next = alice.next(START);
    assert_eq!(challenge.answer(next.record.clone(), &next.table, &next.signing), Err(InvalidRecord::Epoch));
}

#[tokio::test]
async fn a_challenge_of_another_directory_or_altered_is_rejected() {
    let world = World::new();
    let alice = User::new("alice", START);
    let other = RootKey::from(Secret::from([8; 32]));
    let other = DirectoryServer::with_secret(world.store.clone(), other, Backend::best());
    let challenge = other.begin(&alice.id, at(START)).await.unwrap();
    let foreign = challenge.answer(alice.record.clone(), &alice.table, &alice.signing).unwrap();
    assert_eq!(world.wire.server.register(&foreign, at(START)).await, Err(RegisterError::Rejected));

    let good = world.wire.server.begin(&alice.id, at(START)).await.unwrap().to_bytes();
    // Every byte but the version, which the parser sees to.
    for at_byte in 1..good.len() {
        let mut bytes = good.clone();
        bytes[at_byte] ^= 1;
        let Ok(challenge) = Challenge::from_bytes(&bytes) else { continue };
        let Ok(answer) = challenge.answer(alice.record.clone(), &alice.table, &alice.signing) else {
            continue;
        };
        let refused = world.wire.server.register(&answer, at(START)).await;
        assert_eq!(refused, Err(RegisterError::Rejected), "byte {at_byte}");
    }
}

#[tokio::test]
async fn every_flipped_bit_of_a_registration_is_refused() {
    let world = World::new();
    let alice = User::new("alice", START);
    let challenge = world.wire.server.begin(&alice.id, at(START)).await.unwrap();
    let good = challenge.answer(alice.record.clone(), &alice.table, &alice.signing).unwrap().to_bytes();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(registration) = Registration::from_bytes(&bytes) {
            assert!(world.wire.server.register(&registration, at(START)).await.is_err(), "bit {bit}");
        }
    }
    for len in 0..good.len() {
        assert!(Registration::from_bytes(&good[..len]).is_err(), "cut to {len}");
    }
    assert!(Registration::from_bytes(&[good.clone(), vec![0]].concat()).is_err());
    assert_eq!(world.wire.lookup(&[alice.id]).await.unwrap(), [None], "nothing was registered");
    let good = Registration::from_bytes(&good).unwrap();
    world.wire.server.register(&good, at(START)).await.unwrap();
}

#[tokio::test]
async fn someone_elses_key_cannot_be_registered() {
    let world = World::new();
    let (alice, mallory) = (world.user("alice").await, User::new("mallory", START));
    // Mallory claims Alice's table key beside a signing key of her own.
    let keys = PublicKeys::new(*alice.table.public_key(), mallory.signing.verifying_key());
    let said = Statement::new(mallory.id, keys, at(START), at(LATER));
    let record = said.first(&mallory.signing).unwrap();
    let challenge = world.wire.server.begin(&mallory.id, at(START)).await.unwrap();
    assert_eq!(
        challenge.answer(record.clone(), &mallory.table, &mallory.signing),
        Err(InvalidRecord::Statement),
        "our own side sees it"
    );
    // With a proof made by another key, spliced in.
    let own = challenge.answer(mallory.record.clone(), &mallory.table, &mallory.signing).unwrap().to_bytes();
    let spliced = [&own[..own.len() - mallory.record.as_bytes().len()], record.as_bytes()].concat();
    let spliced = Registration::from_bytes(&spliced).unwrap();
    assert_eq!(world.wire.server.register(&spliced, at(START)).await, Err(RegisterError::Rejected));
}

#[tokio::test]
async fn a_record_out_of_its_time_is_refused() {
    let world = World::new();
    for (from, until) in [(START + 301, LATER), (1, START), (1, START - 1)] {
        let user = User::new("alice", START);
        let keys = *user.record.keys();
        let record = Statement::new(user.id, keys, at(from), at(until)).first(&user.signing).unwrap();
        assert_eq!(world.register(&User { record, ..user }).await, Err(RegisterError::Validity));
    }
    world.register(&User::new("alice", START + 300)).await.unwrap();
}

#[tokio::test]
async fn a_history_links_every_change() {
    let world = World::new();
    let mut users = vec![world.user("alice").await];
    for _ in 0..3 {
        let next = world.change(users.last().unwrap()).await;
        users.push(next);
    }
    let history = world.wire.history(&id("alice"), Epoch::FIRST).await.unwrap();
    let records: Vec<Record> = users.iter().map(|user| user.record.clone()).collect();
    assert_eq!(history, records);
    let (alice, head) = (id("alice"), history[1].hash());
    let known = Some((Epoch::new(1), &head));
    verify_history(&alice, &history, known).unwrap();
    verify_history(&alice, &history[1..], known).unwrap();
    let refused = |history: &[Record], known| verify_history(&alice, history, known).unwrap_err();
    assert_eq!(refused(&[], known), InvalidRecord::History);
    assert_eq!(refused(&history[2..], known), InvalidRecord::History, "cut before what is known");
    assert_eq!(refused(&history[..1], known), InvalidRecord::History, "cut after what is known");
    let gap = [history[0].clone(), history[2].clone()];
    assert_eq!(refused(&gap, None), InvalidRecord::Epoch, "a gap");
    let swapped = [history[1].clone(), history[0].clone()];
    assert_eq!(refused(&swapped, None), InvalidRecord::Epoch);
    let other = User::new("alice", START).next(START);
    assert_eq!(refused(&[history[0].clone(), other.record.clone()], None), InvalidRecord::History);
    assert_eq!(refused(&[other.record], known), InvalidRecord::History, "another record at that epoch");
    assert_eq!(verify_history(&id("bob"), &history, None), Err(InvalidRecord::Epoch), "somebody else's");
}

#[test]
fn a_change_needs_the_key_before() {
    let (alice, mallory) = (User::new("alice", START), User::new("mallory", START));
    let said = Statement::new(alice.id, *mallory.record.keys(), at(START), at(LATER));
    let forged = said.next(&alice.record, &mallory.signing, &mallory.signing);
    assert_eq!(forged.map(drop), Err(InvalidRecord::Signature));
}

#[test]
fn two_devices_are_linked_when_both_say_so() {
    let device = |name: &str, other: &[&str]| -> Record {
        let user = User::new(name, START);
        let mut said = Statement::new(user.id, *user.record.keys(), at(START), at(START + DAY));
        said.linked = other.iter().map(|other| id(other)).collect();
        said.first(&user.signing).unwrap()
    };
    let (phone, laptop) =
        (device("alice.phone", &["alice.laptop"]), device("alice.laptop", &["alice.phone"]));
    let stranger = device("mallory", &["alice.laptop", "alice.phone"]);
    assert!(phone.is_linked_with(&laptop) && laptop.is_linked_with(&phone));
    assert!(!stranger.is_linked_with(&phone) && !phone.is_linked_with(&stranger));
    assert!(!phone.is_linked_with(&phone));
    assert_eq!(Record::from_bytes(phone.as_bytes()).unwrap().statement().linked, [id("alice.laptop")]);
}

#[test]
fn a_statement_that_no_record_may_make() {
    let user = User::new("alice", START);
    let refused = |change: &dyn Fn(&mut Statement)| {
        let mut said = user.record.statement().clone();
        change(&mut said);
        said.first(&user.signing).unwrap_err()
    };
    let ids = |names: &[&str]| -> Vec<Id> { names.iter().map(|name| id(name)).collect() };
    let cases: [&dyn Fn(&mut Statement); 6] = [
        &|said| said.valid_until = said.valid_from,
        &|said| said.linked = ids(&["c", "b"]),
        &|said| said.linked = ids(&["b", "b"]),
        &|said| said.linked = ids(&["alice"]),
        &|said| said.linked = (10..19).map(|n| id(&format!("d{n}"))).collect(),
        &|said| said.keys.verifying = SigningKey::generate(&mut OsRng).verifying_key(),
    ];
    for case in cases {
        assert_eq!(refused(case), InvalidRecord::Statement);
    }
}

#[test]
fn an_answer_needs_both_keys_of_the_record() {
    let alice = User::new("alice", START);
    let ephemeral = TableSecretKey::generate(Backend::best(), &mut OsRng);
    let bytes = [&[1][..], &[0; 8], ephemeral.public_key().as_bytes(), &[3; 16], &[0xff; 8]].concat();
    let challenge = Challenge::from_bytes(&bytes).unwrap();
    let other = User::new("alice", START);
    for (table, signing) in [(&other.table, &alice.signing), (&alice.table, &other.signing)] {
        let refused = challenge.answer(alice.record.clone(), table, signing);
        assert_eq!(refused.map(drop), Err(InvalidRecord::Statement));
    }
}

/// Registering costs nothing: what bounds the directory is how many it takes within a while.
#[tokio::test]
async fn registrations_are_bounded() {
    let mut limits = RegistrationLimits::default();
    (limits.ids, limits.ids_per_source, limits.changes) = (4, 2, 2);
    let server = DirectoryServer::new(MemoryStore::new()).limits(limits);
    let register = async |user: &User, source: &[u8], now: u64| {
        let challenge = server.begin(&user.id, at(now)).await.unwrap();
        let registration = challenge.answer(user.record.clone(), &user.table, &user.signing).unwrap();
        let answer = server.register_from(source, &registration, at(now)).await;
        answer.map(|()| registration)
    };
    let users: Vec<User> = (0..7).map(|n| User::new(&format!("user{n}"), START)).collect();
    let refused = Err(RegisterError::TooMany);
    let first = register(&users[0], b"one", START).await.unwrap();
    register(&users[1], b"one", START).await.unwrap();
    assert_eq!(register(&users[2], b"one", START).await, refused, "a source has had its share");
    server.register_from(b"one", &first, at(START)).await.unwrap();
    register(&users[2], b"two", START).await.unwrap();
    register(&users[3], b"three", START).await.unwrap();
    assert_eq!(register(&users[4], b"four", START).await, refused, "all of them have");
    assert!(server.lookup(&[users[4].id]).await.unwrap()[0].is_none());

    // Whoever is registered changes keys all the same; but not without end.
    let mut user = users[0].next(START);
    for change in 0..3 {
        let answer = register(&user, b"one", START).await;
        assert_eq!(answer.is_ok(), change < 2, "{change}");
        user = user.next(START);
    }

    let later = START + limits.window.as_secs();
    assert_eq!(register(&users[4], b"four", later - 1).await, refused);
    register(&users[4], b"one", later).await.unwrap();
    // A clock that was wrong and is set right does not keep everybody out until then.
    register(&users[5], b"one", START).await.unwrap();
}
