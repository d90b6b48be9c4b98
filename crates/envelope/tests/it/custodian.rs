//! The server's engine: receive, store, deliver.

use std::sync::{Arc, Mutex};

use symbolon_envelope::{
    Context, ContextError, Custodian, CustodianError, Event, Expect, MemoryRecords, MemoryUserKeys,
    OpenError, PayloadError, Policy, Receipt, RecordId, Records, Refusal, RewrapJob, Seal, ServerKeys,
    UserKey, UserKeyStore, UserParameters, open,
};
use symbolon_keys::{Epoch, Id, UnixTime};
use zeroize::Zeroizing;

use crate::support::{bytes, context, id, record, rng};

type Engine = Custodian<MemoryRecords, MemoryUserKeys>;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

struct World {
    engine: Engine,
    alice: UserKey,
    bob: UserKey,
    events: Arc<Mutex<Vec<Event>>>,
}

async fn world() -> World {
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    let ring = ServerKeys::generate(&mut rng(1));
    let engine = Engine::new(id("example"), ring, MemoryRecords::default(), MemoryUserKeys::default())
        .audit(move |event| log.lock().unwrap().push(*event));
    let (alice, bob) = (UserKey::generate(&mut rng(2)), UserKey::generate(&mut rng(3)));
    engine.enrol(id("alice"), &alice, Epoch::FIRST, None).await.unwrap();
    engine.enrol(id("bob"), &bob, Epoch::FIRST, None).await.unwrap();
    World { engine, alice, bob, events }
}

async fn send(engine: &Engine, user: Id, sealed: &[u8]) -> Result<Receipt, CustodianError> {
    let mut receiving = engine.receive(user).await?;
    for piece in sealed.chunks(10_000) {
        sendable(receiving.write(piece)).await?;
    }
    sendable(receiving.finish(NOW)).await
}

async fn fetch(engine: &Engine, id: RecordId, to: Id) -> Result<Vec<u8>, CustodianError> {
    let delivery = sendable(engine.deliver(id, to)).await?;
    let mut sealed = delivery.header;
    let mut offset = 0;
    while let piece = engine.read(&delivery.payload, offset, 30_000).await?
        && !piece.is_empty()
    {
        offset += piece.len() as u64;
        sealed.extend(piece);
    }
    Ok(sealed)
}

fn reason(error: CustodianError) -> OpenError {
    match error {
        CustodianError::Open(reason) => reason,
        other => panic!("{other:?}"),
    }
}

// proves E1, E2, E3, E4, E5, E14
#[tokio::test]
async fn a_document_goes_from_alice_to_bob() {
    let World { engine, alice, bob, events } = world().await;
    let document = bytes(1_000_000);
    let sent = Seal::to(&[&alice.up()]).bytes(&document).unwrap();
    let receipt = send(&engine, id("alice"), &sent).await.unwrap();

    let stored = engine.records().get(receipt.record).await.unwrap().unwrap();
    let header = String::from_utf8(stored.header.clone()).unwrap();
    assert!(header.contains("-> symbolon.dev/server-key 1 ") && !header.contains("shared-key"));
    assert_eq!((stored.owner, stored.sequence), (id("alice"), 1));

    let refused = fetch(&engine, receipt.record, id("bob")).await;
    assert!(matches!(refused, Err(CustodianError::NoSuchRecord)), "not granted");
    engine.grant(receipt.record, id("alice"), id("bob")).await.unwrap();
    let delivered = fetch(&engine, receipt.record, id("bob")).await.unwrap();
    assert!(delivered.ends_with(&sent[sent.len() - 1_000_000..]), "the payload is the one that Alice sent");
    let expect = Expect::context().realm(id("example")).record(receipt.record).owner(id("alice")).sequence(1);
    assert_eq!(open(&bob.down(), expect.clone(), &delivered).unwrap().plaintext(), document);
    assert!(open(&alice.down(), expect.clone(), &delivered).is_err());
    let own = fetch(&engine, receipt.record, id("alice")).await.unwrap();
    assert_eq!(open(&alice.down(), expect, &own).unwrap().plaintext(), document);

    assert!(engine.revoke(receipt.record, id("alice"), id("bob")).await.unwrap());
    assert!(fetch(&engine, receipt.record, id("bob")).await.is_err());
    let (alice, bob, record, sequence) = (id("alice"), id("bob"), receipt.record, 1);
    let refusal = Event::Refused { record: Some(record), user: bob, reason: Refusal::Record };
    assert_eq!(
        events.lock().unwrap()[2..],
        [
            Event::Received { record, owner: alice, sequence, len: stored.payload.len },
            refusal,
            Event::Granted { record, owner: alice, user: bob },
            Event::Delivered { record, to: bob, sequence },
            Event::Delivered { record, to: alice, sequence },
            Event::Revoked { record, owner: alice, user: bob },
            refusal,
        ],
    );
}

