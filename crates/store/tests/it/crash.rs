//! A real process under load is killed: at each point of a commit, and at random instants.
//!
//! The process says on its standard output what was acknowledged to it. After the kill the database is attached as at
//! any start, and must hold all of that; the books must balance and the journal verify; no reserved range may have been
//! given out twice. `SYMBOLON_KILLS` sets how many random kills there are.
// proves L2, X2 (SQLite)

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use symbolon_envelope::{Change, Payload, PayloadId, Record, RecordId, Records, Upload};
use symbolon_keys::{Backend, Epoch, Id, OsRng, Secret, UnixTime};
use symbolon_ledger::{
    AccountId, Amount, Batch, BatchId, Event, Fence, Generation, Head, Instance, Lease, LedgerStore, Op,
    OwnerId, PadId, PadMode, PadRow, PadStatus, ReceiveRow, SendRow, Side, Transfer, TransferId, Verifier,
};
use symbolon_store::{CommitPoint, Options, Sqlite};
use symbolon_table::{Deposit, Header, InboxStore, Letter, MailboxStore, MessageId, PairRoot, Quota, seal};

use crate::place::Place;

/// Where the killed process finds its database; without it, `child` does nothing.
const DATABASE: &str = "SYMBOLON_CRASH_DATABASE";
/// The commit point at which it stops and waits to be killed, and at which commit.
const STOP_AT: &str = "SYMBOLON_CRASH_AT";
const PREPARE: &str = "SYMBOLON_CRASH_PREPARE";
const VERIFY: &str = "SYMBOLON_CRASH_VERIFY";
const SAID: &str = "SYMBOLON_CRASH_SAID";

const ACCOUNTS: u8 = 8;
const RANGE: u64 = 64;

fn account(n: u8) -> AccountId {
    AccountId::from([n; 16])
}

