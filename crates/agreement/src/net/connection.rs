use core::time::Duration;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::frame::{Deframer, FrameError, Kind};

/// A connection before its session: whole messages, in time.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) deframer: Deframer,
}

/// Why a message did not come.
#[derive(Debug)]
pub(super) enum ReceiveError {
    Io(io::Error),
    Timeout,
    Closed,
    Frame(FrameError),
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        // Small messages that wait for each other: Nagle's delay would be paid at every step. Best effort.
        let _ = stream.set_nodelay(true);
        Self { stream, deframer: Deframer::new() }
    }

    /// The next message, of one of the kinds `expected`, whose first byte has come before `first`, the last before
    /// `whole`.
    pub(super) async fn receive(
        &mut self,
        expected: &[Kind],
        first: Duration,
        whole: Duration,
    ) -> Result<(Kind, Vec<u8>), ReceiveError> {
        let start = Instant::now();
        loop {
            if let Some((kind, body)) = self.deframer.next(expected).map_err(ReceiveError::Frame)? {
                return Ok((kind, body.to_vec()));
            }
            let wait = if self.deframer.has_partial() { whole } else { first.min(whole) };
            let left = wait.saturating_sub(start.elapsed());
            match timeout(left, self.stream.read_buf(self.deframer.spare())).await {
                Err(_) => return Err(ReceiveError::Timeout),
                Ok(Err(error)) => return Err(ReceiveError::Io(error)),
                Ok(Ok(0)) => return Err(ReceiveError::Closed),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// Sends a framed message, within `whole`.
    pub(super) async fn send(&mut self, message: &[u8], whole: Duration) -> io::Result<()> {
        timeout(whole, self.stream.write_all(message)).await?
    }
}