#[tokio::test]
async fn only_the_owner_disposes() {
    let World { engine, alice, .. } = world().await;
    let sealed = Seal::to(&[&alice.up()]).bytes(b"mine").unwrap();
    let receipt = send(&engine, id("alice"), &sealed).await.unwrap();
    let (of_bob, to_bob) = (id("bob"), id("bob"));
    engine.grant(receipt.record, id("alice"), to_bob).await.unwrap();
    assert!(matches!(engine.grant(receipt.record, of_bob, to_bob).await, Err(CustodianError::NoSuchRecord)));
    assert!(matches!(engine.delete(receipt.record, of_bob).await, Err(CustodianError::NoSuchRecord)));
    let unknown = engine.grant(receipt.record, id("alice"), id("mallory")).await;
    assert!(matches!(unknown, Err(CustodianError::UnknownUser)));
    engine.delete(receipt.record, id("alice")).await.unwrap();
    assert!(matches!(fetch(&engine, receipt.record, to_bob).await, Err(CustodianError::NoSuchRecord)));
}

#[tokio::test]
async fn nothing_counts_before_the_end_is_verified() {
    let World { engine, alice, bob, .. } = world().await;
    let sealed = Seal::to(&[&alice.up()]).context(&context(7)).bytes(&bytes(200_000)).unwrap();
    for end in [0, 10, 300, sealed.len() - 65_000, sealed.len() - 1] {
        assert!(send(&engine, id("alice"), &sealed[..end]).await.is_err(), "{end}");
    }
    for at in [50, 300, 70_000, sealed.len() - 1] {
        let mut flipped = sealed.clone();
        flipped[at] ^= 1;
        assert!(send(&engine, id("alice"), &flipped).await.is_err(), "{at}");
    }
    let longer = [&sealed[..], b"x"].concat();
    assert_eq!(
        reason(send(&engine, id("alice"), &longer).await.unwrap_err()),
        OpenError::Payload(PayloadError::Rejected)
    );
    let reflected = Seal::to(&[&alice.down()]).bytes(b"down").unwrap();
    assert_eq!(reason(send(&engine, id("alice"), &reflected).await.unwrap_err()), OpenError::Direction);
    assert_eq!(reason(send(&engine, id("bob"), &sealed).await.unwrap_err()), OpenError::NoMatch);
    // Bob's envelope that says it is Alice's document.
    let forged = Seal::to(&[&bob.up()]).context(&context(7)).bytes(b"forged").unwrap();
    assert_eq!(
        reason(send(&engine, id("bob"), &forged).await.unwrap_err()),
        OpenError::Context(ContextError::Mismatch)
    );
    assert!(engine.records().get(record(7)).await.unwrap().is_none(), "nothing was stored");
}

#[tokio::test]
async fn the_same_envelope_twice_is_stored_once() {
    let World { engine, alice, .. } = world().await;
    let context = context(7).under(Policy::VIEW_ONLY).with(b"30 days".to_vec());
    let sealed = Seal::to(&[&alice.up()]).context(&context).bytes(b"order").unwrap();
    let first = send(&engine, id("alice"), &sealed).await.unwrap();
    assert_eq!(first.record, record(7));
    let again = send(&engine, id("alice"), &sealed).await;
    assert!(matches!(again, Err(CustodianError::Conflict(Some(1)))), "{again:?}");
    // The policy went along.
    let own = fetch(&engine, first.record, id("alice")).await.unwrap();
    assert!(open(&alice.down(), Expect::exactly(&context), &own).is_ok());
}

