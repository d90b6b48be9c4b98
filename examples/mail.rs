//! Mail between two people who trust neither the network nor, much, the server: register, send, receive by push,
//! approve. In three terminals:
//!
//! ```text
//! cargo run --release --example mail -- serve
//! cargo run --release --example mail -- listen bob --server 127.0.0.1:7100 --key <what the server printed>
//! cargo run --release --example mail -- order alice bob 12.34 EUR "Two tickets" --server .. --key ..
//! cargo run --release --example mail -- send alice bob "Thank you" --server .. --key ..
//! ```
//!
//! Bob's terminal shows the order, page by page, and asks; what he answers comes back signed. Everybody keeps keys and
//! databases in a folder (`--data`, default `mail-data`), and goes on where they stopped.

#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "a program has std")]

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use symbolon::keys::{Backend, OsRng, PublicIdentity, UnixTime};
use symbolon::table::{
    Answer, ApprovalError, ApprovalId, Approver, Consent, Document, Inbox, InboxError, Received, Screen,
    Table, pad, unpad,
};
use symbolon::{
    AnyStore, Asked, Client, ClientError, Id, Identity, IdentityFile, Order, Pushed, RemoteDirectory, Server,
    ServerFolder,
};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

type Failure = Box<dyn Error + Send + Sync>;

/// How long an order may wait for its answer.
const ORDER_FOR: Duration = Duration::from_secs(600);
/// How long to wait before connecting again.
const PAUSE: Duration = Duration::from_secs(1);

/// Mail and orders between two people.
#[derive(Parser)]
struct Arguments {
    /// Where keys and databases are kept.
    #[arg(long, global = true, default_value = "mail-data")]
    data: PathBuf,
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Directory and mailbox.
    Serve {
        #[arg(long, default_value = "127.0.0.1:7100")]
        listen: SocketAddr,
    },
    /// Show what comes, and ask about orders.
    Listen {
        user: Id,
        #[command(flatten)]
        server: At,
    },
    /// Send a text.
    Send {
        user: Id,
        to: Id,
        text: String,
        #[command(flatten)]
        server: At,
    },
    /// Ask somebody to approve a payment to you, and wait for the answer.
    Order {
        user: Id,
        to: Id,
        /// Such as 12.34.
        amount: String,
        currency: String,
        text: String,
        #[command(flatten)]
        server: At,
    },
}

#[derive(Args, Clone)]
struct At {
    /// The server's well-known port.
    #[arg(long)]
    server: SocketAddr,
    /// The server's public identity, as it printed it.
    #[arg(long)]
    key: PublicIdentity,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { data, role } = Arguments::parse();
    match role {
        Role::Serve { listen } => serve(&data, listen).await,
        Role::Listen { user, server } => Person::open(&data, user, &server).await?.listen(&Terminal).await,
        Role::Send { user, to, text, server } => {
            Person::open(&data, user, &server).await?.send(&to, &text).await
        }
        Role::Order { user, to, amount, currency, text, server } => {
            let person = Person::open(&data, user, &server).await?;
            match person.order(&to, &document(user, &amount, &currency, text)?).await? {
                Some(consent) => println!("{} approved, and says: {}", consent.signer, consent.user_info),
                None => println!("{to} declined"),
            }
            Ok(())
        }
    }
}

async fn serve(data: &Path, listen: SocketAddr) -> Result<(), Failure> {
    let (server, public) = server(data, listen).await?;
    println!("listening: --server {} --key {public}", server.local_addr());
    server.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
    Ok(())
}

async fn server(data: &Path, listen: SocketAddr) -> Result<(Server, PublicIdentity), Failure> {
    let new = !data.join("server.identity").exists();
    let identity = identity(data, "server")?;
    let public = identity.public().clone();
    let store = database(data, "server").await?;
    let place = data.join("server");
    let folder = match new {
        true => ServerFolder::provision(place, &identity)?,
        false => ServerFolder::attach(place, &identity)?,
    };
    Ok((Server::builder(store, identity, folder).bind(listen).await?, public))
}

