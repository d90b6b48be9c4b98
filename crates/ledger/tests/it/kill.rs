//! A real process is killed, at every commit point and at random instants, and goes on.
//!
//! The test starts this same binary again, as a child that runs [`life`] alone: both ends of a pad over files, which
//! write every frame into a file before they hand it over. The parent kills it, starts the next one, and looks at what all of
//! them emitted. `SYMBOLON_KILLS` says how many lives there are.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use symbolon_keys::wire::Reader;
use symbolon_ledger::{
    Amount, FileSink, GeneratorSource, Head, Issue, LedgerStore, Pad, PadError, PadId, PadMode, PadStatus,
    Policy, Provision, SinglePad, Verifier,
};

use crate::log_store::LogStore;
use crate::world::{CASH, INCOME, REFUND, USER, bought, emitted};

const FOLDER: &str = "SYMBOLON_KILL_FOLDER";
const POINT: &str = "SYMBOLON_KILL_POINT";
/// What `tests/faults.sh` sets: where a pad is to be prepared or checked, and where frames are kept out of harm's way.
const PREPARE: &str = "SYMBOLON_KILL_PREPARE";
const CHECK: &str = "SYMBOLON_KILL_CHECK";
const EMITTED: &str = "SYMBOLON_KILL_EMITTED";
const FEE: u128 = 3;
const VALUE: u128 = 1_000_000;

/// Dies at the n-th commit point, if the parent said so.
fn point(_: &str) {
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let passed = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
    if std::env::var(POINT).is_ok_and(|n| n.parse() == Ok(passed)) {
        // No unwinding, no destructors, no flushing.
        std::process::abort();
    }
}

fn emitted_file(folder: &Path) -> PathBuf {
    std::env::var(EMITTED).map_or_else(|_| folder.join("emitted"), PathBuf::from)
}

fn emit(folder: &Path, kind: u8, frame: &[u8]) {
    let mut out = OpenOptions::new().append(true).create(true).open(emitted_file(folder)).unwrap();
    let mut record = vec![kind];
    record.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
    record.extend(frame);
    out.write_all(&record).unwrap();
    // `written`, as far as a killed process goes; the checker must see it before the peer does.
}

/// Runs in the child: asks and answers until it is killed, or the pad ends.
#[test]
fn life() {
    let Ok(folder) = std::env::var(FOLDER).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(live(&folder));
}

