use core::future::poll_fn;
use core::task::Poll;

use super::Pad;
use super::receiver::Receiver;
use super::sender::{Sender, destroy};
use crate::material::{Erased, PadHalf, Stage};
use crate::{LedgerStore, Op, PadError, PadStatus};

/// How much of a lane is destroyed before others get a turn: some milliseconds of a disk's work, and one sync.
const PIECE: u64 = 16 << 20;

impl<S: LedgerStore, H: PadHalf> Pad<S, H> {
    /// Closes the pad for good, by its owner's will: what is left of the value goes to the refund account, and what is
    /// left of the half is destroyed.
    ///
    /// # Errors
    /// [`PadError`] if that cannot be committed; [`PadError::Material`] if it is closed, and could not be destroyed: the
    /// next to attach it tries again.
    pub async fn close(&self) -> Result<(), PadError> {
        self.alive()?;
        self.commit([Op::Close { fence: self.fence, status: PadStatus::Closed }]).await?;
        self.destroy().await?;
        Ok(())
    }

    /// Destroys what is used of both lanes, now; of a pad that was closed, everything that is left of the half.
    ///
    /// # Errors
    /// [`PadError::Material`] if it cannot be overwritten.
    pub async fn destroy(&self) -> Result<Erased, PadError> {
        self.alive()?;
        let mut sender = self.sender.lock().await;
        let mut receiver = self.receiver.lock().await;
        if self.status().is_closed() {
            return self.destroy_all(&mut sender, &mut receiver).await;
        }
        let sent = sender.destroy(&self.half)?;
        let received = receiver.destroy(&self.half)?;
        Ok(worse(sent, received))
    }

    /// Ends the half if a commit has just ended the pad. That it fails changes nothing for the message at hand: `destroy`
    /// and `detach` tell if it keeps failing, and the next to attach the pad completes it.
    pub(super) async fn end_if_closed(&self) {
        if self.status().is_closed() && self.half.stage() == Stage::InUse {
            let _ = self.destroy().await;
        }
    }

    /// The commit that closed the pad is durable, and no other can open it again: first the half says so as well, then
    /// the keys go, then the lanes. Whoever attaches the pad after a crash goes on with this.
    async fn destroy_all(&self, sender: &mut Sender, receiver: &mut Receiver) -> Result<Erased, PadError> {
        let header = self.half.header();
        sender.end(header.lane_bytes(header.lane));
        receiver.end();
        self.set_life(|life| (life.left.send, life.left.receive) = (0, 0));
        if self.half.stage() < Stage::Destroyed {
            self.half.advance(Stage::Ended)?;
            // How far an earlier owner had come with our lane is known well enough to go on, not to end.
            sender.destroyed = 0;
        }
        let mut erased = Erased::Overwritten;
        for (lane, done) in
            [(header.lane, &mut sender.destroyed), (header.peer_lane(), &mut receiver.destroyed)]
        {
            let len = header.lane_bytes(lane);
            if self.half.stage() == Stage::Destroyed {
                *done = len;
            }
            loop {
                let end = done.saturating_add(PIECE).min(len);
                erased = worse(erased, destroy(&self.half, lane, done, end)?);
                if *done >= len {
                    break;
                }
                others_turn().await;
            }
        }
        self.half.advance(Stage::Destroyed)?;
        Ok(erased)
    }
}

/// What can be said of both.
const fn worse(one: Erased, other: Erased) -> Erased {
    match one {
        Erased::Overwritten => other,
        Erased::BestEffort => one,
    }
}

/// Lets the executor run something else, whichever it is.
async fn others_turn() {
    let mut waited = false;
    poll_fn(|cx| {
        if core::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