fn identity(data: &Path, name: &str) -> Result<Identity, Failure> {
    std::fs::create_dir_all(data)?;
    let path = data.join(format!("{name}.identity"));
    let file = IdentityFile::at(&path);
    if !path.exists() {
        file.create(&Identity::generate(Backend::best(), &mut OsRng))?;
    }
    Ok(file.read()?)
}

async fn database(data: &Path, name: &str) -> Result<AnyStore, Failure> {
    let path = data.join(format!("{name}.db"));
    let url = format!("sqlite:{}", path.to_str().ok_or("the folder's name is not UTF-8")?);
    Ok(if path.exists() { AnyStore::attach(&url).await? } else { AnyStore::provision(&url).await? })
}

/// An order for somebody to pay `amount` to `payee`.
fn document(payee: Id, amount: &str, currency: &str, text: String) -> Result<Document, Failure> {
    let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
    let minor = format!("{whole}{part}").parse()?;
    let unit = (currency.parse()?, part.len().try_into()?);
    let expires = UnixTime::now().saturating_add(ORDER_FOR);
    let mut document = Document::new(ApprovalId::generate(&mut OsRng), minor, unit, payee, expires);
    document.text = text;
    Ok(document)
}

/// A user, with a session for requests and a table of the people they write to.
struct Person {
    id: Id,
    identity: Identity,
    server: At,
    client: Client,
    table: Table<RemoteDirectory>,
    store: AnyStore,
}

impl Person {
    /// Connects, registers where that has not happened yet, and logs in.
    async fn open(data: &Path, id: Id, server: &At) -> Result<Self, Failure> {
        let identity = identity(data, id.as_str())?;
        let store = database(data, id.as_str()).await?;
        let client = connect(&identity, server).await?;
        let record = client.register(id, &identity).await?;
        client.login(id).await?;
        let table =
            Table::builder(id, identity.table_key(), client.directory()).epoch(record.epoch()).build();
        Ok(Self { id, identity, server: server.clone(), client, table, store })
    }

    /// Seals, in a bucket so that its length tells little, and leaves it at the server.
    async fn send(&self, to: &Id, text: &str) -> Result<(), Failure> {
        let sealed = self.table.seal(to, &pad(text.as_bytes())).await?;
        self.client.deposit(&sealed).await?;
        Ok(())
    }

    /// Letters as they come, on a session of their own.
    async fn subscribe(&self) -> Result<Pushed, ClientError> {
        let client = connect(&self.identity, &self.server).await?;
        client.login(self.id).await?;
        // Without a cursor: whatever was not acknowledged comes again, and the inbox knows what it has had.
        client.subscribe(None).await
    }

    /// The next message, accepted and acknowledged; connects again whenever the session breaks.
    async fn receive(&self, pushed: &mut Option<Pushed>) -> Result<Received, Failure> {
        let inbox = Inbox::new(self.store.clone());
        loop {
            let next = match pushed {
                Some(listening) => listening.next().await,
                None => {
                    match self.subscribe().await {
                        Ok(listening) => *pushed = Some(listening),
                        Err(error) => {
                            eprintln!("{error}; trying again");
                            sleep(PAUSE).await;
                        }
                    }
                    continue;
                }
            };
            let Ok((number, message)) = next else {
                *pushed = None;
                continue;
            };
            match self.table.open(&message).await {
                Ok(opened) => {
                    let accepted = inbox.accept(opened).await;
                    if !matches!(accepted, Err(InboxError::Store(_))) {
                        self.client.acknowledge(&[number]).await?;
                    }
                    match accepted {
                        Err(InboxError::Replay) => {}
                        accepted => return Ok(accepted?),
                    }
                }
                // It stays in the mailbox, for another time.
                Err(error) if error.is_retryable() => eprintln!("{error}"),
                Err(error) => {
                    eprintln!("{error}");
                    self.client.acknowledge(&[number]).await?;
                }
            }
        }
    }

    /// Shows what comes and answers orders, until the program ends.
    async fn listen(&self, approver: &impl Approver) -> Result<(), Failure> {
        println!("{} listens", self.id);
        let mut pushed = None;
        loop {
            let received = self.receive(&mut pushed).await?;
            match Order::read(&received) {
                Some(order) => self.answer(order, approver).await?,
                None => show(&received),
            }
        }
    }

