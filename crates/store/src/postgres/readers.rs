//! A fixed number of connections that read beside the lane. Each carries many requests at once, in a pipeline.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::attach::Attachment;
use super::engine::Shared;
use super::session::Session;
use crate::StoreError;

#[derive(Debug)]
pub(super) struct Readers {
    slots: Vec<Mutex<Option<Reader>>>,
    next: AtomicUsize,
    attachment: Attachment,
}

/// A connection, and the timeline of what it reads.
#[derive(Debug)]
struct Reader {
    session: Arc<Session>,
    timeline: i64,
}

impl Readers {
    pub(super) fn new(n: usize, attachment: Attachment) -> Self {
        let slots = (0..n).map(|_| Mutex::default()).collect();
        Self { slots, next: AtomicUsize::new(0), attachment }
    }

    pub(super) const fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// Runs `work` on one of the sessions; once more if its connection was lost.
    pub(super) async fn run<T, F, Fut>(&self, shared: &Shared, work: F) -> Result<T, StoreError>
    where
        F: Fn(Arc<Session>) -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        let limit = shared.options.timeout.saturating_mul(2);
        let mut used = None;
        let read = async {
            match work(self.session(shared, &mut used).await?).await {
                Err(StoreError::Unavailable(_)) => work(self.session(shared, &mut used).await?).await,
                read => read,
            }
        };
        let read = timeout(limit, read).await;
        read.unwrap_or_else(|_| {
            // What waits behind waits in vain: it is asked again on another connection.
            if let Some(session) = used {
                session.break_off();
            }
            Err(StoreError::Busy)
        })
    }

    /// The next session, also in `used`.
    async fn session(
        &self,
        shared: &Shared,
        used: &mut Option<Arc<Session>>,
    ) -> Result<Arc<Session>, StoreError> {
        let n = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(self.slots.len()).unwrap_or_default();
        let mut slot = self.slots.get(n).ok_or(StoreError::Closed)?.lock().await;
        let usable = |reader: &&Reader| !reader.session.is_closed() && reader.timeline == shared.timeline();
        let session = match slot.as_ref().filter(usable) {
            Some(reader) => reader.session.clone(),
            None => {
                let (session, timeline) = open(shared).await?;
                *slot = Some(Reader { session: session.clone(), timeline });
                session
            }
        };
        *used = Some(session.clone());
        Ok(session)
    }
}

async fn open(shared: &Shared) -> Result<(Arc<Session>, i64), StoreError> {
    let session = Session::open(&shared.place, None).await?;
    let timeline = shared.check(&session).await?;
    // What is written beside the lane (pieces of payloads, signs of life) never waits for a standby, and holds up no
    // reader: the commit that names it does, and comes after it in the log.
    session.batch("SET synchronous_commit = local").await?;
    Ok((Arc::new(session), timeline))
}
