//! What becomes of the value of a pad that ended, wherever its refund account has gone since.

use symbolon_keys::UnixTime;
use symbolon_ledger::{
    AccountId, Amount, Batch, CommitError, Event, Fence, Lease, LedgerStore, MemoryStore, Op, PadId, PadMode,
    PadRow, PadStatus, ReceiveRow, Refusal, SendRow, Side, Transfer, TransferId,
};

const CASH: u8 = 0;

fn account(n: u8) -> AccountId {
    AccountId::new([n; 16])
}

/// A pad whose value is in `account(n)`, and goes to `account(refund)`.
fn pad(n: u8, refund: u8) -> PadRow {
    let (generation, batch) = ([0; 16].into(), [0; 16].into());
    let (position, ceiling_from, ceiling) = (0, 0, 0);
    PadRow {
        id: PadId::new([n; 16]),
        instance: [n; 16].into(),
        mode: PadMode::PadOnly,
        witnessed: false,
        account: Some(account(n)),
        refund: Some(account(refund)),
        status: PadStatus::Open,
        lease: Lease { epoch: 0, owner: None, until: UnixTime::default() },
        send: SendRow { lane: 0, generation, len: 1600, from: 0, reserved: 0, batch },
        receive: ReceiveRow {
            lane: 1,
            generation,
            len: 1600,
            position,
            seq: 0,
            ceiling_from,
            ceiling,
            batch,
        },
    }
}

async fn commit(store: &MemoryStore, ops: impl IntoIterator<Item = Op>) {
    store.commit(ops.into_iter().fold(Batch::new(UnixTime::from_secs(1)), Batch::with)).await.unwrap();
}

fn post(n: u8, from: u8, to: u8, amount: u128) -> Op {
    Op::Transfer(Transfer::post(TransferId::new([n; 16]), account(from), account(to), Amount::new(amount)))
}

/// Four accounts, ten units in each of the first three.
async fn books() -> MemoryStore {
    let store = MemoryStore::new();
    let open =
        |n| Op::OpenAccount { id: account(n), side: if n == CASH { Side::Debit } else { Side::Credit } };
    commit(&store, (CASH..=4).map(open)).await;
    commit(&store, (1..=3).map(|n| post(100 + n, CASH, n, 10))).await;
    store
}

async fn sold(store: &MemoryStore, row: PadRow) -> Fence {
    let (pad, instance) = (row.id, row.instance);
    let until = UnixTime::default();
    let attach = Op::Attach { pad, instance, owner: [7; 16].into(), until, takeover: true };
    commit(store, [Op::Provision(row), attach]).await;
    Fence { pad, epoch: 1 }
}

fn close(fence: Fence) -> Op {
    Op::Close { fence, status: PadStatus::Closed }
}

/// Balances of accounts 1 to 4, and which of them are closed.
async fn now(store: &MemoryStore) -> ([u128; 4], [bool; 4]) {
    let (mut balances, mut closed) = ([0; 4], [false; 4]);
    for (n, at) in (1..=4).zip(0..) {
        let row = store.account(account(n)).await.unwrap().unwrap();
        (balances[at], closed[at]) = (row.balance.minor_units(), row.closed);
    }
    assert_eq!(balances.iter().sum::<u128>(), 30, "value was created or lost");
    (balances, closed)
}

// proves L3
#[tokio::test]
async fn a_refund_account_that_was_bound_since() {
    // The refund account has become the value of a second pad: it is worth that much more.
    let store = books().await;
    let first = sold(&store, pad(1, 2)).await;
    let second = sold(&store, pad(2, 4)).await;
    commit(&store, [close(first)]).await;
    assert_eq!(now(&store).await, ([0, 20, 10, 0], [true, false, false, false]));
    commit(&store, [close(second)]).await;
    assert_eq!(now(&store).await, ([0, 0, 10, 20], [true, true, false, false]));
}

#[tokio::test]
async fn a_refund_account_that_was_closed_since() {
    // The second pad ended first, and its account with it: what is left of the first stays, in an open account.
    let store = books().await;
    let first = sold(&store, pad(1, 2)).await;
    let second = sold(&store, pad(2, 4)).await;
    commit(&store, [close(second)]).await;
    commit(&store, [close(first)]).await;
    assert_eq!(now(&store).await, ([10, 0, 10, 10], [false, true, false, false]));
    commit(&store, [post(50, 1, 3, 10)]).await;
    assert_eq!(now(&store).await, ([0, 0, 20, 10], [true, true, false, false]), "it can be paid out");
}

