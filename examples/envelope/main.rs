//! Seal, open, re-wrap and inspect files in the age format.
//!
//! ```text
//! envelope keygen [--pq] [-o FILE]                                  a new key; its recipient goes to stdout
//! envelope seal (-r RECIPIENT | -R FILE | -p)... [-a] [-o OUT] [IN]
//! envelope open [-i IDENTITY_FILE]... [-p] [-o OUT] [IN]
//! envelope rewrap -i IDENTITY_FILE -r RECIPIENT... [-o OUT] [IN]    the payload is not touched
//! envelope inspect [--json] [IN]
//! ```
//! The passphrase of `-p` comes from `SYMBOLON_PASSPHRASE` or a prompt. Status: 0, 1 (with the reason), 2 (usage).

use core::time::Duration;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use symbolon::envelope::{
    AgeIdentity, AgeRecipient, Armor, ArmorError, Dearmor, Expect, Header, HybridSecretKey, Identity,
    NewFile, Open, OpenError, Recipient, Rewrap, ScryptKey, Seal, is_armored, payload_len,
};
use symbolon::keys::{AgeSecretKey, Backend, OsRng};

/// Any failure, told in one line.
type Failure = Box<dyn core::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(about = "Seal, open, re-wrap and inspect files in the age format", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key.
    Keygen {
        /// A post-quantum one.
        #[arg(long)]
        pq: bool,
        /// Write it to this file, and its recipient to stdout.
        #[arg(short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Seal for recipients, or under a passphrase.
    Seal {
        #[command(flatten)]
        to: To,
        /// Under a passphrase.
        #[arg(short, conflicts_with_all = ["recipients", "files"], required_unless_present_any = ["recipients", "files"])]
        passphrase: bool,
        /// As text.
        #[arg(short)]
        armor: bool,
        #[command(flatten)]
        files: Files,
    },
    /// Open with identities, or a passphrase.
    Open {
        /// A file of identities.
        #[arg(short, value_name = "IDENTITY_FILE", required_unless_present = "passphrase")]
        identities: Vec<PathBuf>,
        /// With a passphrase.
        #[arg(short)]
        passphrase: bool,
        #[command(flatten)]
        files: Files,
    },
    /// Put a fresh header before the same payload.
    Rewrap {
        /// A file of identities that open it now.
        #[arg(short, value_name = "IDENTITY_FILE", required = true)]
        identities: Vec<PathBuf>,
        /// Who opens it from now on.
        #[arg(short, value_name = "RECIPIENT", required = true)]
        recipients: Vec<AgeRecipient>,
        #[command(flatten)]
        files: Files,
    },
    /// Show what a header says.
    Inspect {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
        /// Stdin, if there is none.
        #[arg(value_name = "IN")]
        input: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct To {
    /// A recipient, age1...
    #[arg(short = 'r', value_name = "RECIPIENT")]
    recipients: Vec<AgeRecipient>,
    /// A file of recipients.
    #[arg(short = 'R', value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Files {
    /// Written in full or not at all; stdout, if there is none.
    #[arg(short, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Stdin, if there is none.
    #[arg(value_name = "IN")]
    input: Option<PathBuf>,
}

fn main() -> ExitCode {
    ExitCode::from(program(std::env::args_os()))
}

/// The status: 0, 1 with the reason on stderr, 2 for a usage that is not one.
fn program(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(usage) => {
            // Nobody is left to be told.
            let _ = usage.print();
            return if usage.use_stderr() { 2 } else { 0 };
        }
    };
    match run(arguments.command) {
        Ok(()) => 0,
        Err(failure) => {
            eprintln!("envelope: {}", explain(&*failure));
            1
        }
    }
}

/// Which part does not open, before the reason.
fn explain(failure: &(dyn core::error::Error + Send + Sync + 'static)) -> String {
    let io = failure.downcast_ref::<io::Error>();
    let part = match io.and_then(OpenError::from_io) {
        Some(OpenError::NoMatch) => "no matching key: ",
        Some(OpenError::Payload(_)) => "payload: ",
        Some(OpenError::ViewOnly) => "policy: ",
        Some(_) => "header: ",
        None if io.and_then(ArmorError::from_io).is_some() => "armor: ",
        None => "",
    };
    let text = failure.to_string();
    if text.starts_with(part) { text } else { format!("{part}{text}") }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Keygen { pq, output } => keygen(pq, output.as_deref()),
        Command::Seal { to, passphrase, armor, files } => seal(to, passphrase, armor, &files),
        Command::Open { identities, passphrase, files } => open(&identities, passphrase, &files),
        Command::Rewrap { identities, recipients, files } => rewrap(&identities, &recipients, &files),
        Command::Inspect { json, input } => inspect(json, input.as_deref()),
    }
}

fn keygen(pq: bool, output: Option<&Path>) -> Result<(), Failure> {
    let identity = if pq {
        AgeIdentity::Hybrid(Box::new(HybridSecretKey::generate(Backend::best(), &mut OsRng)?))
    } else {
        AgeIdentity::Classical(Box::new(AgeSecretKey::generate(Backend::best(), &mut OsRng)))
    };
    let recipient = identity.recipient();
    let secret = identity.to_secret_string();
    match output {
        // A key is never written over: it may be the only one that opens something.
        Some(path) if path.exists() => return Err(format!("{} is there already", path.display()).into()),
        Some(path) => {
            let mut file = NewFile::create(path)?;
            writeln!(file, "# public key: {recipient}\n{}", *secret)?;
            file.commit()?;
            println!("{recipient}");
        }
        None => println!("# public key: {recipient}\n{}", *secret),
    }
    Ok(())
}

fn seal(to: To, passphrase: bool, armor: bool, files: &Files) -> Result<(), Failure> {
    let mut recipients = to.recipients;
    for path in &to.files {
        for line in lines(path)? {
            recipients.push(line.parse()?);
        }
    }
    let key = passphrase.then(|| ask("Passphrase", true)).transpose()?;
    let mut all: Vec<&dyn Recipient> = Vec::new();
    recipients.iter().for_each(|recipient| all.push(recipient));
    key.iter().for_each(|key| all.push(key));
    let seal = Seal::to(&all).threads(threads());
    let mut from = Input::open(files.input.as_deref())?;
    let mut to = Output::create(files.output.as_deref())?;
    if armor {
        let mut sealer = seal.writer(Armor::new(&mut to))?;
        sealer.copy_from(&mut from)?;
        sealer.finish()?.finish()?;
    } else {
        let mut sealer = seal.writer(&mut to)?;
        sealer.copy_from(&mut from)?;
        sealer.finish()?;
    }
    to.commit()
}

fn open(identities: &[PathBuf], passphrase: bool, files: &Files) -> Result<(), Failure> {
    let identities = read_identities(identities)?;
    let key = passphrase.then(|| ask("Passphrase", false)).transpose()?;
    let mut all: Vec<&dyn Identity> = Vec::new();
    identities.iter().for_each(|identity| all.push(identity));
    key.iter().for_each(|key| all.push(key));
    let open = Open::with(&all).expect(Expect::anything()).threads(threads());
    let from = Input::open(files.input.as_deref())?.without_armor()?.1;
    let mut opener = open.reader(from)?;
    if files.output.is_some() && opener.policy().is_view_only() {
        return Err(io::Error::from(OpenError::ViewOnly).into());
    }
    let mut to = Output::create(files.output.as_deref())?;
    opener.copy_to(&mut to)?;
    to.commit()
}

fn rewrap(identities: &[PathBuf], recipients: &[AgeRecipient], files: &Files) -> Result<(), Failure> {
    let identities = read_identities(identities)?;
    let (armored, mut from) = Input::open(files.input.as_deref())?.without_armor()?;
    let (header, rest) = Header::read(&mut from)?;
    let mut from = io::Cursor::new([header.as_bytes(), &rest].concat()).chain(from);
    let mut to = Output::create(files.output.as_deref())?;
    let mut reason = io::Error::from(OpenError::NoMatch);
    for identity in &identities {
        let rewrap = recipients.iter().fold(Rewrap::from(identity), |rewrap, recipient| rewrap.to(recipient));
        // Whether this identity fits is known before anything is written.
        match rewrap.header(&header) {
            Ok(_) if armored => {
                let mut armor = Armor::new(&mut to);
                rewrap.copy(&mut from, &mut armor)?;
                armor.finish()?;
                return to.commit();
            }
            Ok(_) => {
                rewrap.copy(&mut from, &mut to)?;
                return to.commit();
            }
            Err(error) => reason = error.into(),
        }
    }
    Err(reason.into())
}

fn inspect(json: bool, input: Option<&Path>) -> Result<(), Failure> {
    let (armored, mut from) = Input::open(input)?.without_armor()?;
    let (header, rest) = Header::read(&mut from)?;
    let payload = io::copy(&mut from, &mut io::sink())?.saturating_add(rest.len() as u64);
    // Sixteen bytes of nonce, and a tag for each chunk of 64 KiB.
    let chunks = payload.saturating_sub(16).div_ceil(65_552).max(1);
    let plaintext = payload
        .checked_sub(chunks.saturating_add(1).saturating_mul(16))
        .filter(|len| payload_len(*len) == Some(payload));
    let kinds: Vec<&str> = header.stanzas().iter().map(|stanza| stanza.kind()).collect();
    let post_quantum = !kinds.contains(&"X25519");
    if json {
        let object = json!({
            "version": "age-encryption.org/v1",
            "armored": armored,
            "stanzas": kinds,
            "context": kinds.first() == Some(&"symbolon.dev/context"),
            "post_quantum": post_quantum,
            "header": header.as_bytes().len(),
            "payload": payload,
            "plaintext": plaintext,
        });
        println!("{object}");
        return Ok(());
    }
    println!("age-encryption.org/v1{}", if armored { ", armored" } else { "" });
    kinds.iter().for_each(|kind| println!("  {kind}"));
    println!("header     {:>12} bytes", header.as_bytes().len());
    println!("payload    {payload:>12} bytes");
    match plaintext {
        Some(len) => println!("plaintext  {len:>12} bytes"),
        None => println!("plaintext: the payload is cut short"),
    }
    println!("opened by a quantum computer: {}", if post_quantum { "no" } else { "yes" });
    Ok(())
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn read_identities(paths: &[PathBuf]) -> Result<Vec<AgeIdentity>, Failure> {
    let mut identities = Vec::new();
    for path in paths {
        for line in lines(path)? {
            identities.push(line.parse().map_err(|error| format!("{}: {error}", path.display()))?);
        }
    }
    Ok(identities)
}

/// Lines that are neither empty nor comments.
fn lines(path: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(String::from).collect())
}

fn ask(prompt: &str, twice: bool) -> Result<ScryptKey, Failure> {
    if let Ok(passphrase) = std::env::var("SYMBOLON_PASSPHRASE") {
        return Ok(ScryptKey::new(&passphrase));
    }
    let passphrase = rpassword::prompt_password(format!("{prompt}: "))?;
    if twice && rpassword::prompt_password(format!("{prompt}, again: "))? != passphrase {
        return Err("the passphrases differ".into());
    }
    Ok(ScryptKey::new(&passphrase))
}

/// A file or stdin, with a progress bar after a second, if somebody watches.
struct Input {
    from: Box<dyn Read>,
    bar: ProgressBar,
}

impl Input {
    fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let (from, len): (Box<dyn Read>, _) = match path {
            None => (Box::new(io::stdin()), None),
            Some(path) => {
                let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
                let len = file.metadata()?.len();
                (Box::new(file), Some(len))
            }
        };
        let bar =
            len.filter(|_| io::stderr().is_terminal()).map_or_else(ProgressBar::hidden, ProgressBar::new);
        let style = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        Ok(Self { from, bar: bar.with_style(ProgressStyle::with_template(style)?) })
    }

    /// Whether it is in armor, and what is inside.
    fn without_armor(self) -> Result<(bool, Box<dyn Read>), Failure> {
        let mut from = BufReader::with_capacity(1 << 16, self);
        let armored = is_armored(from.fill_buf()?);
        Ok((armored, if armored { Box::new(Dearmor::new(from)) } else { Box::new(from) }))
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(out)?;
        if self.bar.elapsed() > Duration::from_secs(1) {
            self.bar.inc(read as u64);
        } else {
            // Counted, and not drawn.
            self.bar.update(|state| state.set_pos(state.pos().saturating_add(read as u64)));
        }
        Ok(read)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A file that is there in full or not at all, or stdout.
enum Output {
    File(NewFile),
    Stdout(io::Stdout),
}

impl Output {
    fn create(path: Option<&Path>) -> Result<Self, Failure> {
        Ok(match path {
            Some(path) => {
                Self::File(NewFile::create(path).map_err(|error| format!("{}: {error}", path.display()))?)
            }
            None => Self::Stdout(io::stdout()),
        })
    }

    fn commit(self) -> Result<(), Failure> {
        match self {
            Self::File(file) => Ok(file.commit()?),
            Self::Stdout(mut stdout) => Ok(stdout.flush()?),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stdout(stdout) => stdout.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stdout(stdout) => stdout.flush(),
        }
    }
}

#[cfg(test)]
mod tests;
