//! What can be seen of a server from outside: that it is well, and no secret.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use symbolon::envelope::{Context, RecordId};
use symbolon::keys::OsRng;
use symbolon::ledger::{Amount, Pad, Provision, SinglePad};
use symbolon::table::{Header, Table, pad};
use symbolon::{Ask, Calculate, Performed, Purchase, Service, ServiceError};
use tokio::sync::Notify;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::documents::enrolled;
use crate::world::{User, World};

/// Writes down everything that is traced, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut log = self.0.lock().unwrap();
        writeln!(log, "{}", span.metadata().name()).unwrap();
        span.record(&mut Line(&mut log));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut log = self.0.lock().unwrap();
        write!(log, "\n{} {}", event.metadata().target(), event.metadata().name()).unwrap();
        event.record(&mut Line(&mut log));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// As bytes may be written down by mistake.
fn spellings(secret: &[u8]) -> [String; 3] {
    let hex = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{secret:?}");
    [hex, list.trim_matches(['[', ']']).to_owned(), String::from_utf8_lossy(secret).into_owned()]
}

// Everything runs on the thread that listens, but for what the store and the disk do.
#[tokio::test(flavor = "current_thread")]
async fn no_secret_and_no_content_is_traced() {
    let log = Log::default();
    let _listening = tracing::subscriber::set_default(log.clone());
    let world = World::new().await;
    let (alice, a, key) = enrolled(&world, "alice").await;
    let bob = User::new("bob");
    let b = world.login(&bob).await;
    let table = Table::new(alice.id, alice.identity.table_key(), a.directory());
    let sealed = table.seal(&bob.id, &pad(b"meet me at noon")).await.unwrap();
    a.deposit(&sealed).await.unwrap();
    a.deposit(b"not a message").await.unwrap_err();
    let letters = b.poll(None, 9).await.unwrap().letters;
    b.acknowledge(&[letters[0].0]).await.unwrap();

    let voucher = world.operator.sell_voucher(Amount::new(100)).await.unwrap();
    let (secret, text) = (*voucher.expose(), voucher.to_text().to_string());
    let purchase = Purchase::new(voucher, 64 << 10, &mut OsRng);
    let header = a.buy_pad(&purchase, world.path("pad")).await.unwrap();
    let half = std::fs::read(world.path("pad")).unwrap();
    let (store, material) = (world.database("alice.db").await, SinglePad::new(world.path("pad")));
    Pad::provision(&store, &material, Provision::new(header.pad)).await.unwrap();
    let under = a.with_pad(Pad::attach(&store, &material, header.pad).await.unwrap());
    under.perform(&under.quote(Calculate::sum([7_777_777_777])).await.unwrap()).await.unwrap();
    drop(under);

    let record = RecordId::generate(&mut OsRng);
    let context = Context::new(world.operator.realm(), record, alice.id);
    a.put(&key, &context, None, &b"the whole report"[..]).await.unwrap();
    a.get(&key, world.operator.realm(), record, tokio::io::sink()).await.unwrap();
    a.verify_profile(b"mother's maiden name").await.unwrap_err();

    let log = log.0.lock().unwrap();
    for traced in ["registered", "Received", "session", "kind=\"deposit\""] {
        assert!(log.contains(traced), "{traced}: {log}");
    }
    let id = *Header::read(&sealed).unwrap().message_id();
    let secrets: [&[u8]; 9] = [
        b"meet me at noon",
        b"the whole report",
        b"mother's maiden name",
        &7_777_777_777_i64.to_be_bytes(),
        text.as_bytes(),
        &secret,
        key.expose(),
        alice.identity.expose().expose(),
        id.as_bytes(),
    ];
    let keystream = &half[3 * 4096..3 * 4096 + 16];
    for secret in secrets.into_iter().chain([keystream]) {
        for spelling in spellings(secret) {
            assert!(!log.contains(&spelling), "{spelling} is in the log");
        }
    }
    assert!(!log.contains("7777777777"));
}

/// Takes its time, until it is told to go on.
struct Slow(Arc<Notify>, Arc<Notify>);

struct Wait;

impl Ask for Wait {
    type Answer = ();

    const SERVICE: &'static str = "wait";

    fn request(&self) -> Vec<u8> {
        Vec::new()
    }

    fn answer(&self, _: &[u8]) -> Result<(), ServiceError> {
        Ok(())
    }
}

impl Service for Slow {
    fn name(&self) -> &'static str {
        Wait::SERVICE
    }

    fn quote(&self, _: &[u8]) -> Result<Amount, ServiceError> {
        Ok(Amount::new(5))
    }

    async fn perform(&self, _: &[u8]) -> Result<Performed, ServiceError> {
        self.0.notify_one();
        self.1.notified().await;
        Ok(Performed::new(Vec::new(), Amount::new(5)))
    }
}

/// Stopped in the middle of a service: it is performed, answered, charged and committed first.
#[tokio::test]
async fn stopping_finishes_what_is_in_work() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let service = Slow(Arc::clone(&begun), Arc::clone(&go_on));
    let mut world = World::with(|server| server.service(service)).await;
    let client = world.connect(&User::new("alice")).await;
    let pad = client.with_pad(world.ready(&client, "alice").await);
    let quote = pad.quote(Wait).await.unwrap();
    let asking = tokio::spawn(async move { pad.perform(&quote).await.map(|done| done.left) });
    begun.notified().await;
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        go_on.notify_one();
    };
    tokio::join!(world.stop(), stopping);
    assert_eq!(asking.await.unwrap().unwrap(), Amount::new(95));
    world.restart().await;
    assert_eq!(world.operator.books().await.unwrap().revenue, Amount::new(5));
}

#[tokio::test]
async fn health_says_what_is_going_on() {
    let world = World::new().await;
    let client = world.login(&User::new("alice")).await;
    let health = world.operator.health().await.unwrap();
    assert_eq!((health.sessions, health.requests, health.pads), (1, 0, 0));
    let pad = world.ready(&client, "alice").await;
    assert_eq!(world.operator.health().await.unwrap().pads, 1);
    drop(pad);
    client.close().await.unwrap();
    let mut sessions = 1;
    for _ in 0..100 {
        sessions = world.operator.health().await.unwrap().sessions;
        if sessions == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(sessions, 0);
}
