//! What a listener and a connection tell about themselves, and what they do not.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use symbolon_agreement::net::{Connector, Listener, Policy};
use symbolon_agreement::{Initiator, Rekey, Suite};
use symbolon_keys::{Backend, Label, NoiseSecretKey, Psk, Secret};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps the text of every event of this crate.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("symbolon_agreement")
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = String::new();
        event.record(&mut |field: &Field, value: &dyn Debug| write!(text, "{field}={value:?} ").unwrap());
        self.0.lock().unwrap().push(text);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn events_of_a_session_and_none_of_its_secrets() {
    let events = Events::default();
    let _guard = tracing::subscriber::set_default(events.clone());
    let key = |byte: u8| NoiseSecretKey::from_secret(Backend::best(), Secret::from([byte; 32]));
    let psk = || Psk::from(Secret::from([173; 32]));
    let (mine, theirs) = (key(171), key(172));
    let server = *theirs.public_key();
    let suite = Suite::XX.with_psk(3).unwrap();
    let listener = Listener::bind("127.0.0.1:0", theirs)
        .suites(&[suite])
        .psk(move |_| Some(psk()))
        .policy(Policy::default().application(b"welcome"))
        .await
        .unwrap();
    let initiator = Initiator::xx(&mine).expect(server).allow_classical().psk(3, psk());
    let assigned = Connector::new(initiator).begin(listener.local_addr()).await.unwrap();
    let mut thief = TcpStream::connect(assigned.address()).await.unwrap();
    let mut forged = assigned.claim_message();
    *forged.last_mut().unwrap() ^= 1;
    thief.write_all(&forged).await.unwrap();
    super::hostile::hangs_up(thief).await;
    let (client, served) = tokio::join!(assigned.connect(), listener.accept());
    let (mut client, mut served) = (client.unwrap(), served.unwrap());
    client.set_rekey(Rekey::after(2, Duration::from_secs(3600)));
    for _ in 0..5 {
        client.send(b"pay 5").await.unwrap();
        served.recv().await.unwrap().unwrap();
    }
    served.finish().await.unwrap();
    let mut stream = client.into_stream();
    stream.write_all(b"pay 6").await.unwrap();
    stream.write_all(b"pay 7").await.unwrap();
    stream.shutdown().await.unwrap();
    while served.recv().await.unwrap().is_some() {}

    let events = events.0.lock().unwrap().clone();
    let count = |message: &str| events.iter().filter(|event| event.contains(message)).count();
    assert_eq!(count("message=refused a suite"), 1, "{events:#?}");
    assert_eq!(count("message=assigned"), 2, "at both ends");
    assert_eq!(count("message=claim not taken"), 1);
    assert_eq!((count("message=claimed"), count("message=session")), (1, 1));
    // Seven messages, a new key after every second, as messages and as a stream.
    assert_eq!((count("message=rekeyed"), count("message=the other end rekeyed")), (3, 3));
    let export = served.export::<32>(Label::new("test/export/v1"), b"").unwrap();
    let secrets = [171, 172, 173].map(|byte| vec![byte; 32]);
    for secret in secrets.iter().map(Vec::as_slice).chain([&export.expose()[..]]) {
        let (shown, hex) = (format!("{:?}", &secret[..4]), hex::encode(&secret[..4]));
        let shown = shown.trim_matches(['[', ']']);
        assert!(events.iter().all(|event| !event.contains(shown) && !event.contains(&hex)));
    }
    assert!(events.iter().all(|event| !event.contains("pay") && !event.contains("welcome")));
}
