//! A user's program for `server`: mail, approvals, documents, and services under a prepaid pad.
//!
//! ```text
//! client register USER --server ADDR --key KEY    keys of one's own, and one's name in the directory
//! client send USER TEXT [--pay "12.34 EUR"]       a message, or an order to pay that waits for approval
//! client receive [--follow]                       what came; with --follow, what comes
//! client approve [ORDER [--yes | --no]]           what waits for approval; one of it shown, and answered
//! client put FILE [--name NAME]                   a document, under a key from the passphrase
//! client get RECORD -o FILE
//! client grant RECORD USER | revoke RECORD USER
//! client buy VOUCHER_FILE [--bytes N]             a pad, for all that the voucher is worth
//! client ask sum|product|mean NUMBER...           a service under the pad
//! client balance | close                          the pad's value; back to the voucher
//! client status [--json]
//! ```
//! Everything is kept in one folder, `--data` (client-data if nothing is said), sealed or under the passphrase, which
//! comes from `SYMBOLON_PASSPHRASE` or the terminal. Every command may be interrupted, and given again.
//! Status: 0, 1 (with the reason), 2 (usage).

mod documents;
mod home;
mod letters;
mod mail;
mod orders;
mod pads;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use symbolon::Id;
use symbolon::keys::PublicIdentity;
use symbolon_examples::Failure;

use home::Home;

#[derive(Debug, Parser)]
#[command(version, about = "Mail, documents and prepaid services at a `server`")]
struct Arguments {
    /// The folder in which everything is kept.
    #[arg(long, global = true, value_name = "DIR", default_value = "client-data")]
    data: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one")]
enum Command {
    /// Make keys, and take a name in the directory.
    Register {
        user: Id,
        /// The server's well-known address.
        #[arg(long, value_name = "ADDR")]
        server: SocketAddr,
        /// The server's key, as its operator published it.
        #[arg(long)]
        key: PublicIdentity,
        /// The name of the installation, as its operator published it.
        #[arg(long, default_value = "exchange")]
        realm: Id,
    },
    /// Send a message.
    Send {
        to: Id,
        text: String,
        /// An order to pay this to you, such as "12.34 EUR": TEXT says for what.
        #[arg(long, value_name = "AMOUNT")]
        pay: Option<String>,
    },
    /// Fetch and show messages.
    Receive {
        /// Go on until Ctrl-C.
        #[arg(long)]
        follow: bool,
    },
    /// Show orders that wait, or answer one.
    Approve {
        order: Option<String>,
        /// Without asking at the terminal.
        #[arg(long, requires = "order", conflicts_with = "no")]
        yes: bool,
        /// Decline.
        #[arg(long, requires = "order")]
        no: bool,
    },
    /// Store a document, or a new version of it.
    Put {
        file: PathBuf,
        /// What it is called here; the file's name if nothing is said.
        #[arg(long)]
        name: Option<String>,
    },
    /// Fetch a document of one's own, by name or record, or one that was granted, by record.
    Get {
        record: String,
        /// Written in full or not at all.
        #[arg(short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Let somebody have a document of one's own.
    Grant { record: String, user: Id },
    /// Take that back.
    Revoke { record: String, user: Id },
    /// Buy a pad for all that a voucher is worth.
    Buy {
        voucher: PathBuf,
        #[arg(long, default_value_t = 1 << 20)]
        bytes: u64,
    },
    /// Have something calculated under the pad.
    Ask {
        #[arg(value_enum)]
        what: Operation,
        #[arg(required = true, allow_negative_numbers = true)]
        numbers: Vec<i64>,
    },
    /// Say what value is left.
    Balance,
    /// End the pad: what is left of its value is on its voucher again.
    Close,
    /// Say how things stand.
    Status {
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Operation {
    Sum,
    Product,
    Mean,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    program(std::env::args_os()).await
}

/// The program, with its arguments and its name before them.
async fn program(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Arguments { data, command } = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(Home::at(data), command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("client: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(home: Home, command: Command) -> Result<(), Failure> {
    match command {
        Command::Register { user, server, key, realm } => home.register(user, server, key, realm).await,
        Command::Send { to, text, pay: None } => mail::send(&home.person()?, to, &text).await,
        Command::Send { to, text, pay: Some(amount) } => {
            orders::send(&home.person()?, to, &text, &amount).await
        }
        Command::Receive { follow: false } => mail::receive(&home.person()?).await,
        Command::Receive { follow: true } => mail::follow(&home.person()?).await,
        Command::Approve { order: None, .. } => orders::list(&home.person()?).await,
        Command::Approve { order: Some(order), yes, no } => {
            let button = orders::Button::new(yes, no);
            orders::answer(&home.person()?, &order, &button).await
        }
        Command::Put { file, name } => documents::put(&home.person()?, &file, name).await,
        Command::Get { record, output } => documents::get(&home.person()?, &record, &output).await,
        Command::Grant { record, user } => documents::grant(&home.person()?, &record, user).await,
        Command::Revoke { record, user } => documents::revoke(&home.person()?, &record, user).await,
        Command::Buy { voucher, bytes } => pads::buy(&home.person()?, &voucher, bytes).await,
        Command::Ask { what, numbers } => pads::ask(&home.person()?, what, numbers).await,
        Command::Balance => pads::balance(&home.person()?).await,
        Command::Close => pads::close(&home.person()?).await,
        Command::Status { json } => home.person()?.status(json).await,
    }
}
