//! Messages: sealed for each other by the two ends, and left at the server in between.

use core::time::Duration;

use symbolon::keys::Id;
use symbolon::keys::wire::{Malformed, Reader, put_lp};
use symbolon::table::{ApprovalError, Inbox, InboxError, Table, TableError, pad, unpad};
use symbolon::{Client, ClientError, Follow, RemoteDirectory};
use symbolon_examples::{Failure, forget, interruption};
use zeroize::Zeroizing;

use crate::home::Person;
use crate::letters::{self, Arrival, NEW};
use crate::orders;

/// What a message is: its first byte.
pub(crate) const TEXT: u8 = b't';
pub(crate) const ORDER: u8 = b'o';
pub(crate) const ANSWER: u8 = b'a';

/// How long to wait before connecting again.
const PAUSE: Duration = Duration::from_secs(1);

type Mail = Table<RemoteDirectory>;

pub(crate) async fn send(person: &Person, to: Id, text: &str) -> Result<(), Failure> {
    let _lock = person.home.lock().await?;
    deliver(person, &person.connect().await?, to, TEXT, text.as_bytes()).await?;
    println!("sent");
    Ok(())
}

/// Seals, keeps what was sealed until the server has it, and leaves it there. The same message, given again after an
/// interruption, is the same letter.
pub(crate) async fn deliver(
    person: &Person,
    client: &Client,
    to: Id,
    kind: u8,
    content: &[u8],
) -> Result<(), Failure> {
    let mut what = Zeroizing::new(Vec::new());
    put_lp(&mut what, to.as_bytes())?;
    what.push(kind);
    what.extend_from_slice(content);
    match leave(person, client).await {
        Ok(Some(sent)) if sent == what => return Ok(()),
        Ok(_) => {}
        // Refused for good: that holds up nothing else.
        Err(failure) if !person.home.path("outgoing").exists() => eprintln!("an earlier message: {failure}"),
        Err(failure) => return Err(failure),
    }
    let table = table(person, client).await?;
    // In a bucket, so that its length tells little.
    let sealed = table.seal(&to, &pad(&[&[kind], content].concat())).await?;
    let mut outgoing = Zeroizing::new(u32::try_from(what.len())?.to_be_bytes().to_vec());
    outgoing.extend_from_slice(&what);
    outgoing.extend_from_slice(&sealed);
    person.keep_sealed(&person.home.path("outgoing"), &outgoing)?;
    leave(person, client).await?;
    Ok(())
}

/// Leaves at the server what is kept for it, and says what it was. Only where the outcome is in doubt it stays kept.
async fn leave(person: &Person, client: &Client) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let path = person.home.path("outgoing");
    let Some(outgoing) = person.sealed(&path)? else { return Ok(None) };
    let (what, sealed) = parse(&outgoing).map_err(|_| format!("{}: damaged", path.display()))?;
    // Left twice, it lies there once.
    let left = client.deposit(sealed).await;
    if left.as_ref().err().is_none_or(|error| matches!(error, ClientError::Refused(_)) && !error.is_passing())
    {
        forget(&path)?;
    }
    left?;
    Ok(Some(Zeroizing::new(what.to_vec())))
}

/// The content of a message of this kind to `to` that an interrupted command may have left at the server; the lock is held.
pub(crate) fn interrupted(person: &Person, to: &Id, kind: u8) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let path = person.home.path("outgoing");
    let Some(outgoing) = person.sealed(&path)? else { return Ok(None) };
    let content = || {
        let mut reader = Reader::new(parse(&outgoing)?.0);
        let same = reader.lp()? == to.as_bytes() && reader.array()? == [kind];
        Ok(same.then(|| Zeroizing::new(reader.rest().to_vec())))
    };
    content().map_err(|_: Malformed| format!("{}: damaged", path.display()).into())
}

fn parse(outgoing: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut reader = Reader::new(outgoing);
    let len = usize::try_from(reader.u32()?).map_err(|_| Malformed)?;
    Ok((reader.take(len)?, reader.rest()))
}