#[tokio::test]
async fn what_was_held_comes_free_after_the_refund_account_was_closed() {
    let store = books().await;
    let first = sold(&store, pad(1, 2)).await;
    let hold = Transfer::hold(TransferId::new([60; 16]), account(1), account(3), Amount::new(6));
    commit(&store, [Op::Transfer(hold.clone()), close(first)]).await;
    assert_eq!(now(&store).await, ([6, 14, 10, 0], [true, false, false, false]));
    let refused = store.commit(Batch::new(UnixTime::from_secs(1)).with(post(61, 1, 3, 1))).await;
    let closed = Refusal::AccountClosed(account(1));
    assert!(matches!(refused, Err(CommitError::Refused(refused)) if refused.why == closed));
    let second = sold(&store, pad(2, 4)).await;
    commit(&store, [close(second)]).await;
    let release = Transfer::release(TransferId::new([62; 16]), &hold);
    commit(&store, [Op::Transfer(release)]).await;
    assert_eq!(now(&store).await, ([6, 0, 10, 14], [false, true, false, false]), "open again, not stuck");
    commit(&store, [post(63, 1, 4, 6)]).await;
    assert_eq!(now(&store).await, ([0, 0, 10, 20], [true, true, false, false]));
}

#[tokio::test]
async fn a_refund_goes_on_through_a_pad_that_could_not_pay_back() {
    // The second pad has ended, and its account is open only because its refund account (the third) is closed.
    let store = books().await;
    let first = sold(&store, pad(1, 2)).await;
    let second = sold(&store, pad(2, 3)).await;
    let third = sold(&store, pad(3, 4)).await;
    commit(&store, [close(third)]).await;
    commit(&store, [close(second)]).await;
    assert_eq!(now(&store).await, ([10, 10, 0, 10], [false, false, true, false]));
    commit(&store, [close(first)]).await;
    assert_eq!(now(&store).await, ([0, 20, 0, 10], [true, false, true, false]));
    commit(&store, [post(70, 2, 4, 20)]).await;
    assert_eq!(now(&store).await, ([0, 0, 0, 30], [true, true, true, false]));
    let journal = store.journal(None, 0, 99).await.unwrap();
    let paid = journal.iter().filter(|entry| matches!(entry.event, Event::Transfer(_))).count();
    assert_eq!(paid, 3 + 2 + 1, "three payments, two refunds, one by hand");
}

#[tokio::test]
async fn a_refund_goes_on_in_the_same_commit() {
    // The second pad ended when its refund account was full.
    let store = books().await;
    let (first, second) = (sold(&store, pad(1, 2)).await, sold(&store, pad(2, 4)).await);
    let side = Side::Debit;
    let full = Transfer::post(TransferId::new([80; 16]), account(5), account(4), Amount::new(u128::MAX));
    commit(&store, [Op::OpenAccount { id: account(5), side }, Op::Transfer(full)]).await;
    commit(&store, [close(second)]).await;
    let rest = Transfer::post(TransferId::new([81; 16]), account(4), account(5), Amount::new(u128::MAX));
    commit(&store, [Op::Transfer(rest)]).await;
    assert_eq!(now(&store).await, ([10, 10, 10, 0], [false, false, false, false]));
    commit(&store, [close(first)]).await;
    assert_eq!(now(&store).await, ([0, 0, 10, 20], [true, true, false, false]), "by way of the second");
}

#[tokio::test]
async fn a_refund_goes_on_whatever_the_ids_are() {
    // Both end in one batch; the first refunds to the second.
    for (one, two) in [(1, 9), (9, 1)] {
        for reversed in [false, true] {
            let store = books().await;
            let first = sold(&store, PadRow { id: PadId::new([one; 16]), ..pad(1, 2) }).await;
            let second = sold(&store, PadRow { id: PadId::new([two; 16]), ..pad(2, 4) }).await;
            let mut ends = [close(first), close(second)];
            if reversed {
                ends.reverse();
            }
            commit(&store, ends).await;
            assert_eq!(now(&store).await, ([0, 0, 10, 20], [true, true, false, false]), "{one} {two}");
        }
    }
}

#[tokio::test]
async fn two_refunds_meet_before_they_go_on() {
    for ids in [[1, 2, 3], [1, 3, 2], [2, 3, 1], [3, 2, 1]] {
        let store = books().await;
        let mut ends = Vec::new();
        for (row, id) in [pad(1, 3), pad(2, 3), pad(3, 4)].into_iter().zip(ids) {
            ends.push(close(sold(&store, PadRow { id: PadId::new([id; 16]), ..row }).await));
        }
        commit(&store, ends).await;
        assert_eq!(now(&store).await, ([0, 0, 0, 30], [true, true, true, false]), "{ids:?}");
    }
}
