//! Server processes and where they are reached: who cannot reach a pad's file relays to the owner of its lease.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use symbolon_ledger::OwnerId;

use super::Postgres;
use super::lane::Lock;
use super::sql::bound;
use crate::StoreError;

/// A server process, as it announced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its name, as in the leases of its pads.
    pub owner: OwnerId,
    /// Where other processes reach it.
    pub address: String,
    /// How long ago it said so.
    pub seen: Duration,
}

impl Postgres {
    /// Says that the process `owner` lives, and where it is reached. To be repeated as a sign of life.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn announce(&self, owner: OwnerId, address: &str) -> Result<(), StoreError> {
        let address = String::from(address);
        self.write(lock(owner), move |db| {
            let address = address.clone();
            async move {
                let sql = "INSERT INTO processes (owner, address, seen) VALUES ($1, $2, now())
                           ON CONFLICT (owner) DO UPDATE SET address = excluded.address, seen = excluded.seen";
                db.execute(sql, &[&owner.as_bytes().as_slice(), &address]).await.map(drop)
            }
        })
        .await
    }

    /// The processes that announced themselves within the last `within`, in the order of their names. Ages are by the
    /// clock of the database.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn peers(&self, within: Duration) -> Result<Vec<Peer>, StoreError> {
        self.read(move |db| async move {
            let sql = "SELECT owner, address, greatest(0, (extract(epoch FROM now() - seen) * 1000)::bigint)
                       FROM processes WHERE seen > now() - $1::bigint * interval '1 millisecond' ORDER BY owner";
            let within = bound(u64::try_from(within.as_millis()).unwrap_or(u64::MAX)).min(MAX_MILLIS);
            db.all(sql, &[&within], |c| {
                let (owner, address) = (c.random()?, c.get()?);
                Ok(Peer { owner, address, seen: Duration::from_millis(c.number()?) })
            })
            .await
        })
        .await
    }

    /// Takes a process off the list: itself when it ends, or one that is gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_process(&self, owner: OwnerId) -> Result<(), StoreError> {
        self.write(lock(owner), move |db| async move {
            let sql = "DELETE FROM processes WHERE owner = $1";
            db.execute(sql, &[&owner.as_bytes().as_slice()]).await.map(drop)
        })
        .await
    }
}

/// A hundred years, which every timestamp can go back.
const MAX_MILLIS: i64 = 100 * 365 * 24 * 60 * 60 * 1000;

fn lock(owner: OwnerId) -> Lock {
    Lock::Name(alloc::format!("process {owner}"))
}
