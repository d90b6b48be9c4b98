use super::*;
use crate::{OutboxEntry, OutboxId};

pub(super) async fn transfers<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    assert_eq!(store.account(account(USER)).await.unwrap(), None, "an empty ledger has no account");
    assert_eq!(store.head().await.unwrap(), Head::default(), "an empty ledger has an empty journal");
    funded(&store, 500).await;
    assert_eq!(commit(&store, [open_account(USER)]).await, [Outcome::AlreadyExists]);
    let wrong = Op::OpenAccount { id: account(USER), side: Side::Debit };
    assert_eq!(refused(&store, [wrong]).await, (0, Refusal::Conflict([USER; 16])));

    let fee = post(10, USER, INCOME, 30);
    assert_eq!(commit(&store, [Op::Transfer(fee.clone())]).await, [Outcome::Created]);
    assert_eq!(commit(&store, [Op::Transfer(fee.clone())]).await, [Outcome::AlreadyExists], "a repeated id");
    let differs = Op::Transfer(post(10, USER, INCOME, 31));
    assert_eq!(refused(&store, [differs]).await, (0, Refusal::Conflict([10; 16])));

    let store = reopen(store).await;
    assert_eq!(balance(&store, USER).await, (470, 0));
    assert_eq!(balance(&store, INCOME).await, (30, 0));
    assert_eq!(balance(&store, CASH).await, (500, 0));
    let row = store.transfer(fee.id).await.unwrap().expect("a transfer that was applied");
    assert_eq!((row.transfer, row.at, row.resolved_by), (fee, NOW, None));
    // Money goes out again: a debit-side account is credited.
    commit(&store, [Op::Transfer(post(11, INCOME, CASH, 30))]).await;
    assert_eq!(balance(&store, CASH).await, (470, 0));
    assert_eq!(audit(&store).await.entries, 7);
}

pub(super) async fn refusals_change_nothing<S: LedgerStore>(store: S) {
    funded(&store, 100).await;
    let head = audit(&store).await;
    let first = || Op::Transfer(post(10, USER, INCOME, 60));
    let cases = [
        (
            post(11, USER, INCOME, 41),
            Refusal::Insufficient { account: account(USER), available: Amount::new(40) },
        ),
        (
            post(11, INCOME, CASH, 101),
            Refusal::Insufficient { account: account(INCOME), available: Amount::new(60) },
        ),
        (post(11, USER, 99, 1), Refusal::NoSuchAccount(account(99))),
        (post(11, USER, USER, 1), Refusal::SameAccount(account(USER))),
        (post(11, USER, INCOME, 0), Refusal::InvalidTransfer(transfer(11))),
        (post(11, CASH, USER, u128::MAX), Refusal::Overflow(account(CASH))),
        (Transfer::release(transfer(11), &post(10, USER, INCOME, 60)), Refusal::NoSuchHold(transfer(10))),
    ];
    for (second, why) in cases {
        assert_eq!(refused(&store, [first(), Op::Transfer(second)]).await, (1, why));
    }
    let many = (0..=Batch::MAX_OPS).map(|_| open_account(9));
    assert_eq!(refused(&store, many).await, (Batch::MAX_OPS, Refusal::TooLarge));
    assert_eq!(store.transfer(transfer(10)).await.unwrap(), None, "a refused batch leaves nothing behind");
    assert_eq!(balance(&store, USER).await, (100, 0));
    assert_eq!(audit(&store).await, head);
}

