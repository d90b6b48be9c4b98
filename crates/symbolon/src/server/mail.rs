//! Requests about mail: deposit, poll, acknowledge (T8, T9).

use symbolon_keys::{Id, UnixTime};
use symbolon_table::{Cursor, DepositError, Directory, Header, PollError};

use super::exchange::{Exchange, unavailable};
use crate::protocol::{LETTERS_AT_ONCE, Letter, MAX_ITEMS, MAX_LETTER, Refusal, RefusalCode, Reply};

impl Exchange {
    /// Only to who is registered: a quota is one mailbox's, and anybody can think of ids.
    pub(super) async fn deposit(&self, sender: Id, message: Vec<u8>) -> Result<Reply, Refusal> {
        let header = Header::read(&message).map_err(|error| Refusal::new(RefusalCode::Malformed, error))?;
        let recipient = self.directory.lookup(&[*header.recipient()]).await.map_err(unavailable)?;
        if recipient.into_iter().all(|record| record.is_none()) {
            return Err(Refusal::new(RefusalCode::Denied, "no such recipient"));
        }
        let refused = |error: DepositError| {
            let code = match &error {
                DepositError::Malformed | DepositError::TooLong => RefusalCode::Malformed,
                DepositError::ForeignSender => RefusalCode::Denied,
                DepositError::Conflict => RefusalCode::Conflict,
                DepositError::Full(_) => RefusalCode::Full,
                _ => RefusalCode::Unavailable,
            };
            Refusal::new(code, error)
        };
        self.mailbox.deposit(&sender, message, UnixTime::now()).await.map(Reply::Deposited).map_err(refused)
    }

    /// As many letters as were asked for and fit one message; the cursor stands after the last of them.
    pub(super) async fn poll(&self, recipient: Id, cursor: &[u8], limit: u32) -> Result<Reply, Refusal> {
        let limit = usize::try_from(limit).unwrap_or(MAX_ITEMS).min(MAX_ITEMS);
        let mut at = cursor_of(cursor)?;
        let mut letters = Vec::new();
        let mut bytes = 0_usize;
        while letters.len() < limit && bytes < LETTERS_AT_ONCE.saturating_mul(MAX_LETTER) {
            let want = limit.saturating_sub(letters.len()).min(LETTERS_AT_ONCE);
            let (page, next) =
                self.mailbox.poll(&recipient, at.as_ref(), want).await.map_err(refused_poll)?;
            at = Some(next);
            let last = page.len() < want;
            for delivery in page {
                let message = delivery.letter.into_message();
                bytes = bytes.saturating_add(message.len());
                letters.push(Letter { sequence: delivery.sequence, message });
            }
            if last {
                break;
            }
        }
        Ok(Reply::Letters(letters, at.map(|cursor| cursor.to_bytes()).unwrap_or_default()))
    }

    pub(super) async fn acknowledge(&self, recipient: Id, sequences: &[u64]) -> Result<Reply, Refusal> {
        if sequences.len() > MAX_ITEMS {
            return Err(Refusal::new(RefusalCode::Malformed, "too many acknowledgements in one request"));
        }
        self.mailbox.acknowledge(&recipient, sequences).await.map_err(unavailable)?;
        Ok(Reply::Done)
    }
}

pub(super) fn cursor_of(bytes: &[u8]) -> Result<Option<Cursor>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    Cursor::from_bytes(bytes).map(Some).map_err(|error| Refusal::new(RefusalCode::Malformed, error))
}

pub(super) fn refused_poll(error: PollError) -> Refusal {
    match error {
        PollError::ForeignCursor => Refusal::new(RefusalCode::Denied, error),
        _ => unavailable(error),
    }
}
