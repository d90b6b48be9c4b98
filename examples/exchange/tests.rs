extern crate alloc;

use alloc::sync::Arc;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use symbolon::Purchase;
use symbolon::keys::OsRng;
use symbolon::ledger::Amount;
use tokio::sync::Notify;

use super::*;

/// Collects what is told, and says when a line with `until` came.
#[derive(Clone)]
struct Listener {
    told: Arc<Mutex<Vec<u8>>>,
    until: &'static str,
    heard: Arc<Notify>,
}

impl Listener {
    fn new(until: &'static str) -> Self {
        Self { told: Arc::default(), until, heard: Arc::default() }
    }

    fn lines(&self) -> Vec<Value> {
        let told = self.told.lock().unwrap();
        str::from_utf8(&told).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        if !self.until.is_empty() && str::from_utf8(bytes).is_ok_and(|line| line.contains(self.until)) {
            self.heard.notify_one();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Stage {
    folder: tempfile::TempDir,
    arguments: Arguments,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let document = folder.path().join("document");
        std::fs::write(&document, vec![7; 300_000]).unwrap();
        let data = folder.path().join("data");
        let named = ["exchange".as_ref(), "--file".as_ref(), document.as_os_str()];
        let arguments = Arguments::parse_from(named.into_iter().chain(["--data".as_ref(), data.as_os_str()]));
        Self { folder, arguments }
    }

    /// A run that is interrupted when a line with `until` was told; never if that is empty.
    async fn run(&self, until: &'static str) -> (Result<(), Failure>, Vec<Value>) {
        let listener = Listener::new(until);
        let heard = Arc::clone(&listener.heard);
        let interruption = async move {
            heard.notified().await;
            Interrupted { status: 130 }
        };
        let told = tell(&self.arguments, &mut Story::to(true, listener.clone()), interruption).await;
        (told, listener.lines())
    }

    async fn whole_run(&self) -> Vec<Value> {
        let (told, lines) = self.run("").await;
        told.unwrap_or_else(|failure| panic!("{failure}"));
        lines
    }

    /// Nothing is left that is not kept.
    fn is_tidy(&self) {
        let names = |path: &Path| -> Vec<String> {
            let entries = path.read_dir().unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let mut beside = names(self.folder.path());
        beside.sort();
        assert_eq!(beside, ["data", "document"]);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &self.folder.path().join("data").metadata().unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o700);
        let inside = names(&self.folder.path().join("data"));
        assert!(!inside.iter().any(|name| name.starts_with("scratch-")), "{inside:?}");
    }
}

fn detail<'a>(lines: &'a [Value], id: &str, name: &str) -> Option<&'a Value> {
    lines.iter().filter(|line| line["id"] == id).find_map(|line| line["detail"].get(name))
}

/// The story holds, and a second run goes on where the first stopped.
// proves A1 A2 A4 A6 T3 T4 T6 L28 E2 E11 X1 X3
#[tokio::test]
async fn twice() {
    let stage = Stage::new();
    let first = stage.whole_run().await;
    stage.is_tidy();
    let second = stage.whole_run().await;
    stage.is_tidy();
    let lane = "left of the user's lane";
    assert_eq!(detail(&first, "L18", "identifier"), detail(&second, "L18", "identifier"));
    assert_eq!(detail(&first, "L2", "value"), detail(&second, "L18", "value"));
    assert!(
        detail(&second, "L18", lane).unwrap().as_u64().unwrap()
            <= detail(&first, "L2", lane).unwrap().as_u64().unwrap()
    );
}

/// Interrupted anywhere, the next run goes on from what is there.
// proves X3
#[tokio::test]
async fn interrupted_after_each_act() {
    // The first contact, the port, a thief, a message, an order; the pad bought, used, another at its end; the key.
    for until in ["A1", "A9", "T8", "T3", r#""L1""#, "L28", "L15", "E8", "E4", "E14"] {
        let stage = Stage::new();
        let (told, _) = stage.run(until).await;
        let failure = told.err().unwrap_or_else(|| panic!("not interrupted at {until}"));
        assert_eq!(failure.downcast_ref::<Interrupted>().unwrap().status, 130, "{failure}");
        stage.is_tidy();
        let (told, _) = stage.run("").await;
        told.unwrap_or_else(|failure| panic!("after an interruption at {until}: {failure}"));
        stage.is_tidy();
    }
}

/// Interrupted before anything: there is a stage, or none.
#[tokio::test]
async fn interrupted_at_once() {
    let stage = Stage::new();
    let at_once = async { Interrupted { status: 143 } };
    let told = tell(&stage.arguments, &mut Story::to(true, io::sink()), at_once).await;
    assert_eq!(told.unwrap_err().downcast_ref::<Interrupted>().unwrap().status, 143);
    stage.is_tidy();
    stage.whole_run().await;
}

