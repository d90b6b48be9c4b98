//! The whole story: one server and two users over real sockets and a real database.
//!
//! ```text
//! cargo run --release --example exchange                 # for a person to read
//! cargo run --release --example exchange -- --json       # one JSON object a line
//! cargo run --release --example exchange -- --data DIR   # goes on where the last run in DIR stopped
//! cargo run --release --example exchange -- --store postgres://user@host/database
//! ```

mod agreement;
mod documents;
mod ends;
mod mail;
mod pads;
mod place;
mod scene;
mod story;
#[cfg(test)]
mod tests;

use core::future::Future;
use core::net::SocketAddr;
use core::pin::pin;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use clap::builder::{PathBufValueParser, TypedValueParser};
use tokio::signal::unix::{SignalKind, signal};

use crate::place::{At, Place};
use crate::scene::Scene;
use crate::story::Story;

/// Any failure: the story stops at the first.
type Failure = Box<dyn core::error::Error + Send + Sync>;

/// Agree on a key, keep it, spend it once, re-wrap what it protects: the whole story in one program.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Where the server listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The document that the first user stores; 8 MiB of random bytes if none is given.
    #[arg(long, value_name = "PATH", value_parser = PathBufValueParser::new().try_map(document))]
    file: Option<PathBuf>,
    /// Keep database and keys in this folder, and go on from what is there. Without it, nothing is kept.
    #[arg(long, value_name = "DIR", value_parser = PathBufValueParser::new().try_map(folder))]
    data: Option<PathBuf>,
    /// Keep the server's database there instead, such as postgres://user@host/database: one that exists and is empty, and
    /// with `--data` the same in every run.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Print one JSON object a line, and nothing else.
    #[arg(long)]
    json: bool,
}

fn document(path: PathBuf) -> Result<PathBuf, String> {
    let file = std::fs::File::open(&path).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if metadata.is_dir() { Err("a folder, not a file".into()) } else { Ok(path) }
}

fn folder(path: PathBuf) -> Result<PathBuf, String> {
    if path.to_str().is_none_or(|name| name.contains(['?', '#'])) {
        return Err("the name of a folder with a database is UTF-8, without `?` and `#`".into());
    }
    match path.metadata() {
        Ok(metadata) if !metadata.is_dir() => Err("there is a file of that name".into()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.to_string()),
        _ => std::path::absolute(path).map_err(|error| error.to_string()),
    }
}

/// The person at the keyboard, or the system, has had enough.
#[derive(Debug)]
struct Interrupted {
    /// As a shell reports a program that a signal ended: 128 and the signal's number.
    status: u8,
}

impl core::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("interrupted")
    }
}

impl core::error::Error for Interrupted {}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let told = match interruption() {
        Ok(interruption) => tell(&arguments, &mut Story::new(arguments.json), interruption).await,
        Err(error) => Err(error.into()),
    };
    let Err(failure) = told else { return ExitCode::SUCCESS };
    // If nobody reads this either, the status says it.
    let _ = writeln!(io::stderr(), "exchange: {failure}");
    failure.downcast_ref::<Interrupted>().map_or(ExitCode::FAILURE, |by| ExitCode::from(by.status))
}

/// Waits for Ctrl-C or the system's request to end, both of which are noticed from now on.
fn interruption() -> io::Result<impl Future<Output = Interrupted>> {
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = int.recv() => Interrupted { status: 130 },
            _ = term.recv() => Interrupted { status: 143 },
        }
    })
}

async fn tell(
    arguments: &Arguments,
    story: &mut Story,
    interruption: impl Future<Output = Interrupted>,
) -> Result<(), Failure> {
    if let Some(data) = &arguments.data {
        return tell_in(data, arguments, story, interruption).await;
    }
    let temporary = tempfile::tempdir()?;
    let told = tell_in(&temporary.path().join("exchange"), arguments, story, interruption).await;
    let path = temporary.path().to_path_buf();
    temporary.close().at(&path)?;
    told
}

async fn tell_in(
    folder: &Path,
    arguments: &Arguments,
    story: &mut Story,
    interruption: impl Future<Output = Interrupted>,
) -> Result<(), Failure> {
    let mut interruption = pin!(interruption);
    let mut opening = pin!(async {
        let place = Place::open_with(folder, arguments.store.clone()).await?;
        Scene::open(place, arguments.listen).await
    });
    // It takes a moment. What was begun is finished even then: half a stage could not be taken down in order.
    let (scene, interrupted) = tokio::select! {
        interrupted = &mut interruption => (opening.await, Some(interrupted)),
        scene = &mut opening => (scene, None),
    };
    let mut scene = scene?;
    let told = match interrupted {
        Some(interrupted) => Err(interrupted.into()),
        None => tokio::select! {
            told = acts(arguments, &mut scene, story) => told,
            interrupted = &mut interruption => Err(interrupted.into()),
        },
    };
    // However it went, the server finishes what it was doing, and the databases are closed.
    scene.close().await?;
    told
}

async fn acts(arguments: &Arguments, scene: &mut Scene, story: &mut Story) -> Result<(), Failure> {
    let (alice, bob) = agreement::two_users_connect(scene, story).await?;
    agreement::profiles_and_thieves(scene, &alice, story).await?;
    let order = mail::messages_by_id(scene, &alice, &bob, story).await?;
    mail::order_is_approved(scene, &alice, &bob, &order, story).await?;
    pads::services_under_a_pad(scene, &alice, story).await?;
    documents::document_for_the_second_user(scene, arguments.file.as_deref(), &alice, &bob, story).await?;
    alice.close().await?;
    bob.close().await?;
    story.summary(scene).await
}