/// The shared secrets with those whom this user writes to.
pub(crate) async fn table(person: &Person, client: &Client) -> Result<Mail, Failure> {
    let record = client.record(person.id).await?.ok_or("the directory has forgotten us: register again")?;
    let table = Table::builder(person.id, person.identity.table_key(), client.directory());
    Ok(table.epoch(record.epoch()).build())
}

/// Fetches and shows what lies in the mailbox.
pub(crate) async fn receive(person: &Person) -> Result<(), Failure> {
    let _lock = person.home.lock().await?;
    let client = person.connect().await?;
    let table = table(person, &client).await?;
    // What an interrupted command had fetched, and did not show.
    show(person, &client, &table).await?;
    loop {
        let letters = client.poll(None, 64).await?.letters;
        if letters.is_empty() {
            return Ok(());
        }
        for (number, message) in letters {
            take(person, &client, &table, number, message).await?;
        }
        show(person, &client, &table).await?;
    }
}

/// Shows what comes, as it comes, until Ctrl-C.
pub(crate) async fn follow(person: &Person) -> Result<(), Failure> {
    let following = async {
        patiently(async || receive(person).await).await?;
        let mut follow = Follow::new(person.id, None, || person.connect());
        loop {
            let (number, message) = follow.next().await?;
            patiently(async || handle(person, number, &message).await).await?;
        }
    };
    let interrupted = interruption()?;
    tokio::select! {
        failed = following => failed,
        () = interrupted => Ok(()),
    }
}

/// Does it until it is done, through everything that passes.
async fn patiently(work: impl AsyncFn() -> Result<(), Failure>) -> Result<(), Failure> {
    loop {
        match work().await {
            Err(failure) if is_passing(&failure) => {
                eprintln!("{failure}; trying again");
            }
            done => return done,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the same may succeed later.
pub(crate) fn is_passing(failure: &Failure) -> bool {
    failure.downcast_ref().is_some_and(ClientError::is_passing)
        || failure.downcast_ref().is_some_and(TableError::is_retryable)
        || matches!(failure.downcast_ref(), Some(InboxError::Store(error)) if error.is_retryable())
        || matches!(failure.downcast_ref(), Some(ApprovalError::Store(error)) if error.is_retryable())
}

async fn handle(person: &Person, number: u64, message: &[u8]) -> Result<(), Failure> {
    let _lock = person.home.lock().await?;
    let client = person.connect().await?;
    let table = table(person, &client).await?;
    take(person, &client, &table, number, message.to_vec()).await?;
    show(person, &client, &table).await
}

/// Remembers and keeps one letter, then acknowledges it: in this order, so that an interruption loses nothing.
async fn take(
    person: &Person,
    client: &Client,
    table: &Mail,
    number: u64,
    message: Vec<u8>,
) -> Result<(), Failure> {
    match table.open(&message).await {
        Ok(opened) => {
            let inbox = Inbox::new(Arrival::new(person, message));
            match inbox.accept(opened).await {
                Ok(_) | Err(InboxError::Replay) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // It stays in the mailbox, for another time.
        Err(error) if error.is_retryable() => return Err(error.into()),
        Err(error) => eprintln!("a letter that does not open: {error}"),
    }
    client.acknowledge(&[number]).await?;
    Ok(())
}

/// Shows what was kept and not shown.
async fn show(person: &Person, client: &Client, table: &Mail) -> Result<(), Failure> {
    for name in letters::names(person, NEW)? {
        // Accepted when it was taken; opened again to be read.
        let received = table.open(&letters::sealed(person, NEW, &name)?).await?.accept_replays();
        let from = *received.from();
        match unpad(received.plaintext()).ok().and_then(<[u8]>::split_first) {
            Some((&TEXT, text)) => println!("{from}: {}", String::from_utf8_lossy(text).escape_debug()),
            Some((&ORDER, order)) if orders::show(&from, order) => {
                letters::waits(person, &name)?;
                continue;
            }
            Some((&ANSWER, answer)) => orders::answered(person, client, &from, answer).await?,
            _ => println!("{from} sent something of another kind"),
        }
        letters::done(person, NEW, &name)?;
    }
    Ok(())
}
