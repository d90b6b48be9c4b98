//! The hot paths of `symbolon-store`: durable transfers, beside a bare loop of the same statements and a bare sync.
//!
//! Times are per transfer: 64 clients at once, each waiting for its own commit. `SYMBOLON_BENCH_ACCOUNTS` lists the
//! sizes of the ledger, at first `1000,100000`; with `1000000` filling the database takes half a minute.
//!
//! PostgreSQL is measured on a server of its own, with `pgbench -N` beside it: 64 clients, each with a connection, that
//! change one balance and append one row. Without a server on the machine it is left out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::std_instead_of_core,
    clippy::panic,
    reason = "a bench may panic, and measures time"
)]

#[allow(
    dead_code,
    unreachable_pub,
    clippy::std_instead_of_alloc,
    reason = "shared with the tests of the store"
)]
#[path = "../crates/store/tests/it/cluster.rs"]
mod cluster;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rusqlite::{Connection, params};
use symbolon_keys::{OsRng, UnixTime};
use symbolon_ledger::{AccountId, Amount, Batch, LedgerStore, Op, Transfer, TransferId};
use symbolon_store::{Postgres, Sqlite};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const CLIENTS: u64 = 64;
/// Transfers of each client in one measurement, so that clients meet as they come and not in step.
const EACH: u64 = 16;
const TRANSFERS: u64 = CLIENTS * EACH;

/// Accounts spread over their table as random ids are.
fn account(n: u64) -> AccountId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id[8..].copy_from_slice(&n.to_be_bytes());
    AccountId::from(id)
}

/// Pairs of different accounts, drawn without much ado.
struct Pairs {
    state: u64,
    accounts: u64,
}

impl Pairs {
    fn draw(&mut self) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % self.accounts
    }

    fn next(&mut self) -> (AccountId, AccountId) {
        let from = self.draw();
        let to = (from + 1 + self.draw() % (self.accounts - 1)) % self.accounts;
        (account(from), account(to))
    }
}

/// A database with so many accounts that can pay.
fn fill(runtime: &Runtime, path: &Path, accounts: u64) {
    runtime.block_on(async { Sqlite::provision(path).await.unwrap().close().await });
    let db = Connection::open(path).unwrap();
    let tx = db.unchecked_transaction().unwrap();
    let mut insert = tx.prepare("INSERT INTO accounts VALUES (?1, 2, ?2, zeroblob(16), NULL, 0)").unwrap();
    for n in 0..accounts {
        insert.execute(params![account(n).as_bytes(), (1_u128 << 64).to_be_bytes()]).unwrap();
    }
    drop(insert);
    tx.commit().unwrap();
}