#[tokio::test]
async fn a_new_version_replaces_the_old_one_once() {
    let World { engine, alice, .. } = world().await;
    let first = send(&engine, id("alice"), &Seal::to(&[&alice.up()]).bytes(b"one").unwrap()).await.unwrap();
    let delivery = engine.deliver(first.record, id("alice")).await.unwrap();
    let mut outcomes = Vec::new();
    for text in [b"two", b"too"] {
        let sealed = Seal::to(&[&alice.up()]).bytes(text).unwrap();
        let mut receiving =
            engine.receive(id("alice")).await.unwrap().record(first.record).replacing(first.sequence);
        receiving.write(&sealed).await.unwrap();
        outcomes.push(receiving.finish(NOW).await);
    }
    assert_eq!(outcomes[0].as_ref().unwrap().sequence, 2);
    assert!(matches!(outcomes[1], Err(CustodianError::Conflict(Some(2)))));
    let gone = engine.read(&delivery.payload, 0, 10).await;
    assert!(matches!(gone, Err(CustodianError::Gone)), "the old payload is gone, and says so");
    let own = fetch(&engine, first.record, id("alice")).await.unwrap();
    assert_eq!(open(&alice.down(), Expect::context().sequence(2), &own).unwrap().plaintext(), b"two");
}

#[tokio::test]
async fn nobody_replaces_what_is_not_theirs() {
    let World { engine, alice, bob, .. } = world().await;
    let receipt =
        send(&engine, id("alice"), &Seal::to(&[&alice.up()]).bytes(b"hers").unwrap()).await.unwrap();
    engine.grant(receipt.record, id("alice"), id("bob")).await.unwrap();
    let forged = Seal::to(&[&bob.up()]).bytes(b"his").unwrap();
    let mut receiving = engine.receive(id("bob")).await.unwrap().record(receipt.record).replacing(1);
    assert!(matches!(receiving.write(&forged).await, Err(CustodianError::NoSuchRecord)));
    assert!(receiving.finish(NOW).await.is_err());
    let nameless = engine.receive(id("bob")).await.unwrap().replacing(1).write(&forged).await;
    assert!(matches!(nameless, Err(CustodianError::NoSuchRecord)));
    let own = fetch(&engine, receipt.record, id("alice")).await.unwrap();
    assert_eq!(open(&alice.down(), Expect::context(), &own).unwrap().plaintext(), b"hers");
}

#[tokio::test]
async fn an_old_header_put_back_is_noticed() {
    let World { engine, alice, .. } = world().await;
    let receipt = send(&engine, id("alice"), &Seal::to(&[&alice.up()]).bytes(b"x").unwrap()).await.unwrap();
    let old = engine.records().get(receipt.record).await.unwrap().unwrap();
    let change =
        engine.records().replace_header(receipt.record, old.payload.id, 1, old.header, 1).await.unwrap();
    assert_eq!(change, symbolon_envelope::Change::Done);
    let refused = engine.deliver(receipt.record, id("alice")).await.unwrap_err();
    assert_eq!(reason(refused), OpenError::Context(ContextError::Mismatch));
}

#[tokio::test]
async fn user_keys_do_not_change_places() {
    let World { engine, alice, .. } = world().await;
    let keys = engine.user_keys();
    let (of_alice, of_bob) =
        (keys.get(id("alice")).await.unwrap().unwrap(), keys.get(id("bob")).await.unwrap().unwrap());
    assert!(!of_alice.wrapped.windows(32).any(|window| window == alice.expose()));
    let swapped = symbolon_envelope::UserKeyRow { wrapped: of_bob.wrapped.clone(), ..of_alice.clone() };
    assert_eq!(keys.put(swapped, Some(1)).await.unwrap(), symbolon_envelope::Change::Done);
    let refused = engine.receive(id("alice")).await.unwrap_err();
    assert_eq!(reason(refused), OpenError::Context(ContextError::Mismatch));
}

