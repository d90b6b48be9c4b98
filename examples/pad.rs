//! Pads from the command line: two halves, two ledgers, and frames that go from one to the other by whatever way you
//! like.
//!
//! ```text
//! cargo run --release --example pad -- issue --bytes 1048576 --mode over-aead --out demo
//! echo hello | cargo run --release --example pad -- seal --pad demo/a.pad > frame
//! cargo run --release --example pad -- open --pad demo/b.pad < frame
//! ```
//! A second `open` of the same frame is refused, and so is anything else that would use a byte twice.
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "a program has std")]

use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use symbolon::AnyStore;
use symbolon::keys::{OsRng, UnixTime};
use symbolon::ledger::material::FileHalf;
use symbolon::ledger::witness::WitnessSession;
use symbolon::ledger::{
    AccountId, Amount, Batch, FileSink, GeneratorSource, Issue, LedgerStore, Op, Pad, PadError, PadMode,
    Policy, Provision, Restored, Side, SinglePad, Tariff, Transfer, TransferId, WitnessLink,
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;
type FilePad = Pad<AnyStore, FileHalf>;

/// What a pad costs here: one minor unit for each begun KiB.
const PRICE: Tariff = Tariff { bytes: (Amount::new(1), 1024), ..Tariff::FREE };

/// One-time pads whose bytes are never used twice.
#[derive(Parser)]
#[command(name = "pad")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes two halves, a.pad and b.pad, and their ledgers.
    Issue {
        /// Bytes of both lanes together.
        #[arg(long)]
        bytes: u64,
        #[arg(long, value_enum, default_value_t = Mode::OverAead)]
        mode: Mode,
        /// An existing or new folder.
        #[arg(long)]
        out: PathBuf,
        /// Each half witnesses the reservations of the other; `seal` then needs --peer.
        #[arg(long)]
        witnessed: bool,
    },
    /// Seals a message for the other half.
    Seal {
        #[command(flatten)]
        half: Half,
        #[command(flatten)]
        pipe: Pipe,
    },
    /// Opens a frame of the other half, once.
    Open {
        #[command(flatten)]
        half: Half,
        #[command(flatten)]
        pipe: Pipe,
    },
    /// Says how far a half is used.
    Status {
        #[arg(long)]
        pad: PathBuf,
        /// One object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Goes on after a half or its ledger was restored from a copy: an operator's decision.
    Recover {
        #[command(flatten)]
        half: Half,
        /// Without a witness: nothing at or beyond this place of our lane was ever used.
        #[arg(long, requires = "receive", conflicts_with = "peer")]
        send: Option<u64>,
        /// Without a witness: nothing at or beyond this place of the peer's lane was ever received.
        #[arg(long, requires = "send")]
        receive: Option<u64>,
    },
}

#[derive(clap::Args)]
struct Half {
    /// The pad file; its ledger is beside it.
    #[arg(long)]
    pad: PathBuf,
    /// The other half, as the witness of a pad that was issued with one.
    #[arg(long)]
    peer: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Pipe {
    /// Instead of standard input.
    #[arg(long = "in")]
    from: Option<PathBuf>,
    /// Instead of standard output; not overwritten.
    #[arg(long = "out")]
    to: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    OverAead,
    PadOnly,
    Keys,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Wrong arguments end with status 2 here.
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pad: {error}");
            ExitCode::from(1)
        }
    }
}

async fn run(command: Command) -> Outcome<()> {
    match command {
        Command::Issue { bytes, mode, out, witnessed } => issue(bytes, mode, &out, witnessed).await,
        Command::Seal { half, pipe } => {
            let message = pipe.read()?;
            let pad = attach(&half.pad).await?;
            if let Some(peer) = &half.peer {
                let mode = pad.header().mode;
                let mut link = Beside(attach(peer).await?, WitnessSession::new());
                pad.secure(&mut link, mode.cost(message.len())?).await?;
                link.0.detach().await?;
            }
            let frame = pad.seal(&message).commit().await?;
            pipe.write(&frame)?;
            pad.detach().await?;
            Ok(())
        }
        Command::Open { half, pipe } => {
            let frame = pipe.read()?;
            let pad = attach(&half.pad).await?;
            let message = pad.open(&frame).await?;
            pipe.write(&message)?;
            if pad.remaining().receive == 0 {
                // Messages get no answers here, and the pad is not to wait for any.
                pad.dismiss_all().await?;
            }
            pad.detach().await?;
            Ok(())
        }
        Command::Status { pad, json } => status(&pad, json).await,
        Command::Recover { half, send, receive } => recover(&half, send.zip(receive)).await,
    }
}