async fn clients<S: LedgerStore + Clone>(store: &S, accounts: u64, seed: u64) {
    let clients = (0..CLIENTS).map(|client| {
        let (store, mut pairs) = (store.clone(), Pairs { state: seed ^ (client << 32), accounts });
        tokio::spawn(async move {
            for _ in 0..EACH {
                let (from, to) = pairs.next();
                let transfer = Transfer::post(TransferId::generate(&mut OsRng), from, to, Amount::new(1));
                let batch = Batch::new(UnixTime::from_secs(1)).with(Op::Transfer(transfer));
                store.commit(batch).await.unwrap();
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

/// The statements of a transfer, and nothing else: what SQLite leaves to be won.
struct Bare {
    db: Connection,
    pairs: Pairs,
    entries: i64,
}

impl Bare {
    fn open(path: PathBuf, accounts: u64) -> Self {
        let db = Connection::open(path).unwrap();
        for (pragma, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("cache_size", "-16384")] {
            db.pragma_update(None, pragma, value).unwrap();
        }
        db.set_prepared_statement_cache_capacity(32);
        Self { db, pairs: Pairs { state: 1, accounts }, entries: 0 }
    }

    fn run(&self, sql: &str, row: impl rusqlite::Params) {
        self.db.prepare_cached(sql).unwrap().execute(row).unwrap();
    }

    fn balance(&self, id: AccountId) -> u128 {
        let sql = "SELECT id, side, balance, held, pad, closed FROM accounts WHERE id = ?1";
        let mut select = self.db.prepare_cached(sql).unwrap();
        u128::from_be_bytes(select.query_row([id.as_bytes()], |row| row.get(2)).unwrap())
    }

    fn batch(&mut self) {
        self.run("BEGIN IMMEDIATE", []);
        for _ in 0..CLIENTS {
            let ((from, to), id) = (self.pairs.next(), TransferId::generate(&mut OsRng));
            let known = "SELECT 1 FROM transfers WHERE id = ?1";
            assert!(!self.db.prepare_cached(known).unwrap().exists([id.as_bytes()]).unwrap());
            for (account, change) in [(from, -1), (to, 1)] {
                let balance = self.balance(account).checked_add_signed(change).unwrap();
                let update = "UPDATE accounts SET balance = ?2 WHERE id = ?1";
                self.run(update, params![account.as_bytes(), balance.to_be_bytes()]);
            }
            let insert =
                "INSERT INTO transfers VALUES (?1, 1, ?2, ?3, ?4, NULL, NULL, NULL, zeroblob(16), 1, NULL)";
            self.run(insert, params![id.as_bytes(), from.as_bytes(), to.as_bytes(), 1_u128.to_be_bytes()]);
            self.entries += 1;
            let insert = "INSERT INTO journal VALUES (?1, 1, ?2, NULL, ?3)";
            self.run(insert, params![self.entries, id.as_bytes(), [0_u8; 32]]);
            for account in [from, to] {
                self.run("INSERT INTO statements VALUES (?1, ?2)", params![account.as_bytes(), self.entries]);
            }
        }
        self.run("COMMIT", []);
    }
}

fn transfers(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = TempDir::new().unwrap();
    let mut group = c.benchmark_group("store/transfer");
    group.sample_size(10).measurement_time(Duration::from_secs(3));

    let mut file = File::create(folder.path().join("bare")).unwrap();
    group.throughput(Throughput::Elements(1));
    group.bench_function("fdatasync/4096", |b| {
        b.iter(|| {
            file.write_all(&[0; 4096]).unwrap();
            file.sync_data().unwrap();
        });
    });
    let sizes = std::env::var("SYMBOLON_BENCH_ACCOUNTS").unwrap_or_else(|_| "1000,100000".into());
    for accounts in sizes.split(',').map(|size| size.parse().unwrap()) {
        let path = |name: &str| folder.path().join(format!("{name}-{accounts}.db"));
        fill(&runtime, &path("bare"), accounts);
        let mut bare = Bare::open(path("bare"), accounts);
        group.throughput(Throughput::Elements(CLIENTS));
        group.bench_function(BenchmarkId::new("rusqlite", accounts), |b| b.iter(|| bare.batch()));

        fill(&runtime, &path("sqlite"), accounts);
        let store = runtime.block_on(Sqlite::attach(path("sqlite"))).unwrap();
        group.throughput(Throughput::Elements(TRANSFERS));
        let mut seed = 0;
        group.bench_function(BenchmarkId::new("sqlite", accounts), |b| {
            b.iter(|| {
                seed += 1;
                runtime.block_on(clients(&store, accounts, seed));
            });
        });
        group.throughput(Throughput::Elements(1));
        let mut pairs = Pairs { state: 3, accounts };
        group.bench_function(BenchmarkId::new("sqlite-alone", accounts), |b| {
            b.iter(|| {
                let (from, to) = pairs.next();
                let transfer = Transfer::post(TransferId::generate(&mut OsRng), from, to, Amount::new(1));
                let batch = Batch::new(UnixTime::from_secs(1)).with(Op::Transfer(transfer));
                runtime.block_on(store.commit(batch)).unwrap();
            });
        });
        runtime.block_on(store.close());
    }
    group.finish();
}

/// The same on PostgreSQL, and what its own load program reaches there.
fn postgres(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    // A private one: that of the environment may not be on this machine, nor alone.
    let Some(cluster) = cluster::Cluster::private(&[]) else { return };
    let mut group = c.benchmark_group("store/transfer");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    let sizes = std::env::var("SYMBOLON_BENCH_ACCOUNTS").unwrap_or_else(|_| "1000,100000".into());
    for accounts in sizes.split(',').map(|size| size.parse().unwrap()) {
        let (url, store) = runtime.block_on(cluster.fresh());
        runtime.block_on(async {
            let sql = "INSERT INTO symbolon.accounts SELECT $1, 2, 18446744073709551616, 0, NULL, false";
            let admin = cluster::admin(&url).await;
            admin.batch_execute("BEGIN").await.unwrap();
            let insert = admin.prepare(sql).await.unwrap();
            for n in 0..accounts {
                admin.execute(&insert, &[&account(n).as_bytes().as_slice()]).await.unwrap();
            }
            admin.batch_execute("COMMIT; ANALYZE").await.unwrap();
        });
        group.throughput(Throughput::Elements(TRANSFERS));
        let mut seed = 0;
        group.bench_function(BenchmarkId::new("postgres", accounts), |b| {
            b.iter(|| {
                seed += 1;
                runtime.block_on(clients::<Postgres>(&store, accounts, seed));
            });
        });
        group.throughput(Throughput::Elements(1));
        let mut pairs = Pairs { state: 3, accounts };
        group.bench_function(BenchmarkId::new("postgres-alone", accounts), |b| {
            b.iter(|| {
                let (from, to) = pairs.next();
                let transfer = Transfer::post(TransferId::generate(&mut OsRng), from, to, Amount::new(1));
                let batch = Batch::new(UnixTime::from_secs(1)).with(Op::Transfer(transfer));
                runtime.block_on(store.commit(batch)).unwrap();
            });
        });
        runtime.block_on(store.close());
    }
    let url = runtime.block_on(cluster.database());
    cluster.program("pgbench", &["-i", "-q", "-s", "10", &url]);
    group.throughput(Throughput::Elements(TRANSFERS));
    group.bench_function(BenchmarkId::new("pgbench", CLIENTS), |b| {
        let clients = CLIENTS.to_string();
        b.iter_custom(|runs| {
            // Long enough that its clients do not end one by one.
            let transactions = (EACH * runs * 4).to_string();
            let load = ["-n", "-N", "-M", "prepared", "-c", &clients, "-j", "2", "-t", &transactions, &url];
            let text = cluster.program("pgbench", &load);
            // It leaves out the time that connecting takes.
            let rate = text
                .lines()
                .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
            Duration::from_secs_f64(TRANSFERS as f64 * runs as f64 / rate.unwrap())
        });
    });
    group.finish();
}

/// How long a start takes: attach, and answer the first question.
fn starts(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("exchange.db");
    fill(&runtime, &path, 10_000);
    c.benchmark_group("store/attach").sample_size(10).bench_function(
        BenchmarkId::new("sqlite", 10_000),
        |b| {
            b.iter_custom(|starts| {
                let mut time = Duration::ZERO;
                for _ in 0..starts {
                    let begun = Instant::now();
                    let store = runtime.block_on(async {
                        let store = Sqlite::attach(&path).await.unwrap();
                        assert!(store.account(account(1)).await.unwrap().is_some());
                        store
                    });
                    time += begun.elapsed();
                    runtime.block_on(store.close());
                }
                time
            });
        },
    );
}

criterion_group!(all, transfers, postgres, starts);
criterion_main!(all);
