//! The books against a plain model, under random batches, retries, faults and reopenings.

use std::collections::BTreeMap;

use proptest::prelude::*;
use symbolon_keys::UnixTime;
use symbolon_ledger::{
    AccountId, Amount, Batch, CommitError, Fault, Head, JournalFault, LedgerStore, MemoryStore, Op, Outcome,
    Side, Tariff, Transfer, TransferId, Verifier,
};

const ACCOUNTS: u8 = 5;

fn account(n: u8) -> AccountId {
    AccountId::new([n; 16])
}

#[derive(Clone, Debug)]
enum Step {
    Post { id: u8, from: u8, to: u8, amount: u8 },
    Hold { id: u8, from: u8, to: u8, amount: u8, expires: Option<u8>, matures: Option<u8> },
    Capture { id: u8, hold: u8, amount: u8 },
    Release { id: u8, hold: u8 },
    Expire { id: u8, hold: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    // Few ids and accounts, so that they meet.
    let (id, party, amount) = (0..40_u8, 0..ACCOUNTS, 0..30_u8);
    let time = proptest::option::of(0..20_u8);
    prop_oneof![
        4 => (id.clone(), party.clone(), party.clone(), amount.clone())
            .prop_map(|(id, from, to, amount)| Step::Post { id, from, to, amount }),
        3 => (id.clone(), party.clone(), party, amount.clone(), time.clone(), time)
            .prop_map(|(id, from, to, amount, expires, matures)| Step::Hold { id, from, to, amount, expires, matures }),
        2 => (id.clone(), id.clone(), amount).prop_map(|(id, hold, amount)| Step::Capture { id, hold, amount }),
        1 => (id.clone(), id.clone()).prop_map(|(id, hold)| Step::Release { id, hold }),
        1 => (id.clone(), id).prop_map(|(id, hold)| Step::Expire { id, hold }),
    ]
}

/// As an accountant would do it: a list of what was agreed, and nothing clever.
#[derive(Clone, Debug, Default)]
struct Model {
    /// Balance and held, by account; account 0 is on the debit side.
    accounts: BTreeMap<u8, (i64, i64)>,
    transfers: BTreeMap<u8, (Transfer, Option<u8>)>,
}

impl Model {
    fn new() -> Self {
        Self { accounts: (0..ACCOUNTS).map(|n| (n, (0, 0))).collect(), transfers: BTreeMap::new() }
    }

    /// What an entry of `amount` does to an account: up on its own side, down on the other.
    fn enter(&mut self, n: u8, debit: bool, amount: i64) -> bool {
        let (balance, held) = self.accounts.get_mut(&n).unwrap();
        *balance += if debit == (n == 0) { amount } else { -amount };
        *balance >= *held
    }

    fn set_aside(&mut self, n: u8, debit: bool, amount: i64) -> bool {
        let (balance, held) = self.accounts.get_mut(&n).unwrap();
        if debit != (n == 0) {
            *held += amount;
        }
        *balance >= *held
    }

    /// The transfer that a step means, and whether a ledger takes it.
    fn judge(&mut self, step: &Step, now: u8) -> (Transfer, bool) {
        let id = |n: u8| TransferId::new([n; 16]);
        let time = |n: u8| UnixTime::from_secs(u64::from(n));
        let (n, transfer) = match step {
            Step::Post { id: n, from, to, amount } => {
                let amount = Amount::new(u128::from(*amount));
                (*n, Transfer::post(id(*n), account(*from), account(*to), amount))
            }
            Step::Hold { id: n, from, to, amount, expires, matures } => {
                let amount = Amount::new(u128::from(*amount));
                let mut hold = Transfer::hold(id(*n), account(*from), account(*to), amount);
                (hold.expires, hold.matures) = (expires.map(time), matures.map(time));
                (*n, hold)
            }
            Step::Capture { id: n, hold, amount } => {
                let amount = Amount::new(u128::from(*amount));
                (*n, Transfer::capture(id(*n), &self.held(*hold), amount))
            }
            Step::Release { id: n, hold } => (*n, Transfer::release(id(*n), &self.held(*hold))),
            Step::Expire { id: n, hold } => (*n, Transfer::expire(id(*n), &self.held(*hold))),
        };
        if let Some((known, _)) = self.transfers.get(&n) {
            return (transfer.clone(), *known == transfer);
        }
        let taken = self.take(step, &transfer, now);
        if taken {
            self.transfers.insert(n, (transfer.clone(), None));
        }
        (transfer, taken)
    }

