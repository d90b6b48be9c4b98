//! Directory, mailbox, inbox and approvals (`schema/sqlite/table.sql`).

use alloc::vec::Vec;

use rusqlite::{Connection, params};
use symbolon_keys::{Epoch, Id, UnixTime};
use symbolon_table::{
    ApprovalId, ApprovalStore, Delivery, Deposit, DirectoryStore, Full, InboxStore, Letter, MailboxStore,
    MessageId, Quota, Record, StoreError as TableError,
};

use super::Sqlite;
use super::sql::{Columns, all, bound, corrupt, count, execute, first, time};
use crate::StoreError;

/// Rows that one clean-up commit removes, so that it holds nobody up for long.
const SWEEP: usize = 512;

impl DirectoryStore for Sqlite {
    async fn append(&self, record: &Record) -> Result<bool, TableError> {
        let record = record.clone();
        let answer = self.write(move |db| {
            // The first, or one after the newest: test and write are one statement.
            let sql = "INSERT INTO directory_records (id, epoch, record) SELECT ?1, ?2, ?3
                       WHERE ?2 = (SELECT coalesce(max(epoch) + 1, 0) FROM directory_records WHERE id = ?1)";
            let row = params![record.id().as_str(), record.epoch().number(), record.as_bytes()];
            Ok(execute(db, sql, row)? == 1)
        });
        Ok(answer.await?)
    }

    async fn newest(&self, ids: &[Id]) -> Result<Vec<Option<Record>>, TableError> {
        let ids = ids.to_vec();
        let answer = self.read(move |db| {
            let sql = "SELECT record FROM directory_records WHERE id = ?1 ORDER BY epoch DESC LIMIT 1";
            ids.iter().map(|id| first(db, sql, [id.as_str()], read_record)).collect()
        });
        Ok(answer.await?)
    }

    async fn history(&self, id: &Id, from: Epoch, limit: usize) -> Result<Vec<Record>, TableError> {
        let id = *id;
        let answer = self.read(move |db| {
            let sql =
                "SELECT record FROM directory_records WHERE id = ?1 AND epoch >= ?2 ORDER BY epoch LIMIT ?3";
            all(db, sql, params![id.as_str(), bound(from.number()), count(limit)], read_record)
        });
        Ok(answer.await?)
    }
}

fn read_record(c: &mut Columns<'_, '_>) -> Result<Record, StoreError> {
    Record::from_bytes(c.get::<Vec<u8>>()?).map_err(|_| corrupt("a directory record"))
}

impl MailboxStore for Sqlite {
    async fn deposit(&self, letter: &Letter, quota: &Quota) -> Result<Deposit, TableError> {
        let (letter, quota) = (letter.clone(), *quota);
        let answer = self.write(move |db| {
            if let Some(found) = lying(db, &letter)? {
                return Ok(found);
            }
            match lacking(db, &letter, &quota)? {
                Some(full) => Ok(Deposit::Full(full)),
                None => Ok(Deposit::Stored(lay(db, &letter)?)),
            }
        });
        Ok(answer.await?)
    }

    async fn poll(&self, recipient: &Id, after: u64, limit: usize) -> Result<Vec<Delivery>, TableError> {
        let recipient = *recipient;
        let answer = self.read(move |db| {
            let sql = "SELECT sequence, deposited, message FROM letters
                       WHERE recipient = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3";
            let delivery = |c: &mut Columns<'_, '_>| {
                let (sequence, deposited) = (c.get()?, c.time()?);
                let letter = Letter::new(c.get()?, deposited).map_err(|_| corrupt("a letter"))?;
                Ok(Delivery { sequence, letter })
            };
            all(db, sql, params![recipient.as_str(), bound(after), count(limit)], delivery)
        });
        Ok(answer.await?)
    }