async fn live(folder: &Path) {
    let a = SinglePad::new(folder.join("a.pad"));
    let b = SinglePad::new(folder.join("b.pad"));
    let id = a.header().unwrap().pad;
    let (ledger, users) = (
        LogStore::with_points(&folder.join("a.ledger"), point),
        LogStore::with_points(&folder.join("b.ledger"), point),
    );
    let policy = Policy::default().reserve(2048).destroy_every(2048).income(INCOME);
    let server = Pad::attach_with(&ledger, &a, id, policy).await.unwrap();
    let user = Pad::attach_with(&users, &b, id, policy).await.unwrap();
    // A request that the last life left behind is asked again, with the same bytes.
    let mut frame = std::fs::read(folder.join("asking")).unwrap_or_default();
    loop {
        if frame.is_empty() {
            frame = match user.seal(b"what is it worth?").commit().await {
                Ok(frame) => frame,
                Err(PadError::Exhausted { .. } | PadError::NotOpen(_)) => break,
                Err(other) => panic!("{other}"),
            };
            emit(folder, b'u', &frame);
            std::fs::write(folder.join("asking.new"), &frame).unwrap();
            std::fs::rename(folder.join("asking.new"), folder.join("asking")).unwrap();
        }
        let reply = match server.open(&frame).await {
            Ok(request) => {
                let answer = server.seal(b"three").answering(request.id()).charge(Amount::new(FEE));
                match answer.commit().await {
                    Ok(reply) => Some(reply),
                    Err(PadError::Exhausted { .. } | PadError::NotOpen(_)) => break,
                    Err(other) => panic!("{other}"),
                }
            }
            Err(PadError::Answered(reply)) => Some(reply),
            Err(PadError::Unanswered(_)) => None,
            Err(PadError::NotOpen(PadStatus::PadSpent)) => break,
            Err(other) => panic!("{other}"),
        };
        if let Some(reply) = reply {
            emit(folder, b's', &reply);
            match user.open(&reply).await {
                Ok(message) => assert_eq!(*message, *b"three"),
                // The user had claimed it when it died: the answer is lost, the fee is not charged again.
                Err(PadError::Unanswered(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        frame.clear();
        std::fs::remove_file(folder.join("asking")).unwrap();
    }
    File::create(folder.join("ended")).unwrap();
}

async fn new_pad(folder: &Path) -> PadId {
    let (a, b) = (folder.join("a.pad"), folder.join("b.pad"));
    let id = Issue::new(2 << 20)
        .mode(PadMode::PadOnly)
        .unwitnessed()
        .run(GeneratorSource::os(), &mut FileSink::at(&a), &mut FileSink::at(&b))
        .unwrap();
    let provision = Provision::new(id).valued(USER, REFUND).after(bought(VALUE));
    Pad::provision(&LogStore::open(&folder.join("a.ledger")), &SinglePad::new(&a), provision).await.unwrap();
    let provision = Provision::new(id);
    Pad::provision(&LogStore::open(&folder.join("b.ledger")), &SinglePad::new(&b), provision).await.unwrap();
    id
}

/// Starts a child, and kills it: at commit point `at`, or after some microseconds.
fn kill(folder: &Path, at: Option<u32>, after: Duration) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "kill::life", "--nocapture"]).env(FOLDER, folder);
    if let Some(at) = at {
        child.env(POINT, at.to_string());
    }
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    if at.is_none() {
        std::thread::sleep(after);
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "a life ended in its own failure: {said}");
}

/// Every frame of all lives, checked for overlap; gives how many distinct answers there were.
fn check_emitted(folder: &Path) -> u128 {
    let mut bytes = Vec::new();
    match File::open(emitted_file(folder)) {
        Ok(mut file) => file.read_to_end(&mut bytes).unwrap(),
        Err(_) => return 0,
    };
    let mut r = Reader::new(&bytes);
    let mut answers = std::collections::BTreeSet::new();
    while let Ok(kind) = r.u8() {
        // The last record may be torn.
        let Ok(len) = r.u32() else { break };
        let Ok(frame) = r.take(usize::try_from(len).unwrap()) else { break };
        emitted(frame.to_vec());
        if kind == b's' {
            answers.insert(frame.to_vec());
        }
    }
    answers.len() as u128
}

// proves L2 L3
#[tokio::test]
async fn killed_and_going_on() {
    let kills: u32 = std::env::var("SYMBOLON_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50);
    let mut seed = 0x9e37_79b9_u64;
    let mut pads = 0;
    let mut folder = tempfile::tempdir().unwrap();
    new_pad(folder.path()).await;
    for n in 0..kills {
        if folder.path().join("ended").exists() {
            pads += 1;
            folder = tempfile::tempdir().unwrap();
            new_pad(folder.path()).await;
        }
        // Every commit point in turn, then some later ones, then any instant.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = seed >> 33;
        match n % 5 {
            4 => kill(folder.path(), None, Duration::from_micros(random % 20_000)),
            _ => kill(folder.path(), Some(1 + n % 60), Duration::ZERO),
        }
        check(folder.path()).await;
    }
    println!("{kills} kills, {pads} pads used up");
}

/// No overlap among all frames, and books in order that know of every answer that left.
async fn check(folder: &Path) -> u128 {
    let answers = check_emitted(folder);
    let ledger = LogStore::open(&folder.join("a.ledger"));
    let balance = async |account| ledger.account(account).await.unwrap().unwrap().balance.minor_units();
    let income = balance(INCOME).await;
    assert_eq!(balance(CASH).await, VALUE, "no value is created or lost");
    let all = income + balance(USER).await + balance(REFUND).await;
    assert_eq!(all, VALUE, "no value is created or lost");
    assert!(income >= answers * FEE, "every answer that left was charged before");
    let mut verifier = Verifier::from(Head::default());
    for entry in ledger.journal(None, 0, usize::MAX).await.unwrap() {
        verifier.take(&entry).unwrap();
    }
    verifier.finish(&ledger.head().await.unwrap()).unwrap();
    answers
}

/// For `tests/faults.sh`: a pad to live with.
#[tokio::test]
async fn prepared() {
    let Ok(folder) = std::env::var(PREPARE) else { return };
    new_pad(Path::new(&folder)).await;
}

/// For `tests/faults.sh`: what a file system that failed has left of a pad.
#[tokio::test]
async fn checked() {
    let Ok(folder) = std::env::var(CHECK) else { return };
    let answers = check(Path::new(&folder)).await;
    assert!(answers > 0, "too little was done to show anything");
    println!("held: {answers} answers");
}