pub(super) async fn holds<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    funded(&store, 100).await;
    let soon = UnixTime::from_secs(NOW.as_secs() + 60);
    let hold = |n, amount| Transfer::hold(transfer(n), account(USER), account(INCOME), Amount::new(amount));
    let (a, b, c) = (hold(10, 50), hold(11, 30), hold(12, 20).expiring(soon));
    commit(&store, [a.clone(), b.clone(), c.clone()].map(Op::Transfer)).await;
    assert_eq!(balance(&store, USER).await, (100, 100));
    let nothing_left = Refusal::Insufficient { account: account(USER), available: Amount::ZERO };
    assert_eq!(refused(&store, [Op::Transfer(post(13, USER, INCOME, 1))]).await, (0, nothing_left));

    let store = reopen(store).await;
    let above = Transfer::capture(transfer(14), &a, Amount::new(51));
    assert_eq!(
        refused(&store, [Op::Transfer(above)]).await,
        (0, Refusal::AboveHold { held: Amount::new(50) })
    );
    let capture = Transfer::capture(transfer(14), &a, Amount::new(20));
    assert_eq!(commit(&store, [Op::Transfer(capture.clone())]).await, [Outcome::Created]);
    assert_eq!(balance(&store, USER).await, (80, 50), "what was not captured is available again");
    assert_eq!(balance(&store, INCOME).await, (20, 0));
    assert_eq!(commit(&store, [Op::Transfer(capture)]).await, [Outcome::AlreadyExists]);
    let release = |n, hold| Op::Transfer(Transfer::release(transfer(n), hold));
    assert_eq!(
        refused(&store, [release(15, &a)]).await,
        (0, Refusal::Resolved(transfer(14))),
        "resolved once"
    );
    assert_eq!(store.transfer(a.id).await.unwrap().unwrap().resolved_by, Some(transfer(14)));
    commit(&store, [release(15, &b)]).await;
    assert_eq!(balance(&store, USER).await, (80, 20));

    let expire = || Op::Transfer(Transfer::expire(transfer(16), &c));
    assert_eq!(refused(&store, [expire()]).await, (0, Refusal::TooEarly { at: soon }));
    assert_eq!(store.due(NOW, 9).await.unwrap(), []);
    let due = store.due(soon, 9).await.unwrap();
    assert_eq!(due.iter().map(|row| &row.transfer).collect::<Vec<_>>(), [&c]);
    let late = Op::Transfer(Transfer::capture(transfer(17), &c, Amount::new(20)));
    match store.commit(batch_at(soon, [late])).await {
        Err(CommitError::Refused(refused)) => assert_eq!(refused.why, Refusal::Expired { at: soon }),
        other => panic!("an expired hold cannot be captured, but {other:?}"),
    }
    store.commit(batch_at(soon, [expire()])).await.expect("expired");
    assert_eq!(balance(&store, USER).await, (80, 0));
    assert_eq!(store.due(soon, 9).await.unwrap(), [], "a resolved hold is not due");
    audit(&store).await;
}

pub(super) async fn deposits<S: LedgerStore>(store: S) {
    funded(&store, 100).await;
    let day = UnixTime::from_secs(NOW.as_secs() + 86_400);
    let deposit = Transfer::hold(transfer(10), account(USER), account(REFUND), Amount::new(70)).maturing(day);
    commit(&store, [Op::Transfer(deposit.clone())]).await;
    let release = Op::Transfer(Transfer::release(transfer(11), &deposit));
    assert_eq!(refused(&store, [release]).await, (0, Refusal::Deposit(transfer(10))));
    let capture = || Op::Transfer(Transfer::capture(transfer(11), &deposit, Amount::new(70)));
    assert_eq!(refused(&store, [capture()]).await, (0, Refusal::TooEarly { at: day }));
    assert_eq!(store.due(day, 9).await.unwrap().len(), 1);
    store.commit(batch_at(day, [capture()])).await.expect("paid back on its day");
    assert_eq!((balance(&store, USER).await, balance(&store, REFUND).await), ((30, 0), (70, 0)));
}

