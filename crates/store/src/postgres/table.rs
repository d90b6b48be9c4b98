//! Directory, mailbox, inbox and approvals (`schema/postgres/table.sql`).

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;

use symbolon_keys::{Epoch, Id, UnixTime};
use symbolon_table::{
    ApprovalId, ApprovalStore, Delivery, Deposit, DirectoryStore, Full, InboxStore, Letter, MailboxStore,
    MessageId, Quota, Record, StoreError as TableError,
};

use super::Postgres;
use super::lane::Lock;
use super::listen::CHANNEL;
use super::session::Session;
use super::sql::{Columns, Param, bound, corrupt, count, number, time};
use crate::StoreError;

/// Rows that one clean-up commit removes, so that it holds nobody up for long.
const SWEEP: u64 = 512;

impl DirectoryStore for Postgres {
    async fn append(&self, record: &Record) -> Result<bool, TableError> {
        let record = record.clone();
        let answer = self.write(lock("directory", record.id()), move |db| {
            let record = record.clone();
            async move {
                // The first, or one after the newest: test and write are one statement.
                let sql = "INSERT INTO directory_records (id, epoch, record) SELECT $1, $2, $3
                           WHERE $2 = (SELECT coalesce(max(epoch) + 1, 0) FROM directory_records WHERE id = $1)";
                let epoch = number(record.epoch().number())?;
                Ok(db.execute(sql, &[&record.id().as_str(), &epoch, &record.as_bytes()]).await? == 1)
            }
        });
        Ok(answer.await?)
    }

    async fn newest(&self, ids: &[Id]) -> Result<Vec<Option<Record>>, TableError> {
        let ids = ids.to_vec();
        let answer = self.read(move |db| {
            let ids = ids.clone();
            async move {
                let ids: Vec<&str> = ids.iter().map(Id::as_str).collect();
                let sql = "SELECT newest.record FROM unnest($1::text[]) WITH ORDINALITY AS wanted (id, place)
                           LEFT JOIN LATERAL (SELECT record FROM directory_records r WHERE r.id = wanted.id
                                              ORDER BY epoch DESC LIMIT 1) AS newest ON true
                           ORDER BY wanted.place";
                let read = |c: &mut Columns<'_>| c.get::<Option<Vec<u8>>>()?.map(record).transpose();
                db.all(sql, &[&ids], read).await
            }
        });
        Ok(answer.await?)
    }

    async fn history(&self, id: &Id, from: Epoch, limit: usize) -> Result<Vec<Record>, TableError> {
        let id = *id;
        let answer = self.read(move |db| async move {
            let sql =
                "SELECT record FROM directory_records WHERE id = $1 AND epoch >= $2 ORDER BY epoch LIMIT $3";
            let params = (id.as_str(), bound(from.number()), count(limit));
            db.all(sql, &[&params.0, &params.1, &params.2], |c| record(c.get()?)).await
        });
        Ok(answer.await?)
    }
}

fn record(bytes: Vec<u8>) -> Result<Record, StoreError> {
    Record::from_bytes(bytes).map_err(|_| corrupt("a directory record"))
}

/// Takes letters that are gone out of the counts of their mailboxes and senders, and counts them.
macro_rules! count_out {
    () => {
        "boxes AS (UPDATE mailboxes m SET letters = m.letters - sums.n, bytes = m.bytes - sums.size
                   FROM (SELECT recipient, count(*) AS n, sum(size) AS size FROM gone GROUP BY recipient) AS sums
                   WHERE m.recipient = sums.recipient),
         loads AS (UPDATE senders s SET letters = s.letters - sums.n, bytes = s.bytes - sums.size
                   FROM (SELECT sender, count(*) AS n, sum(size) AS size FROM gone GROUP BY sender) AS sums
                   WHERE s.sender = sums.sender)
         SELECT count(*) FROM gone"
    };
}

impl MailboxStore for Postgres {
    async fn deposit(&self, letter: &Letter, quota: &Quota) -> Result<Deposit, TableError> {
        let (letter, quota) = (letter.clone(), *quota);
        let answer = self.write(mail(), move |db| {
            let letter = letter.clone();
            async move { deposit(&db, &letter, &quota).await }
        });
        Ok(answer.await?)
    }

