//! The processes of one server: each says where it listens, in the database that they share.

use core::future::pending;
use core::net::SocketAddr;
use core::time::Duration;

use symbolon_ledger::OwnerId;
use symbolon_store::{AnyStore, Deposited, Deposits, Postgres, StoreError};

use super::exchange::Exchange;

/// How long a process counts as there after its last word: three times as long as it is between two.
const SILENCE: Duration = Duration::from_secs(15);

/// Another process of this server, and where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Away {
    pub(super) process: OwnerId,
    pub(super) addr: SocketAddr,
}

/// This process among others.
pub(super) struct Cluster {
    database: Postgres,
    addr: SocketAddr,
}

impl Cluster {
    /// None if the store has no place for other processes.
    pub(super) fn over(store: &AnyStore, addr: SocketAddr) -> Option<Self> {
        match store {
            AnyStore::Postgres(database) => Some(Self { database: database.clone(), addr }),
            _ => None,
        }
    }

    /// Says that this process is there.
    pub(super) async fn announce(&self) -> Result<(), StoreError> {
        self.database.announce(OwnerId::of_this_process(), &self.addr.to_string()).await
    }

    /// Says that it goes.
    pub(super) async fn leave(&self) -> Result<(), StoreError> {
        self.database.forget_process(OwnerId::of_this_process()).await
    }

    /// The other processes that are there.
    pub(super) async fn others(&self) -> Result<Vec<Away>, StoreError> {
        let peers = self.database.peers(SILENCE).await?;
        let others = peers.iter().filter(|peer| peer.owner != OwnerId::of_this_process());
        Ok(others
            .filter_map(|peer| Some(Away { process: peer.owner, addr: peer.address.parse().ok()? }))
            .collect())
    }
}

impl Exchange {
    /// Becomes one of the processes over this store, reached by the others at `addr`.
    pub(super) fn join(&mut self, addr: SocketAddr) {
        self.cluster = Cluster::over(&self.store, addr);
        self.pads.is_one_of_many = self.cluster.is_some();
    }

    /// Says that this process is there; again and again.
    pub(super) async fn announce(&self) {
        let Some(cluster) = &self.cluster else { return };
        if let Err(error) = cluster.announce().await {
            tracing::warn!(%error, "not announced to the other processes");
        }
    }

    /// Says that this process goes.
    pub(super) async fn leave(&self) {
        let Some(cluster) = &self.cluster else { return };
        if let Err(error) = cluster.leave().await {
            tracing::warn!(%error, "the other processes will notice that this one went");
        }
    }

    /// Word of letters that any process took.
    pub(super) fn deposits(&self) -> Option<Deposits> {
        Some(self.cluster.as_ref()?.database.deposits())
    }

    /// Makes those look who wait for such a letter.
    pub(super) fn tell(&self, news: Deposited) {
        match news {
            Deposited::For(recipient) => self.mailbox.ring(&recipient),
            _ => self.mailbox.ring_all(),
        }
    }
}

/// The next word, if there is anybody to hear from.
pub(super) async fn next(deposits: &mut Option<Deposits>) -> Deposited {
    if let Some(deposits) = deposits
        && let Some(news) = deposits.next().await
    {
        return news;
    }
    pending().await
}