    /// The hold that a step resolves, or one that nobody knows.
    fn held(&self, n: u8) -> Transfer {
        let unknown = || Transfer::hold(TransferId::new([n; 16]), account(0), account(1), Amount::new(1));
        self.transfers.get(&n).map_or_else(unknown, |(transfer, _)| transfer.clone())
    }

    fn take(&mut self, step: &Step, transfer: &Transfer, now: u8) -> bool {
        let amount = i64::try_from(transfer.amount.minor_units()).unwrap();
        let (from, to) = (transfer.from.as_bytes()[0], transfer.to.as_bytes()[0]);
        match step {
            _ if from == to => false,
            Step::Post { .. } => amount > 0 && self.enter(from, true, amount) & self.enter(to, false, amount),
            Step::Hold { expires, matures, .. } => {
                let sane = amount > 0 && !(expires.is_some() && matures.is_some());
                sane && self.set_aside(from, true, amount) & self.set_aside(to, false, amount)
            }
            Step::Capture { id, hold, .. } | Step::Release { id, hold } | Step::Expire { id, hold } => {
                let Some((held, resolved)) = self.transfers.get(hold).cloned() else { return false };
                let is_hold = held.kind == symbolon_ledger::TransferKind::Hold;
                let seconds = |time: Option<UnixTime>| time.map(|time| time.as_secs());
                let (expires, matures) = (seconds(held.expires), seconds(held.matures));
                let now = u64::from(now);
                let in_time = match step {
                    Step::Capture { .. } => {
                        let fits = amount > 0 && transfer.amount <= held.amount;
                        fits && expires.is_none_or(|at| now < at) && matures.is_none_or(|at| now >= at)
                    }
                    Step::Expire { .. } => expires.is_some_and(|at| now >= at),
                    _ => matures.is_none(),
                };
                if !is_hold || resolved.is_some() || !in_time {
                    return false;
                }
                let whole = i64::try_from(held.amount.minor_units()).unwrap();
                self.set_aside(from, true, -whole);
                self.set_aside(to, false, -whole);
                self.transfers.get_mut(hold).unwrap().1 = Some(*id);
                amount == 0 || (self.enter(from, true, amount) & self.enter(to, false, amount))
            }
        }
    }
}

fn commit(store: &MemoryStore, batch: Batch) -> Result<Vec<Outcome>, CommitError> {
    futures_block(store.commit(batch))
}

fn futures_block<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn compare(store: &MemoryStore, model: &Model) -> Result<(), TestCaseError> {
    store.with_tables(|tables| {
        let (mut debits, mut credits) = (0, 0);
        for (n, (balance, held)) in &model.accounts {
            let row = &tables.accounts[&account(*n)];
            prop_assert_eq!(row.balance.minor_units(), u128::try_from(*balance).unwrap());
            prop_assert_eq!(row.held.minor_units(), u128::try_from(*held).unwrap());
            prop_assert!(row.held <= row.balance, "held is part of the balance");
            *if *n == 0 { &mut debits } else { &mut credits } += balance;
        }
        prop_assert_eq!(debits, credits, "the sides are equal");
        for (n, (transfer, resolved)) in &model.transfers {
            let row = &tables.transfers[&TransferId::new([*n; 16])];
            prop_assert_eq!(&row.transfer, transfer);
            prop_assert_eq!(row.resolved_by, resolved.map(|n| TransferId::new([n; 16])));
        }
        prop_assert_eq!(tables.transfers.len(), model.transfers.len());
        let mut verifier = Verifier::from(Head::default());
        for entry in &tables.journal {
            prop_assert_eq!(verifier.take(entry), Ok(()));
        }
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // proves L3 L16 L20 L22
    #[test]
    fn as_the_model(batches in proptest::collection::vec((proptest::collection::vec(step(), 1..4), 0..20_u8, 0..9_u8), 1..40)) {
        let store = MemoryStore::new();
        let mut model = Model::new();
        let open = (0..ACCOUNTS).map(|n| {
            Op::OpenAccount { id: account(n), side: if n == 0 { Side::Debit } else { Side::Credit } }
        });
        commit(&store, open.fold(Batch::new(UnixTime::default()), Batch::with)).unwrap();
        for (steps, now, fault) in batches {
            let mut next = model.clone();
            let mut batch = Batch::new(UnixTime::from_secs(u64::from(now)));
            let mut all_taken = true;
            for step in &steps {
                // What follows a refused step is not judged; its transfer does not matter.
                let (transfer, taken) = next.judge(step, now);
                all_taken &= taken;
                batch.push(Op::Transfer(transfer));
            }
            let fault = match fault {
                0 => Some(Fault::NotApplied),
                1 => Some(Fault::Lost),
                2 => Some(Fault::Unheard),
                _ => None,
            };
            store.fail([fault]);
            let first = commit(&store, batch.clone());
            prop_assert_eq!(first.is_ok(), fault.is_none() && all_taken, "{:?}", first);
            // Whoever does not know asks again by the same ids; whoever does know may ask again too.
            let again = commit(&store, batch);
            prop_assert_eq!(again.is_ok(), all_taken, "{:?}", again);
            if all_taken {
                model = next;
            }
            compare(&store, &model)?;
        }
    }

    #[test]
    fn no_unit_is_lost_in_a_split(amount: u128, weights in proptest::collection::vec(any::<u32>(), 1..9)) {
        match Amount::new(amount).split(&weights) {
            None => prop_assert!(weights.iter().all(|weight| *weight == 0)),
            Some(parts) => {
                let sum = parts.iter().try_fold(Amount::ZERO, |sum, part| sum.checked_add(*part));
                prop_assert_eq!(sum, Some(Amount::new(amount)));
                for (part, weight) in parts.iter().zip(&weights) {
                    prop_assert!(*weight > 0 || part.is_zero(), "nothing for no weight");
                }
            }
        }
    }
}

#[test]
fn fees() {
    let tariff = Tariff {
        message: Amount::new(1),
        bytes: (Amount::new(2), 100),
        key: Amount::new(5),
        service: Amount::new(10),
    };
    assert_eq!(tariff.fee(0, 0, 0), Some(Amount::new(1)));
    assert_eq!(tariff.fee(100, 0, 0), Some(Amount::new(3)));
    assert_eq!(tariff.fee(101, 1, 2), Some(Amount::new(1 + 4 + 5 + 20)));
    assert_eq!(Tariff { service: Amount::new(u128::MAX), ..tariff }.fee(0, 0, 1), None);
    assert_eq!(Amount::new(10).split(&[]), None);
    assert_eq!(Amount::new(11).split(&[3, 0, 1]), Some([8, 0, 3].map(Amount::new).to_vec()));
}

#[test]
fn a_cut_or_changed_journal_is_found() {
    let store = MemoryStore::new();
    let open = (0..ACCOUNTS)
        .map(|n| Op::OpenAccount { id: account(n), side: if n == 0 { Side::Debit } else { Side::Credit } });
    commit(&store, open.fold(Batch::new(UnixTime::default()), Batch::with)).unwrap();
    for n in 0..10 {
        let paid = Transfer::post(TransferId::new([n; 16]), account(0), account(1), Amount::new(7));
        commit(&store, Batch::new(UnixTime::default()).with(Op::Transfer(paid))).unwrap();
    }
    let entries = store.with_tables(|tables| tables.journal.clone());
    let kept = entries[11].head();
    let walk = |entries: &[symbolon_ledger::Entry]| {
        let mut verifier = Verifier::from(Head::default());
        for entry in entries {
            verifier.take(entry)?;
        }
        verifier.finish(&kept)
    };
    assert_eq!(walk(&entries[..12]), Ok(()));
    assert_eq!(walk(&entries[..9]), Err(JournalFault::Cut { entries: 9 }));
    let mut changed = entries[..12].to_vec();
    if let symbolon_ledger::Event::Transfer(transfer) = &mut changed[7].event {
        transfer.amount = Amount::new(700);
    }
    assert_eq!(walk(&changed), Err(JournalFault::Changed { number: 8 }));
    let mut without = entries[..12].to_vec();
    without.remove(3);
    assert_eq!(walk(&without), Err(JournalFault::Changed { number: 5 }));
    // From a checkpoint on, the past is not needed.
    let mut later = Verifier::from(kept);
    entries[12..].iter().for_each(|entry| later.take(entry).unwrap());
    assert_eq!(later.finish(&entries[14].head()), Ok(()));
}