#[tokio::test]
async fn disabled_users_neither_send_nor_get() {
    let World { engine, alice, .. } = world().await;
    let sealed = Seal::to(&[&alice.up()]).bytes(b"x").unwrap();
    let receipt = send(&engine, id("alice"), &sealed).await.unwrap();
    let before = engine.user_keys().get(id("alice")).await.unwrap().unwrap();
    engine.disable(id("alice")).await.unwrap();
    assert!(matches!(send(&engine, id("alice"), &sealed).await, Err(CustodianError::Disabled)));
    assert!(matches!(fetch(&engine, receipt.record, id("alice")).await, Err(CustodianError::Disabled)));
    engine.enable(id("alice")).await.unwrap();
    assert!(fetch(&engine, receipt.record, id("alice")).await.is_ok());
    assert_eq!(before.revision + 2, engine.user_keys().get(id("alice")).await.unwrap().unwrap().revision);
    assert!(matches!(engine.disable(id("mallory")).await, Err(CustodianError::UnknownUser)));
    let again = engine.enrol(id("alice"), &alice, Epoch::FIRST, None).await;
    assert!(matches!(again, Err(CustodianError::AlreadyEnrolled)));
}

#[tokio::test]
async fn unknown_users_have_stable_salts() {
    let World { engine, .. } = world().await;
    let ask = async |name: &str| engine.user_parameters(id(name)).await.unwrap();
    assert_eq!(ask("mallory").await, ask("mallory").await);
    assert_ne!(ask("mallory").await.derivation.salt, ask("trudy").await.derivation.salt);
    engine.install(engine.rotated().unwrap()).unwrap();
    let before = ask("mallory").await;
    engine.install(engine.rotated().unwrap()).unwrap();
    assert_eq!(before, ask("mallory").await, "a rotation of the server key does not show");
}

// proves E13
#[tokio::test]
async fn a_store_moves_to_a_new_server_key() {
    let World { engine, alice, .. } = world().await;
    let mut sent = Vec::new();
    for n in 0..7 {
        let sealed = Seal::to(&[&alice.up()]).bytes(&[n]).unwrap();
        sent.push(send(&engine, id("alice"), &sealed).await.unwrap().record);
    }
    let payload = engine.records().get(sent[0]).await.unwrap().unwrap().payload;
    engine.install(engine.rotated().unwrap()).unwrap();

    let mut interrupted = RewrapJob::default();
    for _ in 0..3 {
        assert!(engine.rewrap_step(&mut interrupted, 2).await.unwrap());
    }
    let mut job = RewrapJob::default();
    while engine.rewrap_step(&mut job, 2).await.unwrap() {}
    assert_eq!(interrupted.users + job.users, 2);
    assert_eq!(interrupted.records + job.records, 7, "a new job goes on where the old one stopped");
    assert_eq!((job.conflicts, job.failures), (0, 0));

    let mut next = engine.rotated().unwrap();
    next.retire(2).unwrap();
    next.destroy_retired();
    engine.install(next).unwrap();
    for (n, id_of) in sent.iter().enumerate() {
        let own = fetch(&engine, *id_of, id("alice")).await.unwrap();
        let opened = open(&alice.down(), Expect::context().sequence(2), &own).unwrap();
        assert_eq!(opened.plaintext(), [n as u8]);
    }
    assert_eq!(
        engine.records().get(sent[0]).await.unwrap().unwrap().payload,
        payload,
        "bodies are not touched"
    );
    let stranger = ServerKeys::generate(&mut rng(9));
    assert_eq!(engine.install(stranger), Err(symbolon_envelope::RingError::Unrelated));
}