/// What is missing from a folder that was whole is an error, never made anew.
// proves L2
#[tokio::test]
async fn nothing_is_made_anew() {
    for missing in ["exchange.db", "alice.db", "alice.identity", "alice.pad", "exchange/server-keys.age"] {
        let stage = Stage::new();
        let (told, _) = stage.run(r#""L28""#).await;
        assert!(told.is_err());
        std::fs::remove_file(stage.folder.path().join("data").join(missing)).unwrap();
        let (told, _) = stage.run("").await;
        assert!(told.is_err(), "{missing} was made anew");
        assert!(!stage.folder.path().join("data").join(missing).exists(), "{missing} was made anew");
    }
}

/// The pad's user forgets where it stood: the pad is not used from its beginning.
// proves L2
#[tokio::test]
async fn another_database_is_not_the_pads() {
    let stage = Stage::new();
    let (told, _) = stage.run(r#""L28""#).await;
    assert!(told.is_err());
    let data = stage.folder.path().join("data");
    for end in ["", "-guard", "-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("alice.db{end}")));
    }
    let url = format!("sqlite:{}", data.join("alice.db").display());
    symbolon::AnyStore::provision(&url).await.unwrap().close().await;
    let (told, _) = stage.run("").await;
    assert!(told.unwrap_err().to_string().contains("does not know pad"));
}

/// A purchase that was asked for and whose pad never came is gone on with: the same pad, bought once.
// proves L16
#[tokio::test]
async fn interrupted_purchase() {
    let stage = Stage::new();
    let (told, _) = stage.run("A1").await;
    assert!(told.is_err());
    let place = Place::open(stage.arguments.data.as_deref().unwrap()).await.unwrap();
    let scene = Scene::open(place, stage.arguments.listen).await.unwrap();
    let voucher = scene.operator.sell_voucher(Amount::new(500)).await.unwrap();
    scene.place.keep("alice.voucher", voucher.to_text().as_bytes()).unwrap();
    let purchase = Purchase::new(voucher, 1 << 20, &mut OsRng);
    scene.place.keep("alice.purchase", purchase.to_text().as_bytes()).unwrap();
    let client = scene.connect(&scene.alice).await.unwrap();
    let header = client.buy_pad(&purchase, scene.place.scratch("half a pad")).await.unwrap();
    drop(client);
    scene.close().await.unwrap();
    let lines = stage.whole_run().await;
    assert_eq!(detail(&lines, "L18", "identifier").unwrap(), &header.pad.to_string());
    assert_eq!(detail(&lines, "L18", "value").unwrap(), "500");
    assert!(!stage.folder.path().join("data/alice.purchase").exists());
}

/// When little is left of the kept pad, it is used up, and what it was worth buys another.
#[tokio::test]
async fn another_pad_when_little_is_left() {
    let stage = Stage::new();
    let (_, lines) = stage.run(r#""L28""#).await;
    let first = detail(&lines, "L18", "identifier").unwrap();
    let place = Place::open(stage.arguments.data.as_deref().unwrap()).await.unwrap();
    let scene = Scene::open(place, stage.arguments.listen).await.unwrap();
    let path = scene.place.folder.join("alice.pad");
    let client = scene.connect(&scene.alice).await.unwrap();
    loop {
        // Each time, what is reserved and not used is burnt.
        let pad = client.with_pad(pads::attached(&scene.alice, &path).await.unwrap());
        pad.balance().await.unwrap();
        let left = pad.remaining().send;
        pad.into_pad().detach().await.unwrap();
        if left < pads::FOR_A_RUN {
            break;
        }
    }
    drop(client);
    scene.close().await.unwrap();
    let lines = stage.whole_run().await;
    let second = detail(&lines, "L18", "identifier").unwrap();
    assert_ne!(first, second);
    assert_eq!(detail(&lines, "L1", "bought").unwrap(), &Value::Bool(true));
}

#[test]
fn bad_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    for (name, value) in [
        ("--file", path(&folder.path().join("nowhere"))),
        ("--file", path(folder.path())),
        ("--data", path(&file)),
        ("--data", path(&file.join("below"))),
        ("--data", path(&folder.path().join("a?b"))),
        ("--listen", "nowhere".into()),
    ] {
        let error = Arguments::try_parse_from(["exchange", name, &value]).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{name} {value}");
    }
}

/// Whoever listened left: the story ends, and the stage is taken down.
#[tokio::test]
async fn nobody_listens() {
    struct Deaf;
    impl Write for Deaf {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let stage = Stage::new();
    let told = tell(&stage.arguments, &mut Story::to(false, Deaf), core::future::pending()).await;
    assert!(told.unwrap_err().to_string().contains("nobody listens"));
    stage.is_tidy();
}
