//! What every [`LedgerStore`] must pass: memory here, SQL in `symbolon-store`, and a store of your own.
//!
//! [`suite`] takes `fresh`, which makes an empty store, and `reopen`, which closes a store and opens what is durable of
//! it. A failure is a panic that says which promise was broken. What cannot be shown from here (the loss of power, a
//! full disk) is for the store's own tests.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests, for other crates' tests"
)]

mod pads;
mod value;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::task::Poll;

use symbolon_keys::UnixTime;

use crate::{
    AccountId, Amount, Batch, CommitError, Fence, Head, LedgerStore, Op, Outcome, PadId, PadMode, PadRow,
    PadStatus, ReceiveRow, Refusal, SendRow, Side, Transfer, TransferId, Verifier,
};

/// Runs every case, each on a store of its own.
pub async fn suite<S: LedgerStore>(fresh: impl AsyncFn() -> S, reopen: impl AsyncFn(S) -> S) {
    value::transfers(fresh().await, &reopen).await;
    value::refusals_change_nothing(fresh().await).await;
    value::holds(fresh().await, &reopen).await;
    value::deposits(fresh().await).await;
    value::extremes(fresh().await, &reopen).await;
    value::many_at_once(fresh().await, &reopen).await;
    value::outbox(fresh().await, &reopen).await;
    value::statements(fresh().await).await;
    pads::provisioned_once(fresh().await, &reopen).await;
    pads::bought_in_one_commit(fresh().await, &reopen).await;
    pads::owners(fresh().await, &reopen).await;
    pads::positions(fresh().await, &reopen).await;
    pads::key_sequences(fresh().await).await;
    pads::answers(fresh().await, &reopen).await;
    pads::unanswered(fresh().await, &reopen).await;
    pads::forgetting(fresh().await, &reopen).await;
    pads::forgetting_much(fresh().await).await;
    pads::witness(fresh().await, &reopen).await;
    pads::recovery(fresh().await, &reopen).await;
    pads::reopening(fresh().await, &reopen).await;
    pads::value_ends(fresh().await, &reopen).await;
    pads::pad_ends(fresh().await, &reopen).await;
    pads::held_when_the_pad_ends(fresh().await).await;
}

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const CASH: u8 = 1;
const INCOME: u8 = 2;
const USER: u8 = 3;
const REFUND: u8 = 4;

fn account(n: u8) -> AccountId {
    AccountId::from([n; 16])
}

fn transfer(n: u8) -> TransferId {
    TransferId::from([n; 16])
}

fn post(n: u8, from: u8, to: u8, amount: u128) -> Transfer {
    Transfer::post(transfer(n), account(from), account(to), Amount::new(amount))
}

fn batch(ops: impl IntoIterator<Item = Op>) -> Batch {
    batch_at(NOW, ops)
}

fn batch_at(now: UnixTime, ops: impl IntoIterator<Item = Op>) -> Batch {
    ops.into_iter().fold(Batch::new(now), Batch::with)
}

async fn commit<S: LedgerStore>(store: &S, ops: impl IntoIterator<Item = Op>) -> Vec<Outcome> {
    store.commit(batch(ops)).await.expect("a batch that nothing speaks against")
}

async fn refused<S: LedgerStore>(store: &S, ops: impl IntoIterator<Item = Op>) -> (usize, Refusal) {
    match store.commit(batch(ops)).await {
        Err(CommitError::Refused(refused)) => (refused.op, refused.why),
        other => panic!("a refusal was due, not {other:?}"),
    }
}

fn open_account(n: u8) -> Op {
    Op::OpenAccount { id: account(n), side: if n == CASH { Side::Debit } else { Side::Credit } }
}

/// Four accounts; the user has paid `paid` in.
async fn funded<S: LedgerStore>(store: &S, paid: u128) {
    let accounts = [CASH, INCOME, USER, REFUND].map(open_account);
    commit(store, accounts.into_iter().chain([Op::Transfer(post(200, CASH, USER, paid))])).await;
}

async fn balance<S: LedgerStore>(store: &S, n: u8) -> (u128, u128) {
    let row = store.account(account(n)).await.unwrap().expect("an account that was opened");
    (row.balance.minor_units(), row.held.minor_units())
}

/// The journal is whole, and its head is the one that the store states.
async fn audit<S: LedgerStore>(store: &S) -> Head {
    let head = store.head().await.unwrap();
    let mut verifier = Verifier::from(Head::default());
    loop {
        let entries = store.journal(None, verifier.head().entries, 7).await.unwrap();
        if entries.is_empty() {
            break;
        }
        entries.iter().for_each(|entry| verifier.take(entry).expect("an unbroken journal"));
    }
    verifier.finish(&head).expect("a journal that ends at its head");
    head
}

fn pad_row(n: u8) -> PadRow {
    let generation = [n ^ 0x80; 16].into();
    PadRow {
        id: PadId::from([n; 16]),
        instance: [n ^ 0x40; 16].into(),
        mode: PadMode::PadOverAead,
        witnessed: false,
        account: None,
        refund: None,
        status: PadStatus::Open,
        lease: crate::Lease { epoch: 0, owner: None, until: UnixTime::default() },
        send: SendRow { lane: 1, generation, len: 10_000, from: 0, reserved: 0, batch: [0; 16].into() },
        receive: ReceiveRow {
            lane: 0,
            generation,
            len: 10_000,
            position: 0,
            seq: 0,
            ceiling_from: 0,
            ceiling: 0,
            batch: [0; 16].into(),
        },
    }
}

/// Attaches a pad for owner `n` and gives the fence.
async fn attach<S: LedgerStore>(store: &S, row: &PadRow, n: u8) -> Fence {
    let op = Op::Attach {
        pad: row.id,
        instance: row.instance,
        owner: [n; 16].into(),
        until: NOW,
        takeover: false,
    };
    let outcomes = commit(store, [op]).await;
    let [Outcome::Attached(attached)] = outcomes.as_slice() else { panic!("attached, not {outcomes:?}") };
    assert_eq!(
        store.pad(row.id).await.unwrap().as_ref(),
        Some(&**attached),
        "what attach gives is what is stored"
    );
    Fence { pad: row.id, epoch: attached.lease.epoch }
}

/// Polls all of them until each is done.
async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        for (future, output) in &mut waiting {
            if output.is_none()
                && let Poll::Ready(done) = future.as_mut().poll(cx)
            {
                *output = Some(done);
            }
        }
        if waiting.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}
