//! A server for `client`, and what its operator does at the desk of it.
//!
//! ```text
//! server provision [--store URL] [--data DIR]           once: database, identity, folder; prints the key to pin
//! server --listen ADDR [--store URL] [--data DIR]       serves until Ctrl-C or SIGTERM, and finishes what was begun
//! server sell AMOUNT FILE                               a voucher worth AMOUNT, into FILE; the same again sells nothing twice
//! server worth FILE | enrol USER FILE | books | check | rotate | status
//! server backup DIR                                     database, identity, keys and pads, while it serves
//! server restore --from DIR [--store URL] [--data DIR]  a backup into new places, as a restore
//! server join --from DIR [--data DIR]                   a folder for another process of the server whose folder is DIR
//! server upgrade | failover [--store URL]               after a new release; after a standby took over: with no server running
//! ```
//! An identity made with `SYMBOLON_PASSPHRASE` set is kept under that passphrase. Every command may be interrupted, and
//! given again. Status: 0, 1 (with the reason), 2 (usage).

#![allow(clippy::std_instead_of_alloc, reason = "a program has std")]

mod desk;
mod making;
mod observe;
mod place;
mod run;

use core::net::SocketAddr;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use symbolon::Id;
use symbolon_examples::Failure;

#[derive(Debug, Parser)]
#[command(version, about = "Directory, mailbox, pads and documents for `client`")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

/// Where everything is.
#[derive(Clone, Debug, Args)]
struct Places {
    /// The database; sqlite:DIR/exchange.db if nothing is said.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// The folder of identity, server keys and pads.
    #[arg(long, value_name = "DIR", default_value = "server-data")]
    data: PathBuf,
}

#[derive(Debug, Args)]
struct Run {
    /// The well-known address.
    #[arg(long, value_name = "ADDR", required = true)]
    listen: Option<SocketAddr>,
    /// Where other processes of this server, over the same PostgreSQL database, reach this one; ADDR of --listen if nothing
    /// is said.
    #[arg(long, value_name = "ADDR")]
    advertise: Option<SocketAddr>,
    /// What a pad costs for each KiB.
    #[arg(long, value_name = "AMOUNT", default_value_t = 0)]
    pad_price: u64,
    /// Answer http://ADDR/metrics, in the text format of Prometheus. Whoever reaches it sees how much is going on.
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Events on standard error: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: tracing::Level,
    /// Requests of one user or one source a second, after five times as many; 1,000 if nothing is said.
    #[arg(long, value_name = "N")]
    request_rate: Option<u64>,
    #[command(flatten)]
    places: Places,
}

/// Where the running server's folder is.
#[derive(Debug, Args)]
struct At {
    /// The folder of the server that runs.
    #[arg(long, value_name = "DIR", default_value = "server-data")]
    data: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create database, identity and folder.
    Provision(Places),
    /// Take money for a voucher, which is written to a new file.
    Sell {
        /// In minor units.
        amount: u64,
        file: PathBuf,
        #[command(flatten)]
        at: At,
    },
    /// Say what a voucher is worth now.
    Worth {
        file: PathBuf,
        #[command(flatten)]
        at: At,
    },
    /// Take a user's shared key in, from the file that the user brought.
    Enrol {
        user: Id,
        file: PathBuf,
        #[command(flatten)]
        at: At,
    },
    /// Say what the books say.
    Books(At),
    /// Read the whole database for damage.
    Check(At),
    /// Take a new private server key, and move everything to it.
    Rotate(At),
    /// Say how the server is.
    Status(At),
    /// Copy database and folder into a new folder.
    Backup {
        to: PathBuf,
        #[command(flatten)]
        at: At,
    },
    /// Take a backup into use, where nothing is.
    Restore {
        /// What `backup` made.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        #[command(flatten)]
        places: Places,
    },
    /// Make a folder for one more process of a server: the same identity and server keys, and pads of its own.
    Join {
        /// The folder of a process that is there.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// The new folder.
        #[arg(long, value_name = "DIR", default_value = "server-data")]
        data: PathBuf,
    },
    /// Bring the database to this release's schema.
    Upgrade(Places),
    /// Take a PostgreSQL standby into use that took over while no server ran: you vouch that it was a synchronous one.
    Failover(Places),
}

#[tokio::main]
async fn main() -> ExitCode {
    program(std::env::args_os()).await
}

/// The program, with its arguments and its name before them.
pub(crate) async fn program(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match arguments {
        Arguments { command: Some(command), .. } => operate(command).await,
        Arguments { run, .. } => run::run(run).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("server: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn operate(command: Command) -> Result<(), Failure> {
    match command {
        Command::Provision(places) => place::provision(&places).await,
        Command::Restore { from, places } => place::restore(&from, &places).await,
        Command::Join { from, data } => place::join(&from, &data),
        Command::Upgrade(places) => place::upgrade(&places).await,
        Command::Failover(places) => place::fail_over(&places).await,
        Command::Sell { amount, file, at } => desk::sell(&at.data, amount, &file).await,
        Command::Worth { file, at } => desk::tell(&at.data, &["worth", &absolute(&file)?]).await,
        Command::Enrol { user, file, at } => {
            desk::tell(&at.data, &["enrol", user.as_str(), &absolute(&file)?]).await
        }
        Command::Books(at) => desk::tell(&at.data, &["books"]).await,
        Command::Check(at) => desk::tell(&at.data, &["check"]).await,
        Command::Rotate(at) => desk::tell(&at.data, &["rotate"]).await,
        Command::Status(at) => desk::tell(&at.data, &["status"]).await,
        Command::Backup { to, at } => desk::tell(&at.data, &["backup", &absolute(&to)?]).await,
    }
}

/// For the process that serves, whose working directory is another.
fn absolute(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path)?;
    Ok(path.to_str().ok_or("the path is not UTF-8")?.to_owned())
}