// proves E7, E8, E9
#[tokio::test]
async fn a_new_passphrase_touches_no_record() {
    let World { engine, alice, events, .. } = world().await;
    let sealed = Seal::to(&[&alice.up()]).bytes(b"document").unwrap();
    let receipt = send(&engine, id("alice"), &sealed).await.unwrap();
    let before = engine.records().get(receipt.record).await.unwrap();

    let new = UserKey::generate(&mut rng(7));
    let (realm, user) = (id("example"), id("alice"));
    let change = |epoch: u64, user: Id| {
        let parameters = UserParameters::generate(Epoch::new(epoch), &mut rng(8));
        alice.change(realm, user, &new, &parameters, &mut rng(9)).unwrap()
    };
    for wrong in [change(0, user), change(2, user)] {
        let refused = engine.change_key(user, &wrong).await;
        assert!(matches!(refused, Err(CustodianError::Conflict(Some(0)))), "{refused:?}");
    }
    let of_bob = engine.change_key(user, &change(1, id("bob"))).await.unwrap_err();
    assert_eq!(reason(of_bob), OpenError::Context(ContextError::Mismatch));
    // A document of the same size in the same place is not a change.
    let document = Seal::to(&[&alice.up()]).context(&context(1)).bytes(&bytes(100)).unwrap();
    let refused = engine.change_key(user, &document).await.unwrap_err();
    assert_eq!(reason(refused), OpenError::Context(ContextError::Mismatch));

    let sealed = change(1, user);
    assert_eq!(engine.change_key(user, &sealed).await.unwrap(), Epoch::new(1));
    assert!(engine.change_key(user, &sealed).await.is_err(), "twice");
    assert!(events.lock().unwrap().contains(&Event::KeyChanged { user, epoch: Epoch::new(1) }));
    assert_eq!(engine.records().get(receipt.record).await.unwrap(), before);
    let own = fetch(&engine, receipt.record, user).await.unwrap();
    assert!(open(&alice.down(), Expect::context(), &own).is_err(), "the old key opens nothing new");
    assert_eq!(open(&new.down(), Expect::context(), &own).unwrap().plaintext(), b"document");
}

#[tokio::test]
async fn erased_users_leave_noise() {
    let World { engine, alice, bob, .. } = world().await;
    let sealed = Seal::to(&[&alice.up()]).bytes(b"mine").unwrap();
    let receipt = send(&engine, id("alice"), &sealed).await.unwrap();
    let of_bob = Seal::to(&[&bob.up()]).bytes(b"his").unwrap();
    let kept = send(&engine, id("bob"), &of_bob).await.unwrap();
    engine.grant(kept.record, id("bob"), id("alice")).await.unwrap();
    engine.erase(id("alice")).await.unwrap();
    engine.erase(id("alice")).await.unwrap();
    assert!(engine.records().get(receipt.record).await.unwrap().is_none());
    assert!(matches!(send(&engine, id("alice"), &sealed).await, Err(CustodianError::UnknownUser)));
    assert!(matches!(fetch(&engine, kept.record, id("alice")).await, Err(CustodianError::NoSuchRecord)));
    assert!(fetch(&engine, kept.record, id("bob")).await.is_ok());
}

fn sendable<T: Send>(future: T) -> T {
    future
}

// proves E3, E7
#[tokio::test]
async fn a_record_is_processed_for_somebody_else() {
    let World { engine, alice, bob, .. } = world().await;
    let sealed = Seal::to(&[&alice.up()]).bytes(&bytes(200_000)).unwrap();
    let receipt = send(&engine, id("alice"), &sealed).await.unwrap();
    let count = |_: &Context, plain: &[u8]| Zeroizing::new(plain.len().to_string().into_bytes());
    let (of, to) = (id("alice"), id("bob"));
    let result = sendable(engine.process(receipt.record, of, to, count)).await.unwrap();
    let expect = Expect::context().record(receipt.record).owner(of);
    assert_eq!(open(&bob.down(), expect, &result).unwrap().plaintext(), b"200000");
    assert!(matches!(engine.process(receipt.record, to, to, count).await, Err(CustodianError::NoSuchRecord)));
    engine.disable(to).await.unwrap();
    assert!(matches!(engine.process(receipt.record, of, to, count).await, Err(CustodianError::Disabled)));
}

