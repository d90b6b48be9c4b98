use core::sync::atomic::AtomicU64;
use std::sync::{LazyLock, Mutex as Lock};

use symbolon_keys::{OsRng, RootKey, Secret, UnixTime};
use tokio::sync::Mutex;

use super::receiver::Receiver;
use super::sender::Sender;
use super::{Life, Policy};
use crate::frame::LaneCipher;
use crate::material::{MaterialError, PadHalf, PadMaterial, Stage};
use crate::{
    Batch, CommitError, Fence, LedgerStore, Op, Outcome, OwnerId, Pad, PadError, PadId, PadMode, PadRow,
    Refusal, Refused, Remaining,
};

/// This process, among those that own pads.
static OWNER: LazyLock<OwnerId> = LazyLock::new(|| OwnerId::generate(&mut OsRng));

impl OwnerId {
    /// The name under which this process leases pads: a new one in every life.
    #[must_use]
    pub fn of_this_process() -> Self {
        *OWNER
    }
}

impl<S: LedgerStore + Clone, H: PadHalf> Pad<S, H> {
    /// Starts using a pad that was provisioned, where its ledger says that it stands.
    ///
    /// # Errors
    /// [`PadError::LedgerMissing`] if the ledger does not know the pad; [`PadError::OtherInstance`] and
    /// [`PadError::LedgerBehind`] if the ledger or the half is an old copy; [`PadError::NotProvisioned`];
    /// [`PadError::Material`] if the half is in use, missing, damaged, or destroyed while the ledger has the pad open.
    ///
    /// A pad that was closed attaches with that [status](Self::status): it gives stored answers and nothing else, and
    /// what is left of its half is destroyed.
    pub async fn attach<M: PadMaterial<Half = H>>(
        store: &S,
        material: &M,
        id: PadId,
    ) -> Result<Self, PadError> {
        Self::attach_with(store, material, id, Policy::default()).await
    }

    /// As [`attach`](Self::attach), under a policy.
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub async fn attach_with<M: PadMaterial<Half = H>>(
        store: &S,
        material: &M,
        id: PadId,
        policy: Policy,
    ) -> Result<Self, PadError> {
        let half = material.take(id)?;
        let row = store.pad(id).await?;
        let row = match (row, half.instance()) {
            (None, None) => return Err(PadError::NotProvisioned(id)),
            (None, Some(_)) => return Err(PadError::LedgerMissing(id)),
            // Provisioning was interrupted between the ledger and the half.
            (Some(row), None) if row.lease.epoch == 0 => {
                half.bind(row.instance)?;
                row
            }
            (Some(row), half) => {
                let half = half.ok_or(PadError::NotProvisioned(id))?;
                if half != row.instance {
                    return Err(PadError::OtherInstance { half, ledger: row.instance });
                }
                row
            }
        };
        agree(&row, &half)?;
        let mut row = lease(store, &row, &policy).await?;
        // Whoever owned it before may have gone on since the row was read: what counts is the row that was leased.
        agree(&row, &half)?;
        skip_key_in_use(store, &mut row).await?;
        let pad = Self::new(store.clone(), half, &row, policy);
        pad.close_if_spent().await?;
        if pad.status().is_closed() && pad.half.stage() < Stage::Destroyed {
            // Whoever closed it did not come to this. Stored answers can be had even if it fails again.
            let _ = pad.destroy().await;
        }
        Ok(pad)
    }

    pub(super) fn new(store: S, half: H, row: &PadRow, policy: Policy) -> Self {
        let header = half.header();
        let cipher = |lane, generation| {
            let inner = Secret::init_with(|out| out.copy_from_slice(half.keys().inner().expose()));
            LaneCipher::new(header.lane_id(lane, generation), RootKey::from(inner), policy.backend)
        };
        let mut sender = Sender::new(cipher(row.send.lane, row.send.generation), &row.send, policy.backend);
        sender.find_undestroyed(&half);
        let receiver = Receiver::new(
            cipher(row.receive.lane, row.receive.generation),
            row.clone(),
            &half,
            policy.backend,
        );
        let usable = |left: u64| if left < row.mode.min_cost() { 0 } else { left };
        let left = Remaining { send: usable(sender.left()), receive: usable(receiver.left()) };
        // No key survives a restart: without a new one on either lane, a sequence is over.
        let keys_over = row.mode == PadMode::KeySequence && (left.send == 0 || left.receive == 0);
        Self {
            store,
            fence: Fence { pad: row.id, epoch: row.lease.epoch },
            policy,
            process: std::process::id(),
            value: row.account,
            life: Lock::new(Life { status: row.status, dead: false, left, keys_over }),
            sender: Mutex::new(sender),
            receiver: Mutex::new(receiver),
            rejected: AtomicU64::new(0),
            half,
        }
    }
}

/// A session key does not survive a restart: the one that was in use is skipped.
async fn skip_key_in_use<S: LedgerStore>(store: &S, row: &mut PadRow) -> Result<(), PadError> {
    if row.receive.seq > 0 && !row.status.is_closed() {
        let fence = Fence { pad: row.id, epoch: row.lease.epoch };
        let position = row.receive.end();
        store.commit(Batch::new(UnixTime::now()).with(Op::Resync { fence, position })).await?;
        (row.receive.position, row.receive.seq) = (position, 0);
    }
    Ok(())
}

/// The ledger and the half describe the same pad, and the ledger is not behind.
fn agree<H: PadHalf>(row: &PadRow, half: &H) -> Result<(), PadError> {
    same_pad(row, half)?;
    if !row.status.is_closed() && half.stage() > Stage::InUse {
        return Err(MaterialError::Ended(row.id).into());
    }
    for (lane, reserved) in [(row.send.lane, row.send.reserved), (row.receive.lane, row.receive.end())] {
        let floor = floor(half, lane);
        if reserved < floor {
            return Err(PadError::LedgerBehind { floor, reserved });
        }
    }
    Ok(())
}

/// The ledger and the half describe the same pad.
pub(super) fn same_pad<H: PadHalf>(row: &PadRow, half: &H) -> Result<(), PadError> {
    let header = half.header();
    let same = |equal: bool, what| if equal { Ok(()) } else { Err(PadError::Mismatch(what)) };
    same(row.mode == header.mode, "the mode")?;
    same((row.send.lane, row.receive.lane) == (header.lane, header.peer_lane()), "the lanes")?;
    let lens = (header.lane_len(row.send.lane), header.lane_len(row.receive.lane));
    same((row.send.len, row.receive.len) == lens, "the lengths of the lanes")?;
    same(row.witnessed == header.witnessed, "the witness")
}

/// The floor of a lane, in what its offsets count.
pub(super) fn floor<H: PadHalf>(half: &H, lane: u8) -> u64 {
    half.floor(lane).div_ceil(half.header().unit())
}

pub(super) async fn lease<S: LedgerStore>(
    store: &S,
    row: &PadRow,
    policy: &Policy,
) -> Result<PadRow, PadError> {
    let now = UnixTime::now();
    let until = now.saturating_add(policy.lease);
    let (pad, instance, takeover) = (row.id, row.instance, policy.takeover);
    let op = Op::Attach { pad, instance, owner: OwnerId::of_this_process(), until, takeover };
    let outcomes = store.commit(Batch::new(now).with(op)).await?;
    match outcomes.into_iter().next() {
        Some(Outcome::Attached(row)) => Ok(*row),
        _ => Err(CommitError::Refused(Refused { op: 0, why: Refusal::InvalidPad }).into()),
    }
}
