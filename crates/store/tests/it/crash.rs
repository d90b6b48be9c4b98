//! A real process under load is killed: at each point of a commit, and at random instants.
//!
//! The process says on its standard output what was acknowledged to it. After the kill the database is attached as at
//! any start, and must hold all of that; the books must balance and the journal verify; no reserved range may have been
//! given out twice. `SYMBOLON_KILLS` sets how many random kills there are. The same for PostgreSQL is in
//! `postgres/kills.rs`.
// proves L2, X2

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use symbolon_envelope::{Change, Payload, PayloadId, Record, RecordId, Records, Upload};
use symbolon_keys::{Backend, Epoch, Id, OsRng, Secret, UnixTime};
use symbolon_ledger::{
    AccountId, Amount, Batch, BatchId, Event, Fence, Generation, Head, Instance, Lease, LedgerStore, Op,
    Outcome, OwnerId, PadId, PadMode, PadRow, PadStatus, ReceiveRow, SendRow, Side, Transfer, TransferId,
    Verifier,
};
use symbolon_store::{AnyStore, CommitPoint, Options, PostgresOptions, Sqlite, StoreError};
use symbolon_table::{Deposit, Header, InboxStore, Letter, MailboxStore, MessageId, PairRoot, Quota, seal};

use crate::place::Place;

/// Where the killed process finds its database, a path or a URL; without it, `child` does nothing.
const DATABASE: &str = "SYMBOLON_CRASH_DATABASE";
/// The commit point at which it stops and waits to be killed, and at which commit.
const STOP_AT: &str = "SYMBOLON_CRASH_AT";
const PREPARE: &str = "SYMBOLON_CRASH_PREPARE";
const VERIFY: &str = "SYMBOLON_CRASH_VERIFY";
const SAID: &str = "SYMBOLON_CRASH_SAID";
/// A task does not end at its first failure, but tries again.
const GO_ON: &str = "SYMBOLON_CRASH_GO_ON";

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
    let database = prepare_sqlite(place.fresh().await).await;
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
    let database = prepare_sqlite(place.fresh().await).await;
    let mut acknowledged = Acknowledged::default();
    let kills = env::var("SYMBOLON_KILLS").map_or(6, |kills| kills.parse().unwrap());
    for _ in 0..kills {
        let mut child = spawn(&database, None);
        let said = listen(&mut child, |_| false);
        thread::sleep(a_while());
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
    match is_postgres(&database) {
        true => prepare(&AnyStore::provision(&database).await.unwrap()).await,
        false => drop(prepare_sqlite(Sqlite::provision(database).await.unwrap()).await),
    }
}

/// For `tests/faults.sh`: verifies a database against what the process said.
#[tokio::test]
async fn verified() {
    let (Ok(database), Ok(said)) = (env::var(VERIFY), env::var(SAID)) else { return };
    let said = std::fs::read(said).unwrap();
    let whole = said.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut acknowledged = Acknowledged::default();
    acknowledged.add(&said[..whole].lines().map(Result::unwrap).collect::<Vec<_>>());
    verify(&database, &acknowledged).await;
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
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = attach(&database).await;
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

async fn attach(database: &str) -> AnyStore {
    if is_postgres(database) {
        let options =
            PostgresOptions::default().upkeep(Duration::from_millis(300)).timeout(Duration::from_secs(5));
        return options.on_commit(hook()).attach(database).await.unwrap().into();
    }
    Options::default().on_commit(hook()).attach(database).await.unwrap().into()
}

fn is_postgres(database: &str) -> bool {
    database.starts_with("postgres:")
}

/// Stops at the point that the environment names, if it does.
fn hook() -> impl Fn(CommitPoint) -> Result<(), StoreError> + Send + Sync {
    let stop = env::var(STOP_AT).ok().map(|stop| {
        let (point, commit) = stop.split_once(' ').unwrap();
        let point = CommitPoint::ALL.into_iter().find(|at| format!("{at:?}") == point).unwrap();
        (point, AtomicU32::new(commit.parse().unwrap()))
    });
    move |at| {
        if stop.as_ref().is_some_and(|(point, left)| at == *point && left.fetch_sub(1, Ordering::SeqCst) == 1)
        {
            say("stopped");
            loop {
                thread::park();
            }
        }
        Ok(())
    }
}

/// After a failure: whether the task ends.
async fn ends() -> bool {
    if env::var_os(GO_ON).is_none() {
        return true;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    false
}

/// One line, written whole: what is said here was acknowledged before.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

async fn pay(store: AnyStore, n: u8) {
    for round in (0..=u8::MAX).cycle() {
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
            if ends().await {
                return;
            }
            continue;
        }
        say(&format!("transfer {}", transfer.id));
    }
}

async fn accept(store: AnyStore) {
    loop {
        let message = MessageId::generate(&mut OsRng);
        let Ok(true) = store.remember(&id("bob"), &id("alice"), &message, Epoch::FIRST).await else {
            if ends().await {
                return;
            }
            continue;
        };
        say(&format!("accepted {message}"));
    }
}

async fn write(store: AnyStore) {
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
        let Ok(Deposit::Stored(sequence)) = store.deposit(&letter, &quota).await else {
            if ends().await {
                return;
            }
            continue;
        };
        say(&format!("letter {sequence}"));
        if round % 2 == 0 {
            say(&format!("taking {sequence}"));
            match store.acknowledge(&id("bob"), &[sequence]).await {
                Ok(1) => say(&format!("taken {sequence}")),
                _ if ends().await => return,
                _ => {}
            }
        }
    }
}