    async fn poll(&self, recipient: &Id, after: u64, limit: usize) -> Result<Vec<Delivery>, TableError> {
        let recipient = *recipient;
        let answer = self.read(move |db| async move {
            let sql = "SELECT sequence, deposited, message FROM letters
                       WHERE recipient = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
            let delivery = |c: &mut Columns<'_>| {
                let (sequence, deposited) = (c.number()?, c.time()?);
                let letter = Letter::new(c.get()?, deposited).map_err(|_| corrupt("a letter"))?;
                Ok(Delivery { sequence, letter })
            };
            db.all(sql, &[&recipient.as_str(), &bound(after), &count(limit)], delivery).await
        });
        Ok(answer.await?)
    }

    async fn acknowledge(&self, recipient: &Id, sequences: &[u64]) -> Result<u64, TableError> {
        let recipient = *recipient;
        let sequences: Vec<i64> = sequences.iter().map(|sequence| bound(*sequence)).collect();
        let answer = self.write(mail(), move |db| {
            let sequences = sequences.clone();
            async move {
                let sql = concat!(
                    "WITH gone AS (DELETE FROM letters WHERE recipient = $1 AND sequence = ANY($2)
                                   RETURNING recipient, sender, octet_length(message) AS size),",
                    count_out!()
                );
                let gone = db.first(sql, &[&recipient.as_str(), &sequences], |c| c.number()).await?;
                Ok(gone.unwrap_or_default())
            }
        });
        Ok(answer.await?)
    }

    async fn expire(&self, before: UnixTime) -> Result<u64, TableError> {
        self.sweep(move |db| async move {
            let sql = concat!(
                "WITH gone AS (DELETE FROM letters WHERE (recipient, sequence) IN
                               (SELECT recipient, sequence FROM letters
                                WHERE deposited >= 0 AND deposited < $1 LIMIT $2)
                               RETURNING recipient, sender, octet_length(message) AS size),",
                count_out!()
            );
            let gone = db.first(sql, &[&bound(before.as_secs()), &bound(SWEEP)], |c| c.number()).await?;
            Ok(gone.unwrap_or_default())
        })
        .await
    }
}

/// Stores a letter, unless it lies there or the quota leaves no room for it, and announces it: one statement.
async fn deposit(db: &Session, letter: &Letter, quota: &Quota) -> Result<Deposit, StoreError> {
    let sql = "WITH
        lying AS (SELECT sequence, message = $6 AS same FROM letters
                  WHERE recipient = $1 AND sender = $2 AND message_id = $3
                  -- So that this is a commit, too, and waits for the standby, which may lack the letter.
                  FOR UPDATE),
        box AS (SELECT coalesce(max(letters), 0) AS letters, coalesce(max(bytes), 0) AS bytes
                FROM mailboxes WHERE recipient = $1),
        sent AS (SELECT coalesce(max(letters), 0) AS letters, coalesce(max(bytes), 0) AS bytes
                 FROM senders WHERE sender = $2),
        lacking AS (SELECT CASE
            WHEN (SELECT letters FROM box) >= $7 THEN 1::smallint
            -- As many rows of an index as the sender may have there: the quota bounds this, too.
            WHEN (SELECT count(*) FROM letters WHERE recipient = $1 AND sender = $2) >= $8 THEN 2::smallint
            WHEN (SELECT bytes FROM box) + $5 > $9 THEN 3::smallint
            WHEN (SELECT letters FROM sent) >= $11 THEN 4::smallint
            WHEN (SELECT bytes FROM sent) + $5 > $12 THEN 5::smallint END AS part),
        counted AS (INSERT INTO mailboxes AS m (recipient, last_sequence, letters, bytes)
                    SELECT $1, 1, 1, $5 WHERE NOT EXISTS (SELECT FROM lying) AND (SELECT part FROM lacking) IS NULL
                    ON CONFLICT (recipient) DO UPDATE SET last_sequence = m.last_sequence + 1,
                    letters = m.letters + 1, bytes = m.bytes + excluded.bytes RETURNING last_sequence),
        loaded AS (INSERT INTO senders AS s (sender, letters, bytes) SELECT $2, 1, $5 FROM counted
                   ON CONFLICT (sender) DO UPDATE SET letters = s.letters + 1, bytes = s.bytes + excluded.bytes),
        laid AS (INSERT INTO letters (recipient, sequence, sender, message_id, deposited, message)
                 SELECT $1, last_sequence, $2, $3, $4, $6 FROM counted RETURNING sequence)
        SELECT (SELECT sequence FROM lying), (SELECT same FROM lying), (SELECT part FROM lacking),
               (SELECT sequence FROM laid), (SELECT pg_notify($10, $1)::text FROM laid)";
    let header = letter.header();
    let (recipient, sender) = (header.recipient().as_str(), header.sender().as_str());
    let read = |c: &mut Columns<'_>| {
        let (lying, same) = (c.get::<Option<i64>>()?, c.get::<Option<bool>>()?);
        let (lacking, laid) = (c.get::<Option<i16>>()?, c.get::<Option<i64>>()?);
        Ok(match (lying, same, lacking, laid) {
            (Some(sequence), Some(true), _, _) => Deposit::Already(sequence.unsigned_abs()),
            (Some(_), _, _, _) => Deposit::Conflict,
            (None, _, Some(1), _) => Deposit::Full(Full::Letters),
            (None, _, Some(2), _) => Deposit::Full(Full::Sender),
            (None, _, Some(3), _) => Deposit::Full(Full::Bytes),
            (None, _, Some(4), _) => Deposit::Full(Full::SenderLetters),
            (None, _, Some(_), _) => Deposit::Full(Full::SenderBytes),
            (None, _, None, Some(sequence)) => Deposit::Stored(sequence.unsigned_abs()),
            (None, _, None, None) => return Err(corrupt("a mailbox")),
        })
    };
    let params: &[Param<'_>] = &[
        &recipient,
        &sender,
        &header.message_id().as_bytes().as_slice(),
        &time(letter.deposited()),
        &count(letter.message().len()),
        &letter.message(),
        &bound(quota.letters),
        &bound(quota.letters_per_sender),
        &bound(quota.bytes),
        &CHANNEL,
        &bound(quota.sender_letters),
        &bound(quota.sender_bytes),
    ];
    db.first(sql, params, read).await?.ok_or_else(|| corrupt("a mailbox"))
}