    async fn acknowledge(&self, recipient: &Id, sequences: &[u64]) -> Result<u64, TableError> {
        let (recipient, sequences) = (*recipient, sequences.to_vec());
        let answer = self.write(move |db| {
            let sql = "DELETE FROM letters WHERE recipient = ?1 AND sequence = ?2
                       RETURNING recipient, sender, length(message)";
            let mut gone = Vec::new();
            for &sequence in &sequences {
                gone.extend(first(db, sql, params![recipient.as_str(), bound(sequence)], Gone::read)?);
            }
            Ok(count_out(db, &gone)?.unsigned_abs())
        });
        Ok(answer.await?)
    }

    async fn expire(&self, before: UnixTime) -> Result<u64, TableError> {
        self.sweep(move |db| {
            let sql = "DELETE FROM letters WHERE rowid IN
                       (SELECT rowid FROM letters WHERE deposited >= 0 AND deposited < ?1 LIMIT ?2)
                       RETURNING recipient, sender, length(message)";
            let row = params![bound(before.as_secs()), count(SWEEP)];
            count_out(db, &all(db, sql, row, Gone::read)?)
        })
        .await
    }
}

/// A letter from this sender with this message id that lies there already.
fn lying(db: &Connection, letter: &Letter) -> Result<Option<Deposit>, StoreError> {
    let sql =
        "SELECT sequence, message = ?4 FROM letters WHERE recipient = ?1 AND sender = ?2 AND message_id = ?3";
    let header = letter.header();
    let (recipient, sender) = (header.recipient().as_str(), header.sender().as_str());
    let key = params![recipient, sender, header.message_id().as_bytes(), letter.message()];
    first(db, sql, key, |c| {
        let sequence = c.get()?;
        Ok(if c.get()? { Deposit::Already(sequence) } else { Deposit::Conflict })
    })
}

/// Which part of the quota leaves no room for the letter, if one does.
fn lacking(db: &Connection, letter: &Letter, quota: &Quota) -> Result<Option<Full>, StoreError> {
    let (sender, recipient) = (letter.header().sender().as_str(), letter.header().recipient().as_str());
    let load = |sql, id| {
        let row = first(db, sql, [id], |c| Ok((c.get::<u64>()?, c.get::<u64>()?)))?;
        Ok::<_, StoreError>(row.unwrap_or_default())
    };
    let (letters, bytes) = load("SELECT letters, bytes FROM mailboxes WHERE recipient = ?1", recipient)?;
    if letters >= quota.letters {
        return Ok(Some(Full::Letters));
    }
    // As many rows of an index as the sender may have there: the quota bounds this, too.
    let sql = "SELECT count(*) FROM letters WHERE recipient = ?1 AND sender = ?2";
    let of_sender = first(db, sql, [recipient, sender], |c| c.get::<u64>())?.unwrap_or_default();
    if of_sender >= quota.letters_per_sender {
        return Ok(Some(Full::Sender));
    }
    let size = u64::try_from(letter.message().len()).unwrap_or(u64::MAX);
    if bytes.saturating_add(size) > quota.bytes {
        return Ok(Some(Full::Bytes));
    }
    let (letters, bytes) = load("SELECT letters, bytes FROM senders WHERE sender = ?1", sender)?;
    if letters >= quota.sender_letters {
        return Ok(Some(Full::SenderLetters));
    }
    Ok((bytes.saturating_add(size) > quota.sender_bytes).then_some(Full::SenderBytes))
}

/// Stores a letter under the next number of its recipient.
fn lay(db: &Connection, letter: &Letter) -> Result<u64, StoreError> {
    let header = letter.header();
    let (recipient, sender) = (header.recipient().as_str(), header.sender().as_str());
    let sql = "INSERT INTO mailboxes (recipient, last_sequence, letters, bytes) VALUES (?1, 1, 1, ?2)
               ON CONFLICT (recipient) DO UPDATE
               SET last_sequence = last_sequence + 1, letters = letters + 1, bytes = bytes + ?2
               RETURNING last_sequence";
    let size = count(letter.message().len());
    let next = first(db, sql, params![recipient, size], |c| c.get::<u64>())?;
    let sql = "INSERT INTO senders (sender, letters, bytes) VALUES (?1, 1, ?2)
               ON CONFLICT (sender) DO UPDATE SET letters = letters + 1, bytes = bytes + ?2";
    execute(db, sql, params![sender, size])?;
    let sequence = next.ok_or_else(|| corrupt("a mailbox"))?;
    let sql = "INSERT INTO letters (recipient, sequence, sender, message_id, deposited, message)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let deposited = time(letter.deposited());
    let id = header.message_id().as_bytes();
    execute(db, sql, params![recipient, sequence, sender, id, deposited, letter.message()])?;
    Ok(sequence)
}

