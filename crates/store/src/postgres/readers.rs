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
    sessions: Vec<Mutex<Option<Arc<Session>>>>,
    next: AtomicUsize,
    attachment: Attachment,
}

impl Readers {
    pub(super) fn new(n: usize, attachment: Attachment) -> Self {
        let sessions = (0..n).map(|_| Mutex::default()).collect();
        Self { sessions, next: AtomicUsize::new(0), attachment }
    }

    /// Runs `work` on one of the sessions; once more if its connection was lost.
    pub(super) async fn run<T, F, Fut>(&self, shared: &Shared, work: F) -> Result<T, StoreError>
    where
        F: Fn(Arc<Session>) -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        let limit = shared.options.timeout.saturating_mul(2);
        let read = async {
            match work(self.session(shared).await?).await {
                Err(StoreError::Unavailable(_)) => work(self.session(shared).await?).await,
                read => read,
            }
        };
        timeout(limit, read).await.unwrap_or(Err(StoreError::Busy))
    }

    async fn session(&self, shared: &Shared) -> Result<Arc<Session>, StoreError> {
        let n =
            self.next.fetch_add(1, Ordering::Relaxed).checked_rem(self.sessions.len()).unwrap_or_default();
        let slot = self.sessions.get(n).ok_or(StoreError::Closed)?;
        let mut slot = slot.lock().await;
        if let Some(session) = slot.as_ref().filter(|session| !session.is_closed()) {
            return Ok(session.clone());
        }
        let session = Session::open(&shared.place, None).await?;
        self.attachment.check_reader(&session).await?;
        let session = Arc::new(session);
        *slot = Some(session.clone());
        Ok(session)
    }
}