async fn issue(bytes: u64, mode: Mode, out: &Path, witnessed: bool) -> Outcome<()> {
    let mode = match mode {
        Mode::OverAead => PadMode::PadOverAead,
        Mode::PadOnly => PadMode::PadOnly,
        Mode::Keys => PadMode::KeySequence,
    };
    let price = PRICE.fee(bytes, 0, 0).ok_or("too large to be paid for")?;
    fs::create_dir_all(out)?;
    let (a, b) = (out.join("a.pad"), out.join("b.pad"));
    let bar = ProgressBar::new(bytes);
    bar.set_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}")?);
    let mut tell = |done, _| bar.set_position(done);
    let issue = Issue::new(bytes).mode(mode).value(price).progress(&mut tell);
    let issue = if witnessed { issue } else { issue.unwitnessed() };
    let id = issue.run(GeneratorSource::os(), &mut FileSink::at(&a), &mut FileSink::at(&b))?;
    bar.finish_and_clear();

    let [cash, value, refund] = [(); 3].map(|()| AccountId::generate(&mut OsRng));
    let paid = Transfer::post(TransferId::generate(&mut OsRng), cash, value, price);
    let bought = Batch::new(UnixTime::now())
        .with(Op::OpenAccount { id: cash, side: Side::Debit })
        .with(Op::OpenAccount { id: value, side: Side::Credit })
        .with(Op::OpenAccount { id: refund, side: Side::Credit })
        .with(Op::Transfer(paid));
    let valued = Provision::new(id).valued(value, refund).after(bought);
    for (path, provision) in [(&a, valued), (&b, Provision::new(id))] {
        let ledger = AnyStore::provision(&ledger_of(path)?).await?;
        Pad::provision(&ledger, &SinglePad::new(path), provision).await?;
        ledger.close().await;
    }
    println!("pad   {id}");
    println!("price {price}");
    Ok(())
}

/// The ledger of `x.pad` is `x.ledger`, beside it.
fn ledger_of(pad: &Path) -> Outcome<String> {
    let path = std::path::absolute(pad.with_extension("ledger"))?;
    Ok(format!("sqlite:{}", path.to_str().ok_or("the path is not UTF-8")?))
}

async fn attach(path: &Path) -> Result<FilePad, Box<dyn Error + Send + Sync>> {
    let material = SinglePad::new(path);
    let id = material.header()?.pad;
    let ledger = AnyStore::attach(&ledger_of(path)?).await?;
    Ok(Pad::attach_with(&ledger, &material, id, policy()).await?)
}

/// A process here seals one message: it reserves no more than that.
fn policy() -> Policy {
    Policy::default().reserve(0)
}

async fn status(path: &Path, as_json: bool) -> Outcome<()> {
    let header = SinglePad::new(path).header()?;
    let ledger = AnyStore::attach(&ledger_of(path)?).await?;
    let row = ledger.pad(header.pad).await?.ok_or(PadError::LedgerMissing(header.pad))?;
    let value = match row.account {
        Some(account) => ledger.account(account).await?.map(|account| account.balance.to_string()),
        None => None,
    };
    let left =
        (row.send.len.saturating_sub(row.send.reserved), row.receive.len.saturating_sub(row.receive.end()));
    if as_json {
        let status = json!({
            "id": header.pad.to_string(), "mode": header.mode.code(), "lane": header.lane,
            "status": row.status.to_string(), "open": !row.status.is_closed(), "witnessed": row.witnessed,
            "generation": row.send.generation.to_string(), "value": value,
            "send": {"len": row.send.len, "reserved": row.send.reserved, "left": left.0},
            "receive": {"len": row.receive.len, "position": row.receive.end(), "left": left.1},
        });
        println!("{status}");
    } else {
        println!("pad     {}: {}", header.pad, row.status);
        println!("send    {} of {} left", left.0, row.send.len);
        println!("receive {} of {} left", left.1, row.receive.len);
        value.iter().for_each(|value| println!("value   {value}"));
    }
    Ok(())
}

async fn recover(half: &Half, untouched: Option<(u64, u64)>) -> Outcome<()> {
    let material = SinglePad::new(&half.pad);
    let id = material.header()?.pad;
    // Half or ledger, or both, are from a backup: the ledger forgets nothing by being told so.
    let ledger = AnyStore::attach_after_restore(&ledger_of(&half.pad)?).await?;
    let pad = match (&half.peer, untouched) {
        (Some(peer), _) => {
            let mut link = Beside(attach(peer).await?, WitnessSession::new());
            let pad = Pad::recover(&ledger, &material, id, policy(), &mut link).await?;
            link.0.detach().await?;
            pad
        }
        (None, Some((send, receive))) => {
            let restored = Restored::Untouched { send, receive };
            Pad::attach_after_restore(&ledger, &material, id, policy(), restored).await?
        }
        (None, None) => return Err("say --peer, or both --send and --receive".into()),
    };
    println!("{} bytes or keys are left to send", pad.remaining().send);
    pad.detach().await?;
    Ok(())
}