/// A letter that was removed.
struct Gone {
    recipient: Id,
    sender: Id,
    size: i64,
}

impl Gone {
    fn read(c: &mut Columns<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self { recipient: c.id()?, sender: c.id()?, size: c.get()? })
    }
}

/// Takes letters that are gone out of the counts of their mailboxes and senders.
fn count_out(db: &Connection, gone: &[Gone]) -> Result<i64, StoreError> {
    for Gone { recipient, sender, size } in gone {
        let sql = "UPDATE mailboxes SET letters = letters - 1, bytes = bytes - ?2 WHERE recipient = ?1";
        execute(db, sql, params![recipient.as_str(), size])?;
        let sql = "UPDATE senders SET letters = letters - 1, bytes = bytes - ?2 WHERE sender = ?1";
        execute(db, sql, params![sender.as_str(), size])?;
    }
    Ok(count(gone.len()))
}

impl InboxStore for Sqlite {
    async fn remember(
        &self,
        recipient: &Id,
        sender: &Id,
        id: &MessageId,
        epoch: Epoch,
    ) -> Result<bool, TableError> {
        let (recipient, sender, id) = (*recipient, *sender, *id);
        let answer = self.write(move |db| {
            let sql =
                "INSERT INTO accepted_messages (recipient, sender, message_id, epoch) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT DO NOTHING";
            let row = params![recipient.as_str(), sender.as_str(), id.as_bytes(), epoch.number()];
            Ok(execute(db, sql, row)? == 1)
        });
        Ok(answer.await?)
    }

    async fn forget(&self, recipient: &Id, epoch: Epoch) -> Result<u64, TableError> {
        let recipient = *recipient;
        self.sweep(move |db| {
            let sql = "DELETE FROM accepted_messages WHERE (recipient, sender, message_id) IN
                       (SELECT recipient, sender, message_id FROM accepted_messages
                        WHERE recipient = ?1 AND epoch < ?2 LIMIT ?3)";
            Ok(count(execute(db, sql, params![recipient.as_str(), bound(epoch.number()), count(SWEEP)])?))
        })
        .await
    }
}

impl ApprovalStore for Sqlite {
    async fn spend(&self, id: &ApprovalId, expires: UnixTime) -> Result<bool, TableError> {
        let id = *id;
        let answer = self.write(move |db| {
            let sql = "INSERT INTO spent_approvals (id, expires) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            Ok(execute(db, sql, params![id.as_bytes(), time(expires)])? == 1)
        });
        Ok(answer.await?)
    }

    async fn forget_expired(&self, before: UnixTime) -> Result<u64, TableError> {
        self.sweep(move |db| {
            let sql = "DELETE FROM spent_approvals WHERE id IN
                       (SELECT id FROM spent_approvals WHERE expires >= 0 AND expires < ?1 LIMIT ?2)";
            Ok(count(execute(db, sql, params![bound(before.as_secs()), count(SWEEP)])?))
        })
        .await
    }
}

impl Sqlite {
    /// Repeats a clean-up of at most [`SWEEP`] rows, a commit each, until fewer are left; how many rows there were.
    async fn sweep<F>(&self, step: F) -> Result<u64, TableError>
    where
        F: Fn(&Connection) -> Result<i64, StoreError> + Clone + Send + 'static,
    {
        let mut gone = 0_u64;
        loop {
            let step = step.clone();
            let rows: i64 = self.write(move |db| step(db)).await?;
            gone = gone.saturating_add(rows.unsigned_abs());
            if rows < count(SWEEP) {
                return Ok(gone);
            }
        }
    }
}