#[tokio::test]
async fn a_record_sealed_anew_is_out_of_reach() {
    let World { engine, alice, .. } = world().await;
    let document = bytes(300_000);
    let sealed = Seal::to(&[&alice.up()]).bytes(&document).unwrap();
    let receipt = send(&engine, id("alice"), &sealed).await.unwrap();
    let old_header = engine.deliver(receipt.record, id("alice")).await.unwrap().header;

    let renewed = sendable(engine.reencrypt(receipt.record, id("alice"), NOW)).await.unwrap();
    assert_eq!((renewed.sequence, renewed.len), (2, receipt.len));
    let own = fetch(&engine, receipt.record, id("alice")).await.unwrap();
    let opened = open(&alice.down(), Expect::context().sequence(2), &own).unwrap();
    assert_eq!(opened.plaintext(), document);
    let payload = &own[own.len() - usize::try_from(receipt.len).unwrap()..];
    let mixed = [&old_header[..], payload].concat();
    let refused = open(&alice.down(), Expect::anything(), &mixed).unwrap_err();
    assert_eq!(
        refused,
        OpenError::Payload(PayloadError::Rejected),
        "the old file key opens the new payload no more"
    );
    assert!(engine.reencrypt(receipt.record, id("bob"), NOW).await.is_err());
}

// proves E3, E7
#[tokio::test]
async fn a_large_record_is_processed_piece_by_piece() {
    let World { engine, alice, bob, events } = world().await;
    let document = bytes(1_000_000);
    let sealed = Seal::to(&[&alice.up()]).bytes(&document).unwrap();
    let receipt = send(&engine, id("alice"), &sealed).await.unwrap();
    let (of, to) = (id("alice"), id("bob"));
    // What comes out is longer than what went in, and says that all of it was there.
    let double = |_: &Context, piece: Option<&[u8]>, out: &mut Vec<u8>| match piece {
        Some(piece) => out.extend(piece.iter().flat_map(|byte| [*byte, *byte])),
        None => out.extend(b"all"),
    };
    let mut processing = sendable(engine.process_stream(receipt.record, of, to, double)).await.unwrap();
    assert_eq!(processing.context().record(), receipt.record);
    let mut sealed = Vec::new();
    while let Some(piece) = sendable(processing.next()).await.unwrap() {
        assert!(!piece.is_empty() && piece.len() < 300_000, "nothing is held");
        sealed.extend(piece);
    }
    assert!(processing.next().await.unwrap().is_none(), "the end stays the end");
    let expected: Vec<u8> = document.iter().flat_map(|byte| [*byte, *byte]).chain(*b"all").collect();
    let expect = Expect::context().record(receipt.record).owner(of);
    assert!(open(&bob.down(), expect, &sealed).unwrap().plaintext() == expected);
    let processed = Event::Processed { record: receipt.record, by: of, to };
    assert_eq!(events.lock().unwrap().last(), Some(&processed));

    let refused = engine.process_stream(receipt.record, to, to, double).await;
    assert!(matches!(refused, Err(CustodianError::NoSuchRecord)));
}

#[tokio::test]
async fn processing_that_fails_stays_cut_short() {
    let World { engine, alice, bob, events } = world().await;
    let sealed = Seal::to(&[&alice.up()]).bytes(&bytes(300_000)).unwrap();
    let receipt = send(&engine, id("alice"), &sealed).await.unwrap();
    let mut whole = false;
    let copy = |_: &Context, piece: Option<&[u8]>, out: &mut Vec<u8>| match piece {
        Some(piece) => out.extend(piece),
        None => whole = true,
    };
    let (of, to) = (id("alice"), id("bob"));
    let mut processing = engine.process_stream(receipt.record, of, to, copy).await.unwrap();
    let mut sealed = processing.next().await.unwrap().unwrap();
    sealed.extend(processing.next().await.unwrap().unwrap());
    engine.delete(receipt.record, of).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(processing.next().await, Err(CustodianError::Gone)), "never an end");
    }
    drop(processing);
    assert!(!whole);
    let cut = open(&bob.down(), Expect::context(), &sealed).unwrap_err();
    assert_eq!(cut, OpenError::Payload(PayloadError::Truncated));
    assert!(!events.lock().unwrap().iter().any(|event| matches!(event, Event::Processed { .. })));
}

