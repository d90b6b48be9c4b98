//! News of deposits, from whichever process made them.

use alloc::sync::Arc;
use core::mem;
use core::time::Duration;

use symbolon_keys::Id;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::engine::Shared;
use super::session::Session;
use crate::StoreError;

/// The channel that deposits are announced on.
pub(super) const CHANNEL: &str = "symbolon_mail";
/// News that may wait for one who listens slowly; beyond it they are told to look at everything.
const BACKLOG: usize = 1024;
/// The pause before another attempt to listen.
const PAUSE: Duration = Duration::from_millis(250);

/// What a listener is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deposited {
    /// There is a new letter for this recipient.
    For(Id),
    /// Something may have been missed: look at every mailbox that matters.
    Missed,
}

/// News of the letters that any process deposits. See [`Postgres::deposits`](super::Postgres::deposits).
#[derive(Debug)]
pub struct Deposits {
    news: broadcast::Receiver<Deposited>,
    ended: watch::Receiver<()>,
    /// What came before is not announced.
    first: bool,
}

impl Deposits {
    pub(super) fn new(sender: &Sender, ended: watch::Receiver<()>) -> Self {
        Self { news: sender.0.subscribe(), ended, first: true }
    }

    /// The next piece of news; none after the store was closed.
    pub async fn next(&mut self) -> Option<Deposited> {
        if mem::take(&mut self.first) {
            return Some(Deposited::Missed);
        }
        let news = tokio::select! {
            news = self.news.recv() => news,
            _ = self.ended.changed() => return None,
        };
        match news {
            Ok(news) => Some(news),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Deposited::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Sender(broadcast::Sender<Deposited>);

impl Default for Sender {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Sender {
    fn tell(&self, news: Deposited) {
        // Nobody may be listening.
        let _ = self.0.send(news);
    }
}

/// Listens until the runtime ends, on a connection of its own.
pub(super) async fn serve(shared: Arc<Shared>) {
    loop {
        if let Err(error) = listen(&shared).await {
            tracing::warn!(%error, "news of deposits are interrupted");
        }
        sleep(PAUSE).await;
    }
}

async fn listen(shared: &Shared) -> Result<(), StoreError> {
    let limit = shared.options.timeout.saturating_mul(2);
    let (news, mut channel) = mpsc::unbounded_channel();
    let session = Session::open(&shared.place, Some(news)).await?;
    let timeline = timeout(limit, shared.check(&session)).await.unwrap_or(Err(StoreError::Busy))?;
    session.batch(&["LISTEN ", CHANNEL].concat()).await?;
    // What came before is not announced again.
    shared.deposits.tell(Deposited::Missed);
    // Not on a server that the lane has left.
    while shared.timeline() == timeline {
        match timeout(shared.options.upkeep, channel.recv()).await {
            Ok(Some(notification)) => {
                let id = Id::from_bytes(notification.payload().as_bytes());
                shared.deposits.tell(id.map_or(Deposited::Missed, Deposited::For));
            }
            Ok(None) => break,
            Err(_) => {}
        }
    }
    Ok(())
}