pub(super) async fn extremes<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    // Every value that the types can say comes back as it was, and in order.
    funded(&store, u128::MAX - 2).await;
    let far = Transfer::hold(transfer(10), account(USER), account(INCOME), Amount::new(1 << 100))
        .expiring(Batch::MAX_TIME)
        .referring_to([0xff; 16]);
    let beyond = UnixTime::from_secs(Batch::MAX_TIME.as_secs() + 1);
    let never = Transfer { id: transfer(11), expires: Some(beyond), ..far.clone() };
    assert_eq!(refused(&store, [Op::Transfer(never)]).await, (0, Refusal::TooLarge));
    commit(&store, [Op::Transfer(far.clone())]).await;
    let over = Op::Transfer(post(12, CASH, USER, 3));
    assert_eq!(refused(&store, [over]).await, (0, Refusal::Overflow(account(CASH))));
    let store = reopen(store).await;
    assert_eq!(balance(&store, USER).await, (u128::MAX - 2, 1 << 100));
    assert_eq!(store.transfer(far.id).await.unwrap().unwrap().transfer, far);
    assert_eq!(store.due(NOW, 9).await.unwrap(), []);
    assert_eq!(store.due(Batch::MAX_TIME, 9).await.unwrap().len(), 1);
    audit(&store).await;
}

pub(super) async fn many_at_once<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    funded(&store, 20).await;
    // Forty want one unit each, every id twice; there are twenty.
    let one = |n: u8| store.commit(batch([Op::Transfer(post(n % 40, USER, INCOME, 1))]));
    let results = all((0..80).map(one)).await;
    let created = results.iter().filter(|result| matches!(result, Ok(o) if o[0] == Outcome::Created)).count();
    let again =
        results.iter().filter(|result| matches!(result, Ok(o) if o[0] == Outcome::AlreadyExists)).count();
    let poor = Refusal::Insufficient { account: account(USER), available: Amount::ZERO };
    let refused = results
        .iter()
        .filter(|result| matches!(result, Err(CommitError::Refused(refused)) if refused.why == poor))
        .count();
    assert_eq!((created, again, refused), (20, 20, 40), "each is judged alone, in one order");
    let store = reopen(store).await;
    assert_eq!((balance(&store, USER).await, balance(&store, INCOME).await), ((0, 0), (20, 0)));
    assert_eq!(audit(&store).await.entries, 25);
}

pub(super) async fn outbox<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    let entry = |n: u8| OutboxEntry { id: OutboxId::from([n; 16]), payload: [n; 5].to_vec() };
    for n in [3, 1, 2] {
        assert_eq!(commit(&store, [Op::Enqueue(entry(n))]).await, [Outcome::Created]);
    }
    assert_eq!(commit(&store, [Op::Enqueue(entry(1))]).await, [Outcome::AlreadyExists]);
    let other = OutboxEntry { payload: Vec::new(), ..entry(1) };
    assert_eq!(refused(&store, [Op::Enqueue(other)]).await, (0, Refusal::Conflict([1; 16])));
    let long = OutboxEntry { id: [9; 16].into(), payload: alloc::vec![0; OutboxEntry::MAX_PAYLOAD + 1] };
    assert_eq!(refused(&store, [Op::Enqueue(long)]).await, (0, Refusal::TooLarge));
    let store = reopen(store).await;
    assert_eq!(store.outbox(2).await.unwrap(), [entry(3), entry(1)], "oldest first");
    commit(&store, [Op::Dequeue(entry(3).id)]).await;
    commit(&store, [Op::Dequeue(entry(3).id)]).await;
    assert_eq!(store.outbox(9).await.unwrap(), [entry(1), entry(2)]);
}

pub(super) async fn statements<S: LedgerStore>(store: S) {
    funded(&store, 100).await;
    commit(&store, (10..20).map(|n| Op::Transfer(post(n, USER, INCOME, 1)))).await;
    commit(&store, [Op::Transfer(post(20, CASH, REFUND, 7))]).await;
    let numbers = async |account, after, limit| {
        let entries = store.journal(account, after, limit).await.unwrap();
        entries.iter().map(|entry| entry.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(Some(account(USER)), 0, 3).await, [3, 5, 6], "opened, paid in, first fee");
    assert_eq!(numbers(Some(account(USER)), 14, 99).await, [15]);
    assert_eq!(numbers(Some(account(REFUND)), 0, 99).await, [4, 16]);
    assert!(numbers(Some(account(99)), 0, 99).await.is_empty());
    assert_eq!(numbers(None, 14, 99).await, [15, 16]);
    assert!(numbers(None, u64::MAX, 99).await.is_empty());
    audit(&store).await;
}
