//! Two ends of a pad, and a checker that sees every frame they emit.

use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use symbolon_keys::UnixTime;
use symbolon_ledger::frame::Frame;
use symbolon_ledger::sequence::KeyFrame;
use symbolon_ledger::witness::WitnessSession;
use symbolon_ledger::{
    AccountId, AccountRow, Amount, Batch, GeneratorSource, Issue, LedgerStore, MemoryMaterial, MemoryStore,
    Op, Pad, PadError, PadId, PadMode, Policy, Provision, Side, Transfer, TransferId, WitnessLink,
};

pub(crate) type MemoryPad = Pad<MemoryStore, symbolon_ledger::material::MemoryHalf>;

/// Every range of every lane that was ever emitted in this test run, whoever emitted it.
static EMITTED: Mutex<BTreeMap<(PadId, u8), Ranges>> = Mutex::new(BTreeMap::new());

/// Frames by where they begin, with where they end.
type Ranges = BTreeMap<u64, (u64, Vec<u8>)>;

/// Every number of every key that was ever emitted, likewise.
static NUMBERS: Mutex<BTreeMap<Number, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// The pad, the lane, the index of the key, and the number under it.
type Number = (PadId, u8, u64, u32);

/// Fails if any byte of the frame's range was emitted before under another frame; of a key sequence, its number.
#[track_caller]
pub(crate) fn emitted(bytes: Vec<u8>) -> Vec<u8> {
    if let Ok(frame) = KeyFrame::parse(&bytes) {
        let number = (frame.lane().pad, frame.lane().lane, frame.index(), frame.seq());
        let mut all = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        if all.insert(number, bytes.clone()).is_some_and(|other| other != bytes) {
            drop(all);
            panic!("NUMBER USED TWICE: {number:?}");
        }
        return bytes;
    }
    let frame = Frame::parse(&bytes).expect("an emitted frame parses");
    let Range { start, end } = frame.range().clone();
    let lane = frame.header().lane;
    let mut all = EMITTED.lock().unwrap_or_else(PoisonError::into_inner);
    let ranges = all.entry((lane.pad, lane.lane)).or_default();
    let before = ranges.range(..end).next_back().map(|(from, (to, frame))| (*from, *to, frame.clone()));
    if let Some((from, to, other)) = before
        && to > start
        && other != bytes
    {
        panic!(
            "PAD BYTES USED TWICE: {from}..{to} and {start}..{end} of pad {} lane {}",
            lane.pad, lane.lane
        );
    }
    ranges.insert(start, (end, bytes.clone()));
    bytes
}

#[test]
fn the_checker_can_fail() {
    let header = |offset: u64| {
        let mut frame = vec![1, 2, 0, 0];
        frame.extend([0xcc; 32]);
        frame.extend(offset.to_be_bytes());
        frame.extend(64_u32.to_be_bytes());
        frame.extend([0; 80]);
        frame
    };
    emitted(header(0));
    emitted(header(96));
    emitted(header(0)); // the same bytes again are no second use
    for offset in [1, 95, 97, 191] {
        let seen = std::panic::catch_unwind(|| emitted(header(offset)));
        assert!(seen.is_err(), "an overlap at {offset} goes unseen");
    }
    let numbered = |seq: u32, last: u8| {
        let mut frame = vec![1, 3, 0, 0];
        frame.extend([0xcc; 40]);
        frame.extend(seq.to_be_bytes());
        frame.extend(80_u32.to_be_bytes());
        frame.extend([last; 80]);
        frame
    };
    for (seq, last) in [(0, 1), (1, 2), (0, 1)] {
        emitted(numbered(seq, last));
    }
    assert!(std::panic::catch_unwind(|| emitted(numbered(1, 3))).is_err(), "a number goes unseen");
}

pub(crate) const CASH: AccountId = AccountId::new([1; 16]);
pub(crate) const INCOME: AccountId = AccountId::new([2; 16]);
pub(crate) const USER: AccountId = AccountId::new([3; 16]);
pub(crate) const REFUND: AccountId = AccountId::new([4; 16]);

/// One end: its half and its ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct End {
    pub(crate) material: MemoryMaterial,
    pub(crate) store: MemoryStore,
}

