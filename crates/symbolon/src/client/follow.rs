//! Mail as it arrives, through reconnects (T10).

use core::future::Future;
use core::time::Duration;

use symbolon_keys::Id;
use symbolon_table::Cursor;
use tokio::time::sleep;

use super::{Client, ClientError, Pushed};

/// The first pause before connecting again, doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Messages as they arrive, over one session after the other: where one breaks, the next goes on behind the last
/// message that was given out.
///
/// Each message is given at least once, in order. It stays in the mailbox until another session acknowledges it: after
/// a crash, follow again from the cursor of what was handled, and let the inbox find what comes twice.
#[must_use = "nothing is followed before `next`"]
pub struct Follow<F> {
    id: Id,
    connect: F,
    cursor: Option<Cursor>,
    pushed: Option<Pushed>,
}

impl<F, Fut> Follow<F>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Client, ClientError>>,
{
    /// Follows the mail of `id` from `cursor`, or from the beginning. `connect` gives a session with `id` logged in; it
    /// is called whenever one is needed.
    pub const fn new(id: Id, cursor: Option<Cursor>, connect: F) -> Self {
        Self { id, connect, cursor, pushed: None }
    }

    /// Waits for the next message, however many sessions it takes: its number, and its sealed bytes.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// What connecting again cannot mend: [`ClientError::Refused`], and a server whose key is not the pinned one.
    pub async fn next(&mut self) -> Result<(u64, Vec<u8>), ClientError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.attempt().await {
                Ok((number, message)) => {
                    self.cursor = Some(Cursor::after(self.id, number));
                    return Ok((number, message));
                }
                Err(error) => error,
            };
            self.pushed = None;
            if !error.is_passing() {
                return Err(error);
            }
            tracing::debug!(id = %self.id, %error, "connecting again");
            sleep(error.retry_after().unwrap_or_default().max(pause)).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// Where this has come: what to keep, to go on from there another time.
    #[must_use]
    pub const fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    async fn attempt(&mut self) -> Result<(u64, Vec<u8>), ClientError> {
        if let Some(pushed) = &mut self.pushed {
            return pushed.next().await;
        }
        let client = (self.connect)().await?;
        let pushed = client.subscribe(self.cursor.as_ref()).await?;
        self.pushed.insert(pushed).next().await
    }
}

impl<F> core::fmt::Debug for Follow<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { id, connect: _, cursor, pushed } = self;
        write!(f, "Follow({id}, {cursor:?}, connected: {})", pushed.is_some())
    }
}