    async fn answer(&self, order: Order, approver: &impl Approver) -> Result<(), Failure> {
        // Nobody is paid in another's name.
        if order.document().payee != *order.from() {
            println!("{} sent an order to pay somebody else", order.from());
            return Ok(());
        }
        let (key, info) = (self.identity.signing_key(), format!("{}, from a terminal", self.id));
        match order.ask(approver, (&self.id, &key), &info).await {
            Ok(reply) => self.client.answer_approval(&self.table, &reply).await.map(drop)?,
            Err(error) => println!("{error}"),
        }
        Ok(())
    }

    /// Sends an order and waits for what comes back: consent, or none.
    async fn order(&self, to: &Id, document: &Document) -> Result<Option<Consent>, Failure> {
        let asked = Asked::new(*to, document)?;
        self.client.ask_approval(&self.table, &asked).await?;
        let mut pushed = None;
        loop {
            let received = timeout(ORDER_FOR, self.receive(&mut pushed)).await??;
            match asked.consent(&self.table, &received, &self.store).await {
                Ok(None) => show(&received),
                Ok(consent) => return Ok(consent),
                Err(ClientError::Approval(ApprovalError::Declined | ApprovalError::TimedOut)) => {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Shows a text: what a terminal would obey is escaped.
fn show(received: &Received) {
    let from = received.from();
    match unpad(received.plaintext()).map(str::from_utf8) {
        Ok(Ok(text)) => println!("{from}: {}", text.escape_debug()),
        _ => println!("{from} sent something of another kind"),
    }
}

async fn connect(identity: &Identity, at: &At) -> Result<Client, ClientError> {
    Client::connect(at.server, identity, *at.key.noise_key()).await
}

/// The button of somebody who sits at a terminal.
struct Terminal;

impl Approver for Terminal {
    async fn ask(&self, document: &Document) -> Answer {
        let pages = document.render(Screen::default());
        let patience = document.expires.saturating_since(UnixTime::now());
        let ask = spawn_blocking(move || {
            for page in pages {
                println!("\n{page}");
                let last = page.number == page.of;
                print!("{}", if last { "Approve? Type yes: " } else { "Return for the next page: " });
                let mut line = String::new();
                if std::io::stdout().flush().is_err() || std::io::stdin().read_line(&mut line).is_err() {
                    return Answer::Declined;
                }
                if last && line.trim() == "yes" {
                    return Answer::Approved;
                }
            }
            Answer::Declined
        });
        match timeout(patience, ask).await {
            Ok(answer) => answer.unwrap_or(Answer::Declined),
            Err(_) => Answer::TimedOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Approves what is cheap.
    struct Scripted;

    impl Approver for Scripted {
        async fn ask(&self, document: &Document) -> Answer {
            assert!(document.render(Screen::default())[0].lines[0].starts_with("Pay: "));
            if document.amount <= 2_000 { Answer::Approved } else { Answer::Declined }
        }
    }

    // proves T3, T4, T5, T8, T10, T11
    #[tokio::test]
    async fn two_people_and_a_server() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let (server, key) = server(data, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let at = At { server: server.local_addr(), key };
        let running = tokio::spawn(server.run(std::future::pending()));
        let (alice, bob): (Id, Id) = ("alice".parse().unwrap(), "bob".parse().unwrap());

        // Bob registers, and is away when the first message comes.
        drop(Person::open(data, bob, &at).await.unwrap());
        let sender = Person::open(data, alice, &at).await.unwrap();
        sender.send(&bob, "hello").await.unwrap();
        let listener = Person::open(data, bob, &at).await.unwrap();
        let listening = tokio::spawn(async move { listener.listen(&Scripted).await });

        let small = document(alice, "12.34", "EUR", "Two tickets".into()).unwrap();
        let consent = sender.order(&bob, &small).await.unwrap().unwrap();
        assert_eq!((consent.document, consent.signer), (small, bob));
        assert_eq!(consent.user_info, "bob, from a terminal");
        let large = document(alice, "5000", "JPY", "A boat".into()).unwrap();
        assert_eq!(sender.order(&bob, &large).await.unwrap(), None);
        listening.abort();
        running.abort();
    }
}