async fn keep(store: AnyStore, len: usize) {
    loop {
        match keep_one(&store, len).await {
            Some(record) => say(&format!("record {record}")),
            None if ends().await => return,
            None => {}
        }
    }
}

async fn keep_one(store: &AnyStore, len: usize) -> Option<RecordId> {
    let record = RecordId::generate(&mut OsRng);
    let payload = PayloadId::from(*record.as_bytes());
    let mut upload = store.upload(payload).await.ok()?;
    upload.write(&body(record, len)).await.ok()?;
    let row = Record {
        id: record,
        owner: id("alice"),
        sequence: 1,
        server_key: 1,
        header: vec![1],
        payload: Payload { id: payload, len: len as u64, digest: [0; 32] },
        stored: now(),
    };
    matches!(Records::put(store, row, upload, None).await, Ok(Change::Done)).then_some(record)
}

fn body(record: RecordId, len: usize) -> Vec<u8> {
    record.as_bytes().iter().copied().cycle().take(len).collect()
}

/// Takes the pad over and reserves range after range, as an owner does before it sends.
async fn reserve(store: AnyStore) {
    loop {
        if let Some((fence, row)) = take_over(&store).await {
            let mut from = row.send.reserved;
            while reserve_one(&store, fence, row.send.generation, from).await {
                say(&format!("reserved {from}"));
                from += RANGE;
            }
        }
        if ends().await {
            return;
        }
    }
}

async fn take_over(store: &AnyStore) -> Option<(Fence, PadRow)> {
    let attach = Op::Attach {
        pad: pad().id,
        instance: pad().instance,
        owner: OwnerId::generate(&mut OsRng),
        until: now(),
        takeover: true,
    };
    let outcomes = store.commit(Batch::new(now()).with(attach)).await.ok()?;
    let Some(Outcome::Attached(row)) = outcomes.into_iter().next() else { panic!("attached") };
    Some((Fence { pad: row.id, epoch: row.lease.epoch }, *row))
}

async fn reserve_one(store: &AnyStore, fence: Fence, generation: Generation, from: u64) -> bool {
    let batch = BatchId::generate(&mut OsRng);
    let op = Op::Reserve { fence, generation, from, to: from + RANGE, batch };
    store.commit(Batch::new(now()).with(op)).await.is_ok()
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

async fn prepare_sqlite(store: Sqlite) -> String {
    let path = store.path().to_str().unwrap().to_owned();
    prepare(&store.clone().into()).await;
    store.close().await;
    path
}

/// Accounts that can pay each other, and a pad.
pub async fn prepare(store: &AnyStore) {
    let mut batch = Batch::new(now()).with(Op::OpenAccount { id: account(99), side: Side::Debit });
    for n in 1..=ACCOUNTS {
        batch.push(Op::OpenAccount { id: account(n), side: Side::Credit });
        let funds =
            Transfer::post(TransferId::from([n; 16]), account(99), account(n), Amount::new(1_000_000));
        batch.push(Op::Transfer(funds));
    }
    store.commit(batch.with(Op::Provision(pad()))).await.unwrap();
}

pub fn spawn(database: &str, stop_at: Option<&str>) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "crash::child", "--nocapture"]).env(DATABASE, database).stdout(Stdio::piped());
    command.envs(stop_at.map(|stop| (STOP_AT, stop)));
    command.stderr(Stdio::null()).spawn().unwrap()
}

/// Collects what the process says until it is dead; returns when `until` has come, or it has begun to work.
pub fn listen(
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

pub fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[derive(Default)]
pub struct Acknowledged {
    pub transfers: BTreeSet<TransferId>,
    accepted: BTreeSet<MessageId>,
    letters: BTreeSet<u64>,
    taking: BTreeSet<u64>,
    taken: BTreeSet<u64>,
    records: BTreeSet<RecordId>,
    pub reserved: BTreeSet<u64>,
}

impl Acknowledged {
    pub fn add(&mut self, said: &[String]) {
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

pub async fn verify(database: &str, acknowledged: &Acknowledged) {
    let url = if is_postgres(database) { database.to_owned() } else { format!("sqlite:{database}") };
    let store =
        AnyStore::attach(&url).await.expect("a killed process leaves a database that can be attached");
    if let AnyStore::Sqlite(store) = &store {
        store.check().await.unwrap();
    }
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
async fn verify_books(store: &AnyStore) {
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

/// Between 20 and 275 milliseconds.
pub fn a_while() -> Duration {
    let [random, ..] = *MessageId::generate(&mut OsRng).as_bytes();
    Duration::from_millis(20 + u64::from(random))
}
