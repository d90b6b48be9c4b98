//! Mail over a session: deposit, poll, acknowledge, push (T8 to T10).

use alloc::sync::Arc;

use symbolon_table::Cursor;

use super::link::{Wire, unexpected};
use super::{Client, ClientError};
use crate::protocol::{Letter, Reply, Request, ToClient};

/// What a poll gave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Letters {
    /// The sealed messages with their numbers, oldest first.
    pub letters: Vec<(u64, Vec<u8>)>,
    /// Where the next poll goes on.
    pub cursor: Option<Cursor>,
}

impl Client {
    /// Leaves a sealed message in the mailbox of the recipient that it names (T8), and says its number there.
    ///
    /// Depositing the same message again is safe: it lies there once.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the mailbox is full, or the message names another sender than the user logged in.
    pub async fn deposit(&self, message: &[u8]) -> Result<u64, ClientError> {
        match self.link.ask(Request::Deposit(message.to_vec())).await? {
            Reply::Deposited(sequence) => Ok(sequence),
            other => unexpected(&other),
        }
    }

    /// Up to `limit` messages after `cursor`, or from the beginning (T9). They stay until they are acknowledged.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the cursor belongs to another mailbox.
    pub async fn poll(&self, cursor: Option<&Cursor>, limit: u32) -> Result<Letters, ClientError> {
        match self.link.ask(Request::Poll(to_bytes(cursor), limit)).await? {
            Reply::Letters(letters, cursor) => {
                let letters = letters.into_iter().map(|Letter { sequence, message }| (sequence, message));
                Ok(Letters { letters: letters.collect(), cursor: from_bytes(&cursor)? })
            }
            other => unexpected(&other),
        }
    }

    /// Tells the server that these messages were received for good: call it when what they brought is durable here.
    ///
    /// # Errors
    /// [`ClientError`] as for every request; acknowledging again is safe.
    pub async fn acknowledge(&self, sequences: &[u64]) -> Result<(), ClientError> {
        self.done(Request::Acknowledge(sequences.to_vec())).await
    }

    /// Has messages sent as they arrive, those after `cursor` first (T10). The session is for this alone from here on.
    ///
    /// # Errors
    /// [`ClientError::Busy`] if a directory or pad still uses the session; [`ClientError::Refused`].
    pub async fn subscribe(self, cursor: Option<&Cursor>) -> Result<Pushed, ClientError> {
        let mut wire = Arc::into_inner(self.link).ok_or(ClientError::Busy)?.into_wire();
        let number = wire.request(Request::Subscribe(to_bytes(cursor))).await?;
        match wire.reply(number).await? {
            Reply::Done => Ok(Pushed(wire)),
            other => unexpected(&other),
        }
    }
}

/// Messages as they arrive. They stay in the mailbox until another session acknowledges them.
#[derive(Debug)]
pub struct Pushed(Wire);

impl Pushed {
    /// Waits for the next message: its number, and its sealed bytes. It waits as long as the server is there, and answers
    /// when that asks the same of us: whoever lets five minutes pass between two calls is taken for gone.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when the server ends the session; [`ClientError::Session`] when it breaks;
    /// [`ClientError::TimedOut`] when nothing at all was heard for five minutes. Subscribe again with the cursor of what was
    /// handled.
    pub async fn next(&mut self) -> Result<(u64, Vec<u8>), ClientError> {
        match self.0.pushed().await? {
            ToClient::Pushed(Letter { sequence, message }) => Ok((sequence, message)),
            ToClient::Refused(_, refusal) => Err(ClientError::Refused(refusal)),
            _ => Err(ClientError::Protocol("something else than a letter")),
        }
    }

    /// Ends the subscription.
    ///
    /// # Errors
    /// [`ClientError::Session`] if the session broke before.
    pub async fn close(self) -> Result<(), ClientError> {
        self.0.close().await
    }
}

fn to_bytes(cursor: Option<&Cursor>) -> Vec<u8> {
    cursor.map(Cursor::to_bytes).unwrap_or_default()
}

fn from_bytes(cursor: &[u8]) -> Result<Option<Cursor>, ClientError> {
    if cursor.is_empty() {
        return Ok(None);
    }
    Cursor::from_bytes(cursor).map(Some).map_err(ClientError::invalid)
}
