//! Loads a server, and says how much it did, and how long each took.
//!
//! ```text
//! cargo run --release --example load                                     # SQLite, in a folder that is not kept
//! cargo run --release --example load -- --store postgres://user@host/database
//! cargo run --release --example load -- --clients 64 --seconds 10 mail records sessions services
//! cargo run --release --example load -- storm --clients 5000             # all connect at once
//! ```
//! Server and clients share this process and its processors: what a client computes is not the server's.

#![allow(clippy::std_instead_of_alloc, reason = "a program has std")]

mod work;

use core::time::Duration;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;
use symbolon::keys::{Backend, OsRng};
use symbolon::{
    AnyStore, Calculation, Client, ClientError, Identity, Limits, NoisePublicKey, Operator, Rate, Server,
    ServerFolder,
};
use symbolon_examples::Failure;
use tokio::sync::{Barrier, oneshot};
use tokio::time::Instant;

#[derive(Debug, Parser)]
#[command(version, about = "Load on a server: rates and latencies")]
struct Arguments {
    /// An empty database; SQLite in a temporary folder if nothing is said.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Clients at once.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// For each kind of work.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// All but the storm, if nothing is said.
    #[arg(value_enum)]
    work: Vec<Work>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Work {
    /// A letter is deposited, polled and acknowledged.
    Mail,
    /// A document is put and delivered: 1 KiB, then 1 MiB.
    Records,
    /// A session is begun, logged in and ended.
    Sessions,
    /// A service is quoted and performed under a pad: value moves twice.
    Services,
    /// Everybody connects at once.
    Storm,
}

/// A server that is loaded, and what its clients need.
struct Target {
    server: core::net::SocketAddr,
    key: NoisePublicKey,
    operator: Operator,
    folder: tempfile::TempDir,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { store, clients, seconds, mut work } = arguments;
    let folder = tempfile::tempdir()?;
    let url = match store {
        Some(url) => url,
        None => format!("sqlite:{}", folder.path().join("exchange.db").display()),
    };
    let identity = Identity::generate(Backend::best(), &mut OsRng);
    let rest = ServerFolder::provision(folder.path().join("exchange"), &identity)?;
    let mut limits = Limits::default();
    // What is measured is the server, and not its limits: everybody comes from one place here.
    (limits.sessions_per_source, limits.request_rate) = (limits.sessions, Rate::new(1 << 30, 1 << 30));
    (limits.registration_rate, limits.byte_rate) = (Rate::new(1 << 30, 1 << 30), Rate::new(1 << 40, 1 << 40));
    let server = Server::builder(AnyStore::provision(&url).await?, identity, rest)
        .service(Calculation::default())
        .limits(limits)
        .bind("127.0.0.1:0")
        .await?;
    let (address, key, operator) = (server.local_addr(), *server.public_key(), server.operator());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    // Not the URL: there may be a password in it.
    let engine = url.split(':').next().unwrap_or_default();
    println!(
        "{engine}: {clients} clients, {seconds} s each; fdatasync {:.0} a second",
        syncs(folder.path())?
    );
    let target = Arc::new(Target { server: address, key, operator, folder });
    if work.is_empty() {
        work = vec![Work::Mail, Work::Records, Work::Sessions, Work::Services];
    }
    for work in work {
        match work {
            Work::Storm => storm(&target, clients).await?,
            work => load(&target, work, clients, Duration::from_secs(seconds)).await?,
        }
    }
    let _ = stop.send(());
    running.await?;
    Ok(())
}

async fn load(target: &Arc<Target>, work: Work, clients: usize, time: Duration) -> Result<(), Failure> {
    match work {
        Work::Mail => measure(target, "mail: deposit, poll, acknowledge", clients, time, work::mail).await,
        Work::Records => {
            measure(target, "records of 1 KiB: put, deliver", clients, time, work::small_records).await?;
            measure(target, "records of 1 MiB: put, deliver", clients, time, work::large_records).await
        }
        Work::Sessions => {
            measure(target, "sessions: connect, login, end", clients, time, work::sessions).await
        }
        Work::Services => measure(target, "services: quote, perform", clients, time, work::services).await,
        Work::Storm => Ok(()),
    }
}

/// Each client prepares, and does the same until the time is over.
async fn measure<F, Fut, S>(
    target: &Arc<Target>,
    what: &str,
    clients: usize,
    time: Duration,
    prepare: F,
) -> Result<(), Failure>
where
    F: Fn(Arc<Target>, usize) -> Fut,
    Fut: Future<Output = Result<S, Failure>> + Send + 'static,
    S: work::Step,
{
    let start = Arc::new(Barrier::new(clients.saturating_add(1)));
    let mut tasks = Vec::new();
    for n in 0..clients {
        let mut step = prepare(Arc::clone(target), n).await?;
        let start = Arc::clone(&start);
        tasks.push(tokio::spawn(async move {
            let mut times = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
            start.wait().await;
            let end = Instant::now().checked_add(time).ok_or("too long")?;
            while Instant::now() < end {
                let began = Instant::now();
                step.step().await?;
                times.saturating_record(u64::try_from(began.elapsed().as_micros())?);
            }
            Ok::<_, Failure>(times)
        }));
    }
    start.wait().await;
    let began = Instant::now();
    let mut all = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    for task in tasks {
        all.add(task.await??)?;
    }
    let rate = all.len() as f64 / began.elapsed().as_secs_f64();
    let at = |quantile| all.value_at_quantile(quantile) as f64 / 1000.0;
    let (half, most, nearly, worst) = (at(0.5), at(0.95), at(0.99), at(1.0));
    println!("{what:<36} {rate:>9.0}/s   ms: 50% {half:.1}, 95% {most:.1}, 99% {nearly:.1}, all {worst:.1}");
    Ok(())
}

/// Everybody connects at once, and asks one thing.
async fn storm(target: &Arc<Target>, clients: usize) -> Result<(), Failure> {
    let before = resident()?;
    let start = Arc::new(Barrier::new(clients.saturating_add(1)));
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let (target, start) = (Arc::clone(target), Arc::clone(&start));
        tasks.push(tokio::spawn(async move {
            let identity = Identity::generate(Backend::best(), &mut OsRng);
            start.wait().await;
            let asked = async {
                let client = Client::connect(target.server, &identity, target.key).await?;
                client.record("nobody".parse().map_err(|_| ClientError::Busy)?).await?;
                client.close().await
            };
            asked.await
        }));
    }
    start.wait().await;
    let began = Instant::now();
    let (mut served, mut told, mut failed, mut most) = (0_u64, 0_u64, 0_u64, before);
    let (mut last, mut worst) = (None, None);
    for task in tasks {
        match task.await? {
            Ok(()) => served = served.saturating_add(1),
            Err(error) if error.is_passing() => {
                told = told.saturating_add(1);
                last = Some(error);
            }
            Err(error) => {
                failed = failed.saturating_add(1);
                worst = Some(error);
            }
        }
        most = most.max(resident()?);
    }
    let (time, grown) = (began.elapsed().as_secs_f64(), most.saturating_sub(before) >> 20);
    println!(
        "storm of {clients}: {served} served, {told} told to come back, {failed} failed in {time:.1} s; +{grown} MiB"
    );
    last.into_iter().for_each(|error| println!("  the last that was told: {error}"));
    worst.into_iter().for_each(|error| println!("  the last that failed: {error:?}"));
    Ok(())
}

/// Bytes of this process in memory: clients and server.
fn resident() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).ok_or("no /proc/self/statm")?.parse()?;
    Ok(pages.saturating_mul(4096))
}

/// How often a second the disk makes 4 KiB durable: the measure of everything that commits.
fn syncs(folder: &Path) -> Result<f64, Failure> {
    let mut file = File::create(folder.join("sync"))?;
    let (began, mut count) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_millis(500) {
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        count = count.saturating_add(1);
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_kind_of_load() {
        let work = vec![Work::Mail, Work::Records, Work::Sessions, Work::Services, Work::Storm];
        run(Arguments { store: None, clients: 3, seconds: 0, work: work.clone() }).await.unwrap();
        run(Arguments { store: None, clients: 2, seconds: 1, work: vec![Work::Services] }).await.unwrap();
    }
}
