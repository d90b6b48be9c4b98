//! Documents: sealed here under the key from the passphrase, kept by the server under its own, and fetched again, by
//! this user or somebody who was granted it.

use core::pin::Pin;
use core::task::{Context as Poller, Poll};
use core::time::Duration;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use symbolon::envelope::{Context, NewFile, RecordId, UserKey};
use symbolon::keys::OsRng;
use symbolon::{Client, ClientError, Id, RefusalCode};
use symbolon_examples::{At, Failure, keep, kept};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::home::Person;

/// A document of this user: its record, and the sequence at which it was last known to be.
struct Named {
    path: PathBuf,
    record: RecordId,
    sequence: Option<u64>,
}

impl Named {
    fn find(person: &Person, name: &str) -> Result<Option<Self>, Failure> {
        let path = place(person, name)?;
        let Some(text) = kept(&path)? else { return Ok(None) };
        let mut words = str::from_utf8(&text)?.split_whitespace();
        let record = words.next().and_then(|word| word.parse().ok());
        let record = record.ok_or_else(|| format!("{}: damaged", path.display()))?;
        Ok(Some(Self { path, record, sequence: words.next().and_then(|word| word.parse().ok()) }))
    }

    /// The record is named before anything is sent: the same command again is about the same.
    fn new(person: &Person, name: &str) -> Result<Self, Failure> {
        let named =
            Self { path: place(person, name)?, record: RecordId::generate(&mut OsRng), sequence: None };
        named.keep()?;
        Ok(named)
    }

    fn keep(&self) -> Result<(), Failure> {
        let sequence = self.sequence.map(|sequence| sequence.to_string()).unwrap_or_default();
        keep(&self.path, format!("{} {sequence}\n", self.record).as_bytes())
    }
}

fn place(person: &Person, name: &str) -> Result<PathBuf, Failure> {
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err("a document's name has no slash, and does not begin with a dot".into());
    }
    Ok(person.home.path("documents").join(name))
}

/// A record by its name here, or by its own.
fn record(person: &Person, named: &str) -> Result<RecordId, Failure> {
    match named.parse() {
        Ok(record) => Ok(record),
        Err(_) => Ok(Named::find(person, named)?.ok_or("no document of this name, and not a record")?.record),
    }
}

pub(crate) async fn put(person: &Person, file: &Path, name: Option<String>) -> Result<(), Failure> {
    let _lock = person.home.lock().await?;
    let name = match &name {
        Some(name) => name,
        None => file.file_name().and_then(|name| name.to_str()).ok_or("say --name")?,
    };
    let mut document = match Named::find(person, name)? {
        Some(document) => document,
        None => Named::new(person, name)?,
    };
    let client = person.connect().await?;
    let key = person.key(&client).await?;
    let context = Context::new(person.realm, document.record, person.id);
    let stored = client.put(&key, &context, document.sequence, Watched::read(file)?).await;
    let sequence = match stored {
        // It was stored, by a command that was interrupted, or moved to another server key: from there it goes on.
        Err(ClientError::Refused(refusal)) if refusal.code() == RefusalCode::Conflict => {
            let now = sequence(person, &client, &key, document.record).await?;
            client.put(&key, &context, Some(now), Watched::read(file)?).await?
        }
        stored => stored?,
    };
    document.sequence = Some(sequence);
    document.keep()?;
    println!("{} {name}, version {sequence}", document.record);
    Ok(())
}

/// At which sequence a record is: the server says so in the envelope itself.
async fn sequence(person: &Person, client: &Client, key: &UserKey, id: RecordId) -> Result<u64, Failure> {
    Ok(client.get(key, person.realm, id, tokio::io::sink()).await?.context.sequence())
}

pub(crate) async fn get(person: &Person, named: &str, output: &Path) -> Result<(), Failure> {
    let record = record(person, named)?;
    let client = person.connect().await?;
    let key = person.key(&client).await?;
    let mut out = Watched::write(output)?;
    let document = client.get(&key, person.realm, record, &mut out).await?;
    // Only now is it known to be all of it.
    out.bar.finish_and_clear();
    out.inner.commit().at(output)?;
    println!("{} bytes of {record}, version {}", document.len, document.context.sequence());
    Ok(())
}

pub(crate) async fn grant(person: &Person, named: &str, user: Id) -> Result<(), Failure> {
    let record = record(person, named)?;
    person.connect().await?.grant(record, user).await?;
    println!("{user} may have {record}");
    Ok(())
}

pub(crate) async fn revoke(person: &Person, named: &str, user: Id) -> Result<(), Failure> {
    let record = record(person, named)?;
    person.connect().await?.revoke(record, user).await?;
    println!("{user} gets {record} no more");
    Ok(())
}

/// A file, with a progress bar from the second second on, if somebody watches.
struct Watched<T> {
    inner: T,
    bar: ProgressBar,
}

impl Watched<File> {
    fn read(path: &Path) -> Result<Self, Failure> {
        let inner = File::open(path).at(path)?;
        let len = inner.metadata().at(path)?.len();
        Ok(Self { inner, bar: bar(ProgressBar::new(len), "{bar:40} {bytes} of {total_bytes}, {eta} left")? })
    }
}

impl Watched<NewFile> {
    fn write(path: &Path) -> Result<Self, Failure> {
        Ok(Self { inner: NewFile::create(path).at(path)?, bar: bar(ProgressBar::no_length(), "{bytes}")? })
    }
}

fn bar(bar: ProgressBar, style: &str) -> Result<ProgressBar, Failure> {
    let bar = if io::stderr().is_terminal() { bar } else { ProgressBar::hidden() };
    Ok(bar.with_style(ProgressStyle::with_template(style)?))
}

impl<T> Watched<T> {
    fn count(&self, n: usize) {
        let n = u64::try_from(n).unwrap_or(u64::MAX);
        if self.bar.elapsed() > Duration::from_secs(1) {
            self.bar.inc(n);
        } else {
            // Counted, and not drawn.
            self.bar.update(|state| state.set_pos(state.pos().saturating_add(n)));
        }
    }
}

impl<T: Read + Unpin> AsyncRead for Watched<T> {
    /// Blocks for as long as the disk takes: nothing else runs here.
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Poller<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = self.inner.read(out.initialize_unfilled())?;
        out.advance(n);
        self.count(n);
        Poll::Ready(Ok(()))
    }
}

impl<T: Write + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Poller<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let n = self.inner.write(bytes)?;
        self.count(n);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.inner.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(poller)
    }
}
