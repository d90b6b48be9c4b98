//! The whole story: one server and two users over real sockets and a real database.
//!
//! ```text
//! cargo run --release --example exchange                 # for a person to read
//! cargo run --release --example exchange -- --json       # one JSON object a line
//! cargo run --release --example exchange -- --data DIR   # goes on where the last run in DIR stopped
//! ```

mod agreement;
mod documents;
mod mail;
mod pads;
mod scene;
mod story;

use core::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use scene::Scene;
use story::Story;

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
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Keep database and keys in this folder, and go on from what is there. Without it, nothing is kept.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON object a line, and nothing else.
    #[arg(long)]
    json: bool,
}

/// The person at the keyboard has had enough.
#[derive(Debug)]
struct Interrupted;

impl core::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("interrupted")
    }
}

impl core::error::Error for Interrupted {}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match tell(&arguments, &mut Story::new(arguments.json)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("exchange: {failure}");
            // As a shell reports a program that was interrupted.
            if failure.is::<Interrupted>() { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}

async fn tell(arguments: &Arguments, story: &mut Story) -> Result<(), Failure> {
    // The temporary folder lives as long as the story, and is removed with everything in it.
    let temporary = if arguments.data.is_none() { Some(tempfile::tempdir()?) } else { None };
    let folder = match (&arguments.data, &temporary) {
        (Some(data), _) => data.clone(),
        (None, Some(temporary)) => temporary.path().join("exchange"),
        (None, None) => return Err("no folder to work in".into()),
    };
    let mut scene = Scene::open(&folder, arguments.listen, story).await?;
    let told = tokio::select! {
        told = acts(arguments, &mut scene, story) => told,
        interrupted = tokio::signal::ctrl_c() => Err(interrupted.map_or_else(Into::into, |()| Interrupted.into())),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The story holds, and a second run goes on where the first stopped.
    // proves A1 A2 A4 A6 T3 T4 T6 L28 E2 E11 X1 X3
    #[tokio::test]
    async fn twice() {
        let folder = tempfile::tempdir().unwrap();
        let document = folder.path().join("document");
        std::fs::write(&document, vec![7; 300_000]).unwrap();
        let data = folder.path().join("data");
        let arguments = Arguments::parse_from([
            "exchange".as_ref(),
            "--json".as_ref(),
            "--file".as_ref(),
            document.as_os_str(),
            "--data".as_ref(),
            data.as_os_str(),
        ]);
        for run in 1..=2 {
            let mut story = Story::new(true);
            tell(&arguments, &mut story).await.unwrap_or_else(|failure| panic!("run {run}: {failure}"));
        }
    }
}
