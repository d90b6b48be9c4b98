//! Letters as they come.

use tokio::sync::watch;
use tokio::time::{Instant, interval};

use super::{Connection, End, stopped};
use crate::protocol::{Letter, Refusal, RefusalCode, Reply, ToClient, ToServer, decode};
use crate::server::exchange::unavailable;
use crate::server::limits::Limits;
use crate::server::mail::{cursor_of, refused_poll};

impl Connection {
    /// Sends letters as they come (T10). From here on the session is for this alone: the client ends it by closing.
    pub(super) async fn push(
        &mut self,
        number: u64,
        cursor: &[u8],
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), End> {
        let subscribed = self.user().await.and_then(|user| {
            let cursor = cursor_of(cursor)?;
            self.exchange.mailbox.subscribe(&user, cursor.as_ref()).map_err(refused_poll)
        });
        let mut subscription = match subscribed {
            Ok(subscription) => subscription,
            Err(refusal) => return self.answer(number, Err(refusal)).await,
        };
        self.answer(number, Ok(Reply::Done)).await?;
        let Limits { ping, idle, .. } = self.exchange.gate.limits;
        let mut due = interval(ping);
        due.tick().await;
        let mut heard = Instant::now();
        loop {
            let next = tokio::select! {
                biased;
                () = stopped(stop) => return Ok(()),
                message = self.session.recv() => match message? {
                    None => return Ok(()),
                    Some(message) => {
                        heard = Instant::now();
                        if matches!(decode(&message), Ok(ToServer::Pong)) {
                            continue;
                        }
                        let refusal = Refusal::new(RefusalCode::Malformed, "this session is for push alone");
                        return self.end(number, refusal).await;
                    }
                },
                // A peer that vanished ends no connection: only that it does not answer tells.
                _ = due.tick() => {
                    if heard.elapsed() >= idle {
                        return Err(End::Silent);
                    }
                    self.send(&ToClient::Ping).await?;
                    continue;
                }
                next = subscription.next() => next,
            };
            match next {
                Ok(delivery) => {
                    let message = delivery.letter.into_message();
                    self.send(&ToClient::Pushed(Letter { sequence: delivery.sequence, message })).await?;
                }
                Err(error) => return self.answer(number, Err(unavailable(error))).await,
            }
        }
    }
}
