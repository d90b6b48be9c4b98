use symbolon_keys::{OsRng, UnixTime};

use crate::material::{PadHalf, PadHeader, PadMaterial};
use crate::{
    AccountId, Batch, BatchId, Instance, Lease, LedgerStore, Op, Pad, PadError, PadId, PadRow, PadStatus,
    ReceiveRow, SendRow,
};

/// What puts a new pad into a ledger.
#[derive(Clone, Debug)]
#[must_use]
pub struct Provision {
    pad: PadId,
    accounts: Option<(AccountId, AccountId)>,
    with: Batch,
}

impl Provision {
    /// A pad without a value, as at the user's end.
    pub fn new(pad: PadId) -> Self {
        Self { pad, accounts: None, with: Batch::new(UnixTime::now()) }
    }

    /// The account that holds its value, and the one that gets what is left when the pad ends.
    pub const fn valued(mut self, account: AccountId, refund: AccountId) -> Self {
        self.accounts = Some((account, refund));
        self
    }

    /// Does these steps before it in the same commit, such as opening the account and paying in.
    pub fn after(mut self, steps: Batch) -> Self {
        self.with = steps;
        self
    }
}

impl<S: LedgerStore, H: PadHalf> Pad<S, H> {
    /// Puts a new pad into the ledger, and marks its half as provisioned. It can then be [attached](Self::attach).
    ///
    /// # Errors
    /// [`PadError::AlreadyProvisioned`] if the half was; [`PadError::Commit`] if the ledger refuses. If the outcome is
    /// unknown, attach the pad: that completes what was begun, or says that there is nothing.
    pub async fn provision<M: PadMaterial<Half = H>>(
        store: &S,
        material: &M,
        provision: Provision,
    ) -> Result<(), PadError> {
        let Provision { pad, accounts, with } = provision;
        let half = material.take(pad)?;
        if half.instance().is_some() {
            return Err(PadError::AlreadyProvisioned(pad));
        }
        let instance = Instance::generate(&mut OsRng);
        let row = new_row(half.header(), instance, accounts);
        // First the ledger, then the half: in between, the half is new and the row was never attached, which `attach`
        // completes. The other way round a crash would leave a half that no ledger knows.
        store.commit(with.with(Op::Provision(row))).await?;
        half.bind(instance)?;
        Ok(())
    }
}

pub(super) fn new_row(
    header: &PadHeader,
    instance: Instance,
    accounts: Option<(AccountId, AccountId)>,
) -> PadRow {
    let (lane, peer, generation) = (header.lane, header.peer_lane(), header.generation);
    let batch = BatchId::from([0; 16]);
    PadRow {
        id: header.pad,
        instance,
        mode: header.mode,
        witnessed: header.witnessed,
        account: accounts.map(|(account, _)| account),
        refund: accounts.map(|(_, refund)| refund),
        status: PadStatus::Open,
        lease: Lease { epoch: 0, owner: None, until: UnixTime::default() },
        send: SendRow { lane, generation, len: header.lane_len(lane), from: 0, reserved: 0, batch },
        receive: ReceiveRow {
            lane: peer,
            generation,
            len: header.lane_len(peer),
            position: 0,
            seq: 0,
            ceiling_from: 0,
            ceiling: 0,
            batch,
        },
    }
}
