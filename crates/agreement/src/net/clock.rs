use symbolon_keys::UnixTime;
use tokio::time::Instant;

/// Time that does not jump: the system clock once, and the runtime's monotonic clock from then on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    base: UnixTime,
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { base: UnixTime::now(), start: Instant::now() }
    }

    pub(super) fn now(&self) -> UnixTime {
        self.base.saturating_add(self.start.elapsed())
    }
}