fn now() -> UnixTime {
    UnixTime::from_secs(1_800_000_000)
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_at_any_commit_point() {
    let place = Place::new();
    let database = prepare(place.fresh().await).await;
    let mut acknowledged = Acknowledged::default();
    for point in CommitPoint::ALL {
        for commit in [1, 12] {
            let mut child = spawn(&database, Some(&format!("{point:?} {commit}")));
            let said = listen(&mut child, |line| line == "stopped");
            kill(child);
            acknowledged.add(&said.join().unwrap());
            verify(&database, &acknowledged).await;
        }
    }
    assert!(!acknowledged.transfers.is_empty() && !acknowledged.reserved.is_empty(), "some work was done");
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_at_a_random_instant() {
    let place = Place::new();
    let database = prepare(place.fresh().await).await;
    let mut acknowledged = Acknowledged::default();
    let kills = env::var("SYMBOLON_KILLS").map_or(6, |kills| kills.parse().unwrap());
    for _ in 0..kills {
        let mut child = spawn(&database, None);
        let said = listen(&mut child, |_| false);
        let mut random = [0; 1];
        rand_fill(&mut random);
        thread::sleep(Duration::from_millis(20 + u64::from(random[0])));
        kill(child);
        acknowledged.add(&said.join().unwrap());
        verify(&database, &acknowledged).await;
    }
    assert!(!acknowledged.transfers.is_empty(), "some work was done");
}

/// For `tests/faults.sh`, which makes the file system fail under the process: prepares a database.
#[tokio::test]
async fn prepared() {
    let Ok(database) = env::var(PREPARE) else { return };
    prepare(Sqlite::provision(database).await.unwrap()).await;
}

/// For `tests/faults.sh`: verifies a database against what the process said.
#[tokio::test]
async fn verified() {
    let (Ok(database), Ok(said)) = (env::var(VERIFY), env::var(SAID)) else { return };
    let said = std::fs::read(said).unwrap();
    let whole = said.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut acknowledged = Acknowledged::default();
    acknowledged.add(&said[..whole].lines().map(Result::unwrap).collect::<Vec<_>>());
    verify(Path::new(&database), &acknowledged).await;
    let Acknowledged { transfers, accepted, letters, records, reserved, .. } = acknowledged;
    let counts = [transfers.len(), accepted.len(), letters.len(), records.len(), reserved.len()];
    assert!(
        counts.iter().all(|count| *count > 0),
        "too little was acknowledged to show anything: {counts:?}"
    );
    println!("held: {counts:?} transfers, messages, letters, records, reservations");
}

/// The process that is killed. A task ends at the first failure: what follows is not acknowledged.
#[test]
fn child() {
    let Ok(database) = env::var(DATABASE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = options().attach(database).await.unwrap();
        let mut tasks = vec![tokio::spawn(reserve(store.clone()))];
        for n in 0..4 {
            tasks.push(tokio::spawn(pay(store.clone(), n)));
            tasks.push(tokio::spawn(accept(store.clone())));
            tasks.push(tokio::spawn(write(store.clone())));
            tasks.push(tokio::spawn(keep(store.clone(), if n == 0 { 100_000 } else { 500 })));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn options() -> Options {
    let Ok(stop) = env::var(STOP_AT) else { return Options::default() };
    let (point, commit) = stop.split_once(' ').unwrap();
    let point = CommitPoint::ALL.into_iter().find(|at| format!("{at:?}") == point).unwrap();
    let left = AtomicU32::new(commit.parse().unwrap());
    Options::default().on_commit(move |at| {
        if at == point && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            say("stopped");
            loop {
                thread::park();
            }
        }
        Ok(())
    })
}

/// One line, written whole: what is said here was acknowledged before.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

async fn pay(store: Sqlite, n: u8) {
    for round in 0_u8.. {
        let (from, to) = (round.wrapping_add(n) % ACCOUNTS, round.wrapping_mul(3) % ACCOUNTS);
        if from == to {
            continue;
        }
        let transfer = Transfer::post(
            TransferId::generate(&mut OsRng),
            account(from + 1),
            account(to + 1),
            Amount::new(1),
        );
        if store.commit(Batch::new(now()).with(Op::Transfer(transfer.clone()))).await.is_err() {
            return;
        }
        say(&format!("transfer {}", transfer.id));
    }
}

async fn accept(store: Sqlite) {
    loop {
        let message = MessageId::generate(&mut OsRng);
        let Ok(true) = store.remember(&id("bob"), &id("alice"), &message, Epoch::FIRST).await else { return };
        say(&format!("accepted {message}"));
    }
}

async fn write(store: Sqlite) {
    for round in 0_u64.. {
        let header = Header::fresh((id("alice"), Epoch::FIRST), (id("bob"), Epoch::FIRST), &mut OsRng);
        let root = PairRoot::from(Secret::generate(&mut OsRng));
        let message = seal(&root, &header, Backend::best(), b"hello").unwrap();
        let letter = Letter::new(message, now()).unwrap();
        let quota = Quota {
            letters: u64::MAX,
            bytes: u64::MAX,
            letters_per_sender: u64::MAX,
            sender_letters: u64::MAX,
            sender_bytes: u64::MAX,
        };
        let Ok(Deposit::Stored(sequence)) = store.deposit(&letter, &quota).await else { return };
        say(&format!("letter {sequence}"));
        if round % 2 == 0 {
            say(&format!("taking {sequence}"));
            let Ok(1) = store.acknowledge(&id("bob"), &[sequence]).await else { return };
            say(&format!("taken {sequence}"));
        }
    }
}

async fn keep(store: Sqlite, len: usize) {
    loop {
        let record = RecordId::generate(&mut OsRng);
        let payload = PayloadId::from(*record.as_bytes());
        let body = body(record, len);
        let Ok(mut upload) = store.upload(payload).await else { return };
        if upload.write(&body).await.is_err() {
            return;
        }
        let row = Record {
            id: record,
            owner: id("alice"),
            sequence: 1,
            server_key: 1,
            header: vec![1],
            payload: Payload { id: payload, len: len as u64, digest: [0; 32] },
            stored: now(),
        };
        let Ok(Change::Done) = Records::put(&store, row, upload, None).await else { return };
        say(&format!("record {record}"));
    }
}

fn body(record: RecordId, len: usize) -> Vec<u8> {
    record.as_bytes().iter().copied().cycle().take(len).collect()
}

/// Takes the pad over and reserves range after range, as an owner does before it sends.
async fn reserve(store: Sqlite) {
    let attach = Op::Attach {
        pad: pad().id,
        instance: pad().instance,
        owner: OwnerId::generate(&mut OsRng),
        until: now(),
        takeover: true,
    };
    store.commit(Batch::new(now()).with(attach)).await.unwrap();
    let row = store.pad(pad().id).await.unwrap().unwrap();
    let fence = Fence { pad: row.id, epoch: row.lease.epoch };
    let mut from = row.send.reserved;
    loop {
        let to = from + RANGE;
        let batch = BatchId::generate(&mut OsRng);
        let op = Op::Reserve { fence, generation: row.send.generation, from, to, batch };
        if store.commit(Batch::new(now()).with(op)).await.is_err() {
            return;
        }
        say(&format!("reserved {from}"));
        from = to;
    }
}

fn pad() -> PadRow {
    let (generation, batch) = (Generation::from([1; 16]), BatchId::from([0; 16]));
    let (from, position, ceiling_from, ceiling) = (0, 0, 0, 0);
    PadRow {
        id: PadId::from([7; 16]),
        instance: Instance::from([8; 16]),
        mode: PadMode::PadOverAead,
        witnessed: false,
        account: None,
        refund: None,
        status: PadStatus::Open,
        lease: Lease { epoch: 0, owner: None, until: UnixTime::default() },
        send: SendRow { lane: 0, generation, len: 1 << 30, from, reserved: 0, batch },
        receive: ReceiveRow {
            lane: 1,
            generation,
            len: 1 << 30,
            position,
            seq: 0,
            ceiling_from,
            ceiling,
            batch,
        },
    }
}

/// A database with accounts that can pay each other, and a pad.
async fn prepare(store: Sqlite) -> PathBuf {
    let mut batch = Batch::new(now()).with(Op::OpenAccount { id: account(99), side: Side::Debit });
    for n in 1..=ACCOUNTS {
        batch.push(Op::OpenAccount { id: account(n), side: Side::Credit });
        let funds =
            Transfer::post(TransferId::from([n; 16]), account(99), account(n), Amount::new(1_000_000));
        batch.push(Op::Transfer(funds));
    }
    store.commit(batch.with(Op::Provision(pad()))).await.unwrap();
    let path = store.path().to_path_buf();
    store.close().await;
    path
}

fn spawn(database: &Path, stop_at: Option<&str>) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "crash::child", "--nocapture"]).env(DATABASE, database).stdout(Stdio::piped());
    command.envs(stop_at.map(|stop| (STOP_AT, stop)));
    command.stderr(Stdio::null()).spawn().unwrap()
}

/// Collects what the process says until it is dead; returns when `until` has come, or it has begun to work.
fn listen(
    child: &mut Child,
    until: impl Fn(&str) -> bool + Send + 'static,
) -> thread::JoinHandle<Vec<String>> {
    let out = BufReader::new(child.stdout.take().unwrap());
    let (begun, wait) = std::sync::mpsc::channel();
    let waits_for_stop = until("stopped");
    let listener = thread::spawn(move || {
        let mut said = Vec::new();
        // A line that was cut off by the kill was not said.
        for line in out.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8(line).unwrap();
            if until(&line) || !waits_for_stop {
                let _ = begun.send(());
            }
            said.push(line);
        }
        said
    });
    wait.recv_timeout(Duration::from_secs(60)).unwrap();
    listener
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[derive(Default)]
struct Acknowledged {
    transfers: BTreeSet<TransferId>,
    accepted: BTreeSet<MessageId>,
    letters: BTreeSet<u64>,
    taking: BTreeSet<u64>,
    taken: BTreeSet<u64>,
    records: BTreeSet<RecordId>,
    reserved: BTreeSet<u64>,
}

impl Acknowledged {
    fn add(&mut self, said: &[String]) {
        fn parse<T: FromStr<Err: core::fmt::Debug>>(text: &str) -> T {
            text.parse().unwrap()
        }
        for line in said {
            let Some((what, which)) = line.split_once(' ') else { continue };
            let new = match what {
                "transfer" => self.transfers.insert(parse(which)),
                "accepted" => self.accepted.insert(parse(which)),
                "letter" => self.letters.insert(parse(which)),
                "taking" => self.taking.insert(parse(which)),
                "taken" => self.taken.insert(parse(which)),
                "record" => self.records.insert(parse(which)),
                "reserved" => self.reserved.insert(parse(which)),
                _ => true, // the test harness itself
            };
            assert!(new, "given out twice: {line}");
        }
    }
}

async fn verify(database: &Path, acknowledged: &Acknowledged) {
    let store =
        Sqlite::attach(database).await.expect("a killed process leaves a database that can be attached");
    store.check().await.unwrap();
    verify_books(&store).await;
    for transfer in &acknowledged.transfers {
        assert!(store.transfer(*transfer).await.unwrap().is_some(), "transfer {transfer} was lost");
    }
    let reserved = store.pad(pad().id).await.unwrap().unwrap().send.reserved;
    assert!(
        acknowledged.reserved.last().is_none_or(|last| last + RANGE <= reserved),
        "a reservation was lost"
    );
    assert_eq!(reserved % RANGE, 0, "a reservation is whole");
    for message in &acknowledged.accepted {
        let again = store.remember(&id("bob"), &id("alice"), message, Epoch::FIRST).await.unwrap();
        assert!(!again, "message {message} was accepted twice");
    }
    let lying = store.poll(&id("bob"), 0, usize::MAX).await.unwrap();
    let lying: BTreeSet<u64> = lying.iter().map(|delivery| delivery.sequence).collect();
    assert!(lying.is_disjoint(&acknowledged.taken), "an acknowledged letter came back");
    for letter in acknowledged.letters.difference(&acknowledged.taking) {
        assert!(lying.contains(letter), "letter {letter} was lost");
    }
    for record in &acknowledged.records {
        let row = Records::get(&store, *record).await.unwrap().expect("a record was lost");
        let len = usize::try_from(row.payload.len).unwrap();
        let found = Records::read(&store, row.payload.id, 0, len + 1).await.unwrap();
        assert!(found == Some(body(*record, len)), "the payload of record {record}");
    }
    store.close().await;
}

/// The journal verifies, and the balances are what its transfers come to.
async fn verify_books(store: &Sqlite) {
    let (mut verifier, mut balances) = (Verifier::from(Head::default()), BTreeMap::<AccountId, i128>::new());
    loop {
        let entries = store.journal(None, verifier.head().entries, 1000).await.unwrap();
        for entry in &entries {
            verifier.take(entry).unwrap();
            if let Event::Transfer(transfer) = &entry.event {
                let amount = i128::try_from(transfer.amount.minor_units()).unwrap();
                *balances.entry(transfer.from).or_default() -= amount;
                *balances.entry(transfer.to).or_default() += amount;
            }
        }
        if entries.is_empty() {
            break;
        }
    }
    verifier.finish(&store.head().await.unwrap()).unwrap();
    for n in (1..=ACCOUNTS).chain([99]) {
        let row = store.account(account(n)).await.unwrap().unwrap();
        let balance = i128::try_from(row.balance.minor_units()).unwrap();
        let expected = if row.side == Side::Debit { -balances[&row.id] } else { balances[&row.id] };
        assert_eq!(balance, expected, "account {n}");
    }
    assert_eq!(balances.values().sum::<i128>(), 0);
}

fn rand_fill(bytes: &mut [u8; 1]) {
    bytes[0] = MessageId::generate(&mut OsRng).as_bytes()[0];
}