#[tokio::test]
async fn every_refusal_is_told_once() {
    let World { engine, alice, bob, events } = world().await;
    let sealed = Seal::to(&[&alice.up()]).bytes(b"mine").unwrap();
    let record = send(&engine, id("alice"), &sealed).await.unwrap().record;
    let told = || events.lock().unwrap().drain(..).collect::<Vec<_>>();
    let refused = |record: Option<RecordId>, user: &str, reason| {
        vec![Event::Refused { record, user: id(user), reason }]
    };
    let copy = |_: &Context, plain: &[u8]| Zeroizing::new(plain.to_vec());
    let pieces = |_: &Context, _: Option<&[u8]>, _: &mut Vec<u8>| {};
    told();
    assert!(engine.grant(record, id("bob"), id("bob")).await.is_err());
    assert_eq!(told(), refused(Some(record), "bob", Refusal::Record));
    assert!(engine.revoke(record, id("bob"), id("bob")).await.is_err());
    assert_eq!(told(), refused(Some(record), "bob", Refusal::Record));
    assert!(engine.delete(record, id("bob")).await.is_err());
    assert_eq!(told(), refused(Some(record), "bob", Refusal::Record));
    assert!(engine.process(record, id("bob"), id("bob"), copy).await.is_err());
    assert_eq!(told(), refused(Some(record), "bob", Refusal::Record));
    assert!(engine.process_stream(record, id("bob"), id("bob"), pieces).await.is_err());
    assert_eq!(told(), refused(Some(record), "bob", Refusal::Record));
    assert!(engine.reencrypt(record, id("bob"), NOW).await.is_err());
    assert_eq!(told(), refused(Some(record), "bob", Refusal::Record));
    assert!(engine.receive(id("mallory")).await.is_err());
    assert_eq!(told(), refused(None, "mallory", Refusal::User));
    assert!(engine.enrol(id("bob"), &alice, Epoch::FIRST, None).await.is_err());
    assert_eq!(told(), refused(None, "bob", Refusal::User));
    assert!(engine.change_key(id("bob"), &sealed).await.is_err());
    assert_eq!(told(), refused(None, "bob", Refusal::Forged));
    let mut receiving = engine.receive(id("bob")).await.unwrap();
    assert!(receiving.write(&sealed).await.is_err());
    assert!(receiving.write(&sealed).await.is_err());
    assert!(receiving.finish(NOW).await.is_err());
    assert_eq!(told(), refused(None, "bob", Refusal::Forged));
    drop(bob);
}

#[tokio::test]
async fn erased_users_leave_nothing_to_the_next_of_their_name() {
    let World { engine, alice, bob, .. } = world().await;
    let of_alice = Seal::to(&[&alice.up()]).bytes(b"hers").unwrap();
    let lent = send(&engine, id("alice"), &of_alice).await.unwrap().record;
    engine.grant(lent, id("alice"), id("bob")).await.unwrap();
    let of_bob = Seal::to(&[&bob.up()]).bytes(b"his").unwrap();
    let (early, late) = (RecordId::from([1; 16]), RecordId::from([2; 16]));
    let mut receiving = engine.receive(id("bob")).await.unwrap().record(early);
    receiving.write(&of_bob).await.unwrap();
    let mut disabled = engine.receive(id("alice")).await.unwrap().record(late);
    disabled.write(&of_alice).await.unwrap();

    engine.erase(id("bob")).await.unwrap();
    engine.disable(id("alice")).await.unwrap();
    assert!(matches!(receiving.finish(NOW).await, Err(CustodianError::UnknownUser)));
    assert!(matches!(disabled.finish(NOW).await, Err(CustodianError::Disabled)));
    for id in [early, late] {
        assert!(engine.records().get(id).await.unwrap().is_none());
    }
    engine.enrol(id("bob"), &UserKey::generate(&mut rng(5)), Epoch::FIRST, None).await.unwrap();
    assert!(matches!(fetch(&engine, lent, id("bob")).await, Err(CustodianError::NoSuchRecord)));
}
