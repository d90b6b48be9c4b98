use alloc::vec::Vec;

use symbolon_keys::{Backend, Psk, UnixTime, label};

use super::receiver::read_key;
use super::sender::Sender;
use super::{Pad, PadError};
use crate::frame::{Chunk, LaneId, widen};
use crate::material::PadHalf;
use crate::sequence::{KEY_LEN, Rekey, SessionKey, Usage};
use crate::{LedgerStore, Op, PadMode, Refusal, Transfer, TransferId};

/// The key of a sequence that we send under, and when the next begins.
#[derive(Debug)]
pub(super) struct SendKeys {
    rekey: Rekey,
    backend: Backend,
    first_use: Option<UnixTime>,
    in_use: Option<(SessionKey, Usage)>,
}

impl SendKeys {
    pub(super) const fn new(backend: Backend) -> Self {
        Self { rekey: Rekey::per_connection(), backend, first_use: None, in_use: None }
    }

    /// Whether a message needs a new key.
    pub(super) fn is_due(&self, len: usize, now: UnixTime) -> bool {
        self.in_use
            .as_ref()
            .is_none_or(|(key, usage)| key.is_used_up() || self.rekey.is_due(usage, now, widen(len)))
    }

    pub(super) fn begin(
        &mut self,
        lane: LaneId,
        index: u64,
        bytes: Chunk<'_>,
        now: UnixTime,
    ) -> Result<(), PadError> {
        let key = SessionKey::new(lane, index, bytes, self.backend).map_err(|_| PadError::Dead)?;
        let first_use = *self.first_use.get_or_insert(now);
        self.in_use = Some((key, Usage { first_use, began: now, bytes: 0 }));
        Ok(())
    }

    pub(super) fn seal(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), PadError> {
        let (key, usage) = self.in_use.as_mut().ok_or(PadError::Dead)?;
        usage.bytes = usage.bytes.saturating_add(widen(message.len()));
        key.seal(message, out).map_err(|_| PadError::TooLong)
    }

    /// The key in use, until it is known that it may be used.
    pub(super) const fn take(&mut self) -> Option<(SessionKey, Usage)> {
        self.in_use.take()
    }

    pub(super) fn put_back(&mut self, key: Option<(SessionKey, Usage)>) {
        self.in_use = key;
    }

    /// The next message begins a new key.
    pub(super) fn end(&mut self) {
        self.in_use = None;
    }
}

impl<S: LedgerStore, H: PadHalf> Pad<S, H> {
    /// Begins a connection over a key sequence: its first message has a new key, and later ones as `rekey` says. On a
    /// pad it changes nothing.
    pub async fn connect(&self, rekey: Rekey) {
        let mut sender = self.sender.lock().await;
        sender.keys.rekey = rekey;
        sender.keys.end();
    }

    /// Takes the next key of our lane as a pre-shared key for a handshake; the peer gets it by the index.
    ///
    /// # Errors
    /// As for a message that begins a new key.
    pub async fn take_psk(&self) -> Result<(u64, Psk), PadError> {
        self.keyed()?;
        let taken = self.take_key().await;
        self.end_if_closed().await;
        taken
    }

    async fn take_key(&self) -> Result<(u64, Psk), PadError> {
        let mut guard = self.sender.lock().await;
        let sender = &mut *guard;
        if let Err(error) = self.ready(sender, 1).await {
            return Err(self.keys_ended(sender, error).await);
        }
        // Again, as the lock and the reservation took their time.
        self.usable_now()?;
        let (lane, index) = (*sender.cipher.lane(), sender.lane.cursor() / KEY_LEN);
        let chunk = sender.lane.take(KEY_LEN).ok_or(PadError::Dead)?;
        let psk = SessionKey::psk(lane, index, chunk).map_err(|_| PadError::Dead)?;
        let send = sender.left();
        self.set_life(|life| life.left.send = send);
        let check = Op::Check { fence: self.fence };
        self.commit([check].into_iter().chain(self.key_fee(&lane, index)?)).await?;
        Ok((index, psk))
    }

    /// Takes the key at `index` of the peer's lane as a pre-shared key, once.
    ///
    /// # Errors
    /// [`PadError::Refused`] if it was received or skipped before, or lies too far ahead.
    pub async fn psk_at(&self, index: u64) -> Result<Psk, PadError> {
        self.keyed()?;
        let psk = self.key_at(index).await;
        self.end_if_closed().await;
        psk
    }

    async fn key_at(&self, index: u64) -> Result<Psk, PadError> {
        let mut receiver = self.receiver.lock().await;
        let lane = *receiver.cipher.lane();
        let mut position = receiver.row.receive.end();
        if receiver.has_doubts() {
            // A frame under this key may have been claimed, and we never heard of it.
            let row = self.store.pad(self.fence.pad).await?.ok_or(PadError::LedgerMissing(self.fence.pad))?;
            position = position.max(row.receive.end());
        }
        if index < position {
            return Err(PadError::Refused(Refusal::Replayed { position }));
        }
        receiver.row.receivable(lane.generation, &(index..index), Some(0)).map_err(PadError::Refused)?;
        let mut bytes = read_key(&self.half, lane.lane, index)?;
        let psk = SessionKey::psk(lane, index, Chunk::new(index, &mut *bytes)).map_err(|_| PadError::Dead)?;
        let position = index.saturating_add(1);
        let claim = Op::Resync { fence: self.fence, position };
        self.commit([claim].into_iter().chain(self.key_fee(&lane, index)?)).await?;
        receiver.skip_to(position);
        let receive = receiver.left();
        self.set_life(|life| life.left.receive = receive);
        Ok(psk)
    }

    fn keyed(&self) -> Result<(), PadError> {
        if self.half.header().mode != PadMode::KeySequence {
            return Err(PadError::Mismatch("the mode: this is no key sequence"));
        }
        self.usable_now()
    }

    /// What the beginning of a key costs: once, however often it is asked for.
    pub(super) fn key_fee(&self, lane: &LaneId, index: u64) -> Result<Option<Op>, PadError> {
        let fee = self
            .policy
            .key_fee
            .filter(|fee| !fee.is_zero() && self.half.header().mode == PadMode::KeySequence);
        let Some(fee) = fee else { return Ok(None) };
        let (value, income) = self.value.zip(self.policy.income).ok_or(PadError::NoAccount)?;
        let LaneId { pad, generation, mode: _, lane } = lane;
        let cause: [&[u8]; 4] = [pad.as_bytes(), generation.as_bytes(), &[*lane], &index.to_be_bytes()];
        let id = TransferId::derived(label::KEY_FEE, &cause);
        Ok(Some(Op::Transfer(Transfer::post(id, value, income, fee))))
    }

    /// A sequence ends when a key is needed and none is left: only then, as the last one may still be in use.
    pub(super) async fn keys_ended(&self, sender: &Sender, error: PadError) -> PadError {
        let keys = self.half.header().mode == PadMode::KeySequence;
        let over = self.value.is_some() || self.remaining().receive == 0;
        if keys
            && over
            && matches!(error, PadError::Exhausted { .. })
            && let Err(failed) = self.close_spent().await
        {
            return failed;
        }
        self.lane_ended(sender, error).await
    }
}
