//! The stage: a server that runs, and two users with their keys, passphrases and own databases.

use core::future::Future;
use core::net::SocketAddr;
use std::fs;

use symbolon::keys::passphrase::Passphrase;
use symbolon::ledger::{Amount, LedgerStore, PadId, PadRow};
use symbolon::table::MailboxStore;
use symbolon::{AnyStore, Calculation, Client, Id, Identity, NoisePublicKey, Operator, Server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Failure;
use crate::place::{At, Place, USERS, passphrase_file};

pub(crate) struct Scene {
    pub(crate) place: Place,
    pub(crate) server: SocketAddr,
    pub(crate) server_key: NoisePublicKey,
    pub(crate) operator: Operator,
    /// The server's own database, for the auditor.
    pub(crate) ledger: AnyStore,
    /// What the story cannot find of what the server took in: vouchers that were lost in interrupted runs.
    pub(crate) lost: Amount,
    pub(crate) alice: User,
    pub(crate) bob: User,
    pub(crate) mallory: User,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

pub(crate) struct User {
    pub(crate) id: Id,
    pub(crate) identity: Identity,
    pub(crate) passphrase: Passphrase,
    /// What the user's own device keeps: the inbox, and the ledger of pads.
    pub(crate) store: AnyStore,
}

impl User {
    async fn in_place(place: &Place, name: &str) -> Result<Self, Failure> {
        let path = passphrase_file(&place.folder, name);
        Ok(Self {
            id: name.parse()?,
            identity: place.identity(name)?,
            passphrase: fs::read_to_string(&path).at(&path)?.parse()?,
            store: place.database(name).await?,
        })
    }
}

impl Scene {
    pub(crate) async fn open(place: Place, listen: SocketAddr) -> Result<Self, Failure> {
        let [alice, bob, mallory] = USERS.map(|name| User::in_place(&place, name));
        let (alice, bob, mallory) = (alice.await?, bob.await?, mallory.await?);
        let identity = place.identity("server")?;
        let ledger = place.database("exchange").await?;
        let folder = place.server_folder(&identity)?;
        let server = Server::builder(ledger.clone(), identity, folder)
            .service(Calculation::at(Amount::new(2)))
            .bind(listen)
            .await?;
        let (address, server_key, operator) = (server.local_addr(), *server.public_key(), server.operator());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let lost = Audit::of(&operator, &ledger).await?.lost;
        Ok(Self {
            place,
            server: address,
            server_key,
            operator,
            ledger,
            lost,
            alice,
            bob,
            mallory,
            stop,
            running,
        })
    }

    /// Stops the server, which finishes what it was doing, and closes the databases.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        let _ = self.stop.send(());
        self.running.await?;
        drop(self.operator);
        for store in [self.ledger, self.alice.store, self.bob.store, self.mallory.store] {
            store.close().await;
        }
        let scratch = self.place.scratch.path().to_path_buf();
        self.place.scratch.close().at(&scratch)
    }

    /// What the server's ledger says of a pad.
    pub(crate) async fn ledger_row(&self, id: PadId) -> Result<PadRow, Failure> {
        Ok(self.ledger.pad(id).await?.ok_or("the server's ledger does not know the pad")?)
    }

    /// Whether a message lies in the mailbox of `user`, under this number.
    pub(crate) async fn has_letter(&self, user: &User, number: u64) -> Result<bool, Failure> {
        let letters = MailboxStore::poll(&self.ledger, &user.id, number.saturating_sub(1), 1).await?;
        Ok(letters.iter().any(|letter| letter.sequence == number))
    }

    pub(crate) async fn connect(&self, user: &User) -> Result<Client, Failure> {
        Ok(Client::connect(self.server, &user.identity, self.server_key).await?)
    }
}

/// The books, and beside them what lies in the accounts that they are about.
pub(crate) struct Audit {
    pub(crate) cash: Amount,
    pub(crate) revenue: Amount,
    /// The value of every pad, and of every voucher that one was bought with.
    pub(crate) owed: Amount,
    /// What is neither earned nor in any of these.
    pub(crate) lost: Amount,
    pub(crate) entries: u64,
}

impl Audit {
    pub(crate) async fn of(operator: &Operator, ledger: &AnyStore) -> Result<Self, Failure> {
        let mut accounts = Vec::new();
        let mut after = None;
        loop {
            let pads = ledger.pads(after, 256).await?;
            let Some(last) = pads.last() else { break };
            after = Some(last.id);
            accounts.extend(pads.iter().flat_map(|pad| [pad.account, pad.refund]).flatten());
        }
        accounts.sort_unstable();
        accounts.dedup();
        let mut owed = Amount::ZERO;
        for id in accounts {
            let balance = ledger.account(id).await?.map_or(Amount::ZERO, |account| account.balance);
            owed = owed.checked_add(balance).ok_or("more is owed than there is")?;
        }
        let books = operator.books().await?;
        let known = owed.checked_add(books.revenue).ok_or("more is owed than there is")?;
        let lost = books.cash.checked_sub(known).ok_or("the server owes more than it took in")?;
        Ok(Self { cash: books.cash, revenue: books.revenue, owed, lost, entries: books.entries })
    }
}

/// Whether `attempt` fails, and how.
pub(crate) async fn fails<T, E: core::fmt::Display>(
    attempt: impl Future<Output = Result<T, E>>,
) -> Option<String> {
    attempt.await.err().map(|error| error.to_string())
}