/// A witness in this very process: fine for a demonstration, and where both halves lie on one desk.
struct Beside(FilePad, WitnessSession);

impl WitnessLink for Beside {
    async fn exchange(&mut self, message: Vec<u8>) -> io::Result<Vec<u8>> {
        self.0.attest(&mut self.1, &message).await.map_err(io::Error::other)
    }
}

impl Pipe {
    fn read(&self) -> io::Result<Vec<u8>> {
        match &self.from {
            Some(path) => fs::read(path),
            None => {
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.to {
            Some(path) => fs::File::create_new(path)?.write_all(bytes),
            None => io::stdout().lock().write_all(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use symbolon::ledger::frame::Frame;

    use super::*;

    async fn pad(line: &str, folder: &Path) -> Outcome<()> {
        let line = line.replace("DIR", folder.to_str().unwrap());
        run(Arguments::try_parse_from(["pad"].into_iter().chain(line.split_whitespace()))?.command).await
    }

    #[tokio::test]
    async fn the_story() {
        for mode in ["over-aead", "pad-only", "keys"] {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path();
            pad(&format!("issue --bytes 65536 --mode {mode} --out DIR"), dir).await.unwrap();
            pad(&format!("issue --bytes 65536 --mode {mode} --out DIR"), dir).await.unwrap_err();
            fs::write(dir.join("message"), "hello").unwrap();
            for n in 0..3 {
                pad(&format!("seal --pad DIR/a.pad --in DIR/message --out DIR/frame{n}"), dir).await.unwrap();
                pad(&format!("open --pad DIR/b.pad --in DIR/frame{n} --out DIR/opened{n}"), dir)
                    .await
                    .unwrap();
                assert_eq!(fs::read(dir.join(format!("opened{n}"))).unwrap(), b"hello");
                let again = pad(&format!("open --pad DIR/b.pad --in DIR/frame{n}"), dir).await.unwrap_err();
                assert!(again.to_string().contains("before"), "{again}");
            }
            pad("status --pad DIR/a.pad --json", dir).await.unwrap();
            fs::remove_file(dir.join("a.ledger")).unwrap();
            pad("seal --pad DIR/a.pad --in DIR/message", dir).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn restored_and_recovered() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        pad("issue --bytes 65536 --witnessed --out DIR", dir).await.unwrap();
        fs::write(dir.join("message"), "hello").unwrap();
        pad("seal --pad DIR/a.pad --in DIR/message", dir).await.unwrap_err();
        fs::copy(dir.join("a.pad"), dir.join("old.pad")).unwrap();
        fs::copy(dir.join("a.ledger"), dir.join("old.ledger")).unwrap();
        pad("seal --pad DIR/a.pad --peer DIR/b.pad --in DIR/message --out DIR/one", dir).await.unwrap();
        let old = pad("seal --pad DIR/old.pad --peer DIR/b.pad --in DIR/message", dir).await;
        assert!(old.is_err(), "a restored copy seals nothing");

        // The disk is lost, and comes back from the backup.
        for (backup, name) in [("old.pad", "a.pad"), ("old.ledger", "a.ledger")] {
            fs::copy(dir.join(backup), dir.join(name)).unwrap();
        }
        let line = "seal --pad DIR/a.pad --peer DIR/b.pad --in DIR/message --out DIR/two";
        pad(line, dir).await.unwrap_err();
        pad("recover --pad DIR/a.pad --peer DIR/b.pad", dir).await.unwrap();
        pad(line, dir).await.unwrap();
        pad("open --pad DIR/b.pad --peer DIR/a.pad --in DIR/two --out DIR/opened", dir).await.unwrap();
        assert_eq!(fs::read(dir.join("opened")).unwrap(), b"hello");
        let range = |name: &str| {
            let bytes = fs::read(dir.join(name)).unwrap();
            Frame::parse(&bytes).unwrap().range().clone()
        };
        assert!(range("one").end <= range("two").start, "no byte was used twice");
    }

    #[test]
    fn usage() {
        for line in ["", "issue", "seal", "issue --bytes x --out y", "recover --pad p --send 1"] {
            let parsed = Arguments::try_parse_from(["pad"].into_iter().chain(line.split_whitespace()));
            assert!(parsed.is_err_and(|error| error.exit_code() == 2), "{line}");
        }
    }
}