impl End {
    pub(crate) async fn attach(&self, id: PadId) -> Result<MemoryPad, PadError> {
        self.attach_with(id, Policy::default()).await
    }

    pub(crate) async fn attach_with(&self, id: PadId, policy: Policy) -> Result<MemoryPad, PadError> {
        Pad::attach_with(&self.store, &self.material, id, policy.income(INCOME)).await
    }

    /// As a backup of half and ledger has it.
    pub(crate) fn backup(&self) -> Self {
        Self { material: self.material.backup(), store: self.store.backup() }
    }

    pub(crate) async fn balance(&self, account: AccountId) -> u128 {
        self.row(account).await.balance.minor_units()
    }

    pub(crate) async fn row(&self, account: AccountId) -> AccountRow {
        self.store.account(account).await.unwrap().unwrap()
    }
}

/// Server and user.
pub(crate) struct World {
    pub(crate) server: End,
    pub(crate) user: End,
    pub(crate) id: PadId,
}

pub(crate) struct Terms {
    pub(crate) bytes: u64,
    pub(crate) value: u128,
    pub(crate) mode: PadMode,
    pub(crate) split: (u32, u32),
    pub(crate) witnessed: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { bytes: 1 << 16, value: 100, mode: PadMode::PadOverAead, split: (1, 1), witnessed: false }
    }
}

impl World {
    /// A pad, issued and provisioned at both ends; the server holds its value.
    pub(crate) async fn new(terms: Terms) -> Self {
        let (server, user) = (End::default(), End::default());
        let Terms { bytes, value, mode, split, witnessed } = terms;
        let issue = Issue::new(bytes).mode(mode).value(Amount::new(value)).split(split.0, split.1);
        let issue = if witnessed { issue } else { issue.unwitnessed() };
        let id =
            issue.run(GeneratorSource::os(), &mut server.material.sink(), &mut user.material.sink()).unwrap();
        let provision = Provision::new(id).valued(USER, REFUND).after(bought(value));
        Pad::provision(&server.store, &server.material, provision).await.unwrap();
        Pad::provision(&user.store, &user.material, Provision::new(id)).await.unwrap();
        Self { server, user, id }
    }

    pub(crate) async fn attach(&self) -> (MemoryPad, MemoryPad) {
        (self.server.attach(self.id).await.unwrap(), self.user.attach(self.id).await.unwrap())
    }
}

/// Opens the accounts and pays in: the purchase and the provisioning are one commit.
pub(crate) fn bought(value: u128) -> Batch {
    let open = |id, side| Op::OpenAccount { id, side };
    Batch::new(UnixTime::now())
        .with(open(CASH, Side::Debit))
        .with(open(INCOME, Side::Credit))
        .with(open(USER, Side::Credit))
        .with(open(REFUND, Side::Credit))
        .with(Op::Transfer(Transfer::post(TransferId::from([9; 16]), CASH, USER, Amount::new(value))))
}

/// What becomes of a message, or (with `true`) of an answer.
type FaultOf<'p> = dyn FnMut(Vec<u8>, bool) -> Option<Vec<u8>> + Send + 'p;

/// The witness at the other end, reached through whatever `fault` does to each message and answer.
pub(crate) struct Link<'p> {
    pub(crate) peer: &'p MemoryPad,
    pub(crate) session: WitnessSession,
    pub(crate) fault: Box<FaultOf<'p>>,
}

impl<'p> Link<'p> {
    pub(crate) fn to(peer: &'p MemoryPad) -> Self {
        Self::through(peer, |message, _| Some(message))
    }

    /// `fault` gets each message and, with `true`, each answer; nothing comes of what it drops.
    pub(crate) fn through(
        peer: &'p MemoryPad,
        fault: impl FnMut(Vec<u8>, bool) -> Option<Vec<u8>> + Send + 'p,
    ) -> Self {
        Self { peer, session: WitnessSession::new(), fault: Box::new(fault) }
    }
}

impl WitnessLink for Link<'_> {
    async fn exchange(&mut self, message: Vec<u8>) -> std::io::Result<Vec<u8>> {
        let lost = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        let message = (self.fault)(message, false).ok_or_else(lost)?;
        let answer = self.peer.attest(&mut self.session, &message).await.map_err(std::io::Error::other)?;
        (self.fault)(answer, true).ok_or_else(lost)
    }
}