impl InboxStore for Postgres {
    async fn remember(
        &self,
        recipient: &Id,
        sender: &Id,
        id: &MessageId,
        epoch: Epoch,
    ) -> Result<bool, TableError> {
        let (recipient, sender, id) = (*recipient, *sender, *id);
        let answer = self.write(lock("inbox", &recipient), move |db| async move {
            let sql =
                "INSERT INTO accepted_messages (recipient, sender, message_id, epoch) VALUES ($1, $2, $3, $4)
                 ON CONFLICT DO NOTHING";
            let epoch = number(epoch.number())?;
            let (recipient, sender) = (recipient.as_str(), sender.as_str());
            Ok(db.execute(sql, &[&recipient, &sender, &id.as_bytes().as_slice(), &epoch]).await? == 1)
        });
        Ok(answer.await?)
    }

    async fn forget(&self, recipient: &Id, epoch: Epoch) -> Result<u64, TableError> {
        let recipient = *recipient;
        self.sweep(move |db| async move {
            let sql = "DELETE FROM accepted_messages WHERE (recipient, sender, message_id) IN
                       (SELECT recipient, sender, message_id FROM accepted_messages
                        WHERE recipient = $1 AND epoch < $2 LIMIT $3)";
            db.execute(sql, &[&recipient.as_str(), &bound(epoch.number()), &bound(SWEEP)]).await
        })
        .await
    }
}

impl ApprovalStore for Postgres {
    async fn spend(&self, id: &ApprovalId, expires: UnixTime) -> Result<bool, TableError> {
        let id = *id;
        let answer = self.write(Lock::Name(format!("approval {id}")), move |db| async move {
            let sql = "INSERT INTO spent_approvals (id, expires) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            Ok(db.execute(sql, &[&id.as_bytes().as_slice(), &time(expires)]).await? == 1)
        });
        Ok(answer.await?)
    }

    async fn forget_expired(&self, before: UnixTime) -> Result<u64, TableError> {
        self.sweep(move |db| async move {
            let sql = "DELETE FROM spent_approvals WHERE id IN
                       (SELECT id FROM spent_approvals WHERE expires >= 0 AND expires < $1 LIMIT $2)";
            db.execute(sql, &[&bound(before.as_secs()), &bound(SWEEP)]).await
        })
        .await
    }
}

impl Postgres {
    /// Repeats a clean-up of at most [`SWEEP`] rows, a commit each, until fewer are left; how many rows there were.
    async fn sweep<F, Fut>(&self, step: F) -> Result<u64, TableError>
    where
        F: Fn(Arc<Session>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<u64, StoreError>> + Send + 'static,
    {
        let mut gone = 0_u64;
        loop {
            let rows = self.write(Lock::All, step.clone()).await?;
            gone = gone.saturating_add(rows);
            if rows < SWEEP {
                return Ok(gone);
            }
        }
    }
}

/// Letters change the counts of mailboxes and of senders, and their announcement is one at a time in PostgreSQL anyway.
fn mail() -> Lock {
    Lock::Name("mail".into())
}

fn lock(kind: &str, id: &Id) -> Lock {
    Lock::Name(format!("{kind} {}", id.as_str()))
}
