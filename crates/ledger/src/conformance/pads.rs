use super::*;
use crate::{BatchId, Generation, Instance, RequestId};

fn request(n: u8) -> RequestId {
    RequestId::from([n; 16])
}

fn reserve(fence: Fence, row: &PadRow, from: u64, to: u64) -> Op {
    Op::Reserve { fence, generation: row.send.generation, from, to, batch: BatchId::from([7; 16]) }
}

fn claim(fence: Fence, row: &PadRow, from: u64, to: u64, n: u8) -> Op {
    Op::Claim { fence, generation: row.receive.generation, from, to, seq: None, request: request(n) }
}

async fn stored<S: LedgerStore>(store: &S, row: &PadRow) -> PadRow {
    store.pad(row.id).await.unwrap().expect("a pad that was provisioned")
}

pub(super) async fn provisioned_once<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    let rows = [9, 1, 200].map(pad_row);
    assert_eq!(store.pad(rows[0].id).await.unwrap(), None);
    commit(&store, rows.clone().map(Op::Provision)).await;
    assert_eq!(refused(&store, [Op::Provision(pad_row(9))]).await, (0, Refusal::PadExists(rows[0].id)));
    let used = PadRow { send: SendRow { reserved: 1, ..pad_row(5).send }, ..pad_row(5) };
    assert_eq!(refused(&store, [Op::Provision(used)]).await, (0, Refusal::InvalidPad));
    let store = reopen(store).await;
    assert_eq!(stored(&store, &rows[0]).await, rows[0]);
    let ids = async |after, limit| {
        store.pads(after, limit).await.unwrap().iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 2).await, [rows[1].id, rows[0].id], "in the order of their ids");
    assert_eq!(ids(Some(rows[0].id), 9).await, [rows[2].id]);
    assert_eq!(ids(Some(rows[2].id), 9).await, []);
}

pub(super) async fn owners<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    let row = pad_row(1);
    let take = |instance, n: u8, until, takeover| Op::Attach {
        pad: row.id,
        instance,
        owner: [n; 16].into(),
        until: UnixTime::from_secs(until),
        takeover,
    };
    let later = NOW.as_secs() + 100;
    assert_eq!(refused(&store, [take(row.instance, 1, later, false)]).await, (0, Refusal::NoSuchPad(row.id)));
    commit(&store, [Op::Provision(row.clone())]).await;
    let other = take(Instance::from([0; 16]), 1, later, true);
    assert_eq!(refused(&store, [other]).await, (0, Refusal::OtherInstance));
    commit(&store, [take(row.instance, 1, later, false)]).await;
    let first = Fence { pad: row.id, epoch: 1 };
    commit(&store, [reserve(first, &row, 0, 100)]).await;

    let store = reopen(store).await;
    let leased = Refusal::Leased { until: UnixTime::from_secs(later) };
    assert_eq!(refused(&store, [take(row.instance, 2, later, false)]).await, (0, leased));
    commit(&store, [take(row.instance, 2, later, true)]).await;
    assert_eq!(refused(&store, [reserve(first, &row, 100, 200)]).await, (0, Refusal::Fenced { epoch: 2 }));
    assert_eq!(refused(&store, [claim(first, &row, 0, 9, 1)]).await, (0, Refusal::Fenced { epoch: 2 }));
    assert_eq!(refused(&store, [Op::Check { fence: first }]).await, (0, Refusal::Fenced { epoch: 2 }));
    let second = Fence { pad: row.id, epoch: 2 };
    assert_eq!(commit(&store, [Op::Check { fence: second }]).await, [Outcome::Created]);
    commit(&store, [Op::Renew { fence: second, until: Batch::MAX_TIME }, Op::Detach { fence: second }]).await;
    assert_eq!(refused(&store, [reserve(second, &row, 100, 200)]).await, (0, Refusal::Fenced { epoch: 2 }));
    commit(&store, [take(row.instance, 3, later, false)]).await;
    assert_eq!(stored(&store, &row).await.send.reserved, 100, "what the first owner reserved stays used");
}

pub(super) async fn positions<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    let mut row = pad_row(1);
    row.receive.len = 1 << 40;
    commit(&store, [Op::Provision(row.clone())]).await;
    let fence = attach(&store, &row, 1).await;
    commit(&store, [reserve(fence, &row, 0, 100)]).await;
    let store = reopen(store).await;
    for (from, to) in [(0, 100), (99, 200), (101, 200), (100, 100), (100, 10_001), (100, 50)] {
        let why = refused(&store, [reserve(fence, &row, from, to)]).await;
        assert_eq!(why, (0, Refusal::NotNext { reserved: 100 }), "{from}..{to}");
    }
    commit(&store, [reserve(fence, &row, 100, 10_000)]).await;

    commit(&store, [claim(fence, &row, 0, 500, 1)]).await;
    let store = reopen(store).await;
    for (from, to, n) in [(0, 500, 1), (0, 500, 2), (499, 700, 2), (600, 700, 1)] {
        let why = refused(&store, [claim(fence, &row, from, to, n)]).await;
        assert_eq!(why, (0, Refusal::Replayed { position: 500 }), "{from}..{to}");
    }
    let limit = 500 + row.mode.max_gap();
    let far = refused(&store, [claim(fence, &row, limit + 1, limit + 200, 2)]).await;
    assert_eq!(far, (0, Refusal::TooFarAhead { limit }));
    let end = refused(&store, [claim(fence, &row, 500, (1 << 40) + 1, 2)]).await;
    assert_eq!(end, (0, Refusal::TooFarAhead { limit: 1 << 40 }));
    let other = Op::Claim {
        fence,
        generation: Generation::from([0; 16]),
        from: 500,
        to: 600,
        seq: None,
        request: request(2),
    };
    assert_eq!(refused(&store, [other]).await, (0, Refusal::OtherGeneration));
    commit(&store, [claim(fence, &row, limit, limit + 200, 2)]).await;
    let now = stored(&store, &row).await;
    assert_eq!((now.send.reserved, now.receive.position), (10_000, limit + 200));
    for (position, expected) in [(limit, limit + 200), (1 << 39, 1 << 39)] {
        commit(&store, [Op::Resync { fence, position }]).await;
        assert_eq!(stored(&store, &row).await.receive.position, expected, "a position never sinks");
    }
    assert_eq!(audit(&store).await.entries, 1, "positions are no matter of the journal");
}

pub(super) async fn key_sequences<S: LedgerStore>(store: S) {
    let row = PadRow { mode: PadMode::KeySequence, ..pad_row(1) };
    commit(&store, [Op::Provision(row.clone())]).await;
    let fence = attach(&store, &row, 1).await;
    let claim = |index, seq, n| Op::Claim {
        fence,
        generation: row.receive.generation,
        from: index,
        to: index,
        seq: Some(seq),
        request: request(n),
    };
    for (n, (index, seq)) in [(0, 0), (0, 1), (0, 5), (2, 0), (2, u32::MAX - 1)].into_iter().enumerate() {
        commit(&store, [claim(index, seq, u8::try_from(n).unwrap())]).await;
    }
    for (index, seq) in [(2, u32::MAX - 1), (2, 0), (1, 9), (0, 6)] {
        assert_eq!(refused(&store, [claim(index, seq, 99)]).await, (0, Refusal::Replayed { position: 2 }));
    }
    assert_eq!(refused(&store, [claim(2, u32::MAX, 99)]).await.0, 0, "a key ends before its numbers do");
    assert_eq!(refused(&store, [claim(10_000, 0, 99)]).await, (0, Refusal::TooFarAhead { limit: 10_000 }));
}

pub(super) async fn answers<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    funded(&store, 10).await;
    let row = PadRow { account: Some(account(USER)), refund: Some(account(REFUND)), ..pad_row(1) };
    commit(&store, [Op::Provision(row.clone())]).await;
    let fence = attach(&store, &row, 1).await;
    commit(&store, [claim(fence, &row, 0, 100, 1)]).await;
    assert_eq!(
        store.request(row.id, request(1)).await.unwrap().unwrap().reply,
        None,
        "received, not answered"
    );
    let answer = |n, frame: &[u8]| Op::Answer { fence, request: request(n), frame: frame.to_vec() };
    assert_eq!(refused(&store, [answer(2, b"x")]).await, (0, Refusal::NoSuchRequest(request(2))));
    let dear = Op::Transfer(post(20, USER, INCOME, 11));
    assert_eq!(refused(&store, [answer(1, b"42"), dear]).await.0, 1);
    assert_eq!(store.request(row.id, request(1)).await.unwrap().unwrap().reply, None, "no fee, no answer");
    let fee = || Op::Transfer(post(21, USER, INCOME, 4));
    assert_eq!(commit(&store, [answer(1, b"42"), fee()]).await, [Outcome::Created, Outcome::Created]);
    let store = reopen(store).await;
    let again = commit(&store, [answer(1, b"42"), fee()]).await;
    assert_eq!(again, [Outcome::AlreadyExists, Outcome::AlreadyExists], "asked again by id");
    assert_eq!(refused(&store, [answer(1, b"43")]).await, (0, Refusal::Answered(request(1))));
    let row = store.request(row.id, request(1)).await.unwrap().unwrap();
    assert_eq!((row.reply.as_deref(), row.end), (Some(&b"42"[..]), 100));
    assert_eq!(
        store.request(PadId::from([2; 16]), request(1)).await.unwrap(),
        None,
        "requests belong to a pad"
    );
    assert_eq!(balance(&store, USER).await, (6, 0));
}

pub(super) async fn unanswered<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    let (row, other) = (pad_row(1), pad_row(2));
    commit(&store, [Op::Provision(row.clone()), Op::Provision(other.clone())]).await;
    let (fence, elsewhere) = (attach(&store, &row, 1).await, attach(&store, &other, 1).await);
    commit(&store, [claim(elsewhere, &other, 0, 100, 1)]).await;
    // In the order of the lane, whatever their ids.
    for (n, place) in [9, 3, 5, 7].into_iter().zip(0_u64..) {
        commit(&store, [claim(fence, &row, place * 100, (place + 1) * 100, n)]).await;
    }
    commit(&store, [Op::Answer { fence, request: request(5), frame: [1].to_vec() }]).await;
    let store = reopen(store).await;
    let list = async |after, limit| {
        let rows = store.unanswered(row.id, after, limit).await.unwrap();
        assert!(rows.iter().all(|found| found.pad == row.id && found.reply.is_none()));
        rows.into_iter().map(|found| (found.end, found.id)).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 9).await, [(100, request(9)), (200, request(3)), (400, request(7))]);
    assert_eq!(list(None, 1).await, [(100, request(9))]);
    assert_eq!(list(Some((100, request(9))), 1).await, [(200, request(3))]);
    assert_eq!(
        list(Some((100, request(8))), 1).await,
        [(100, request(9))],
        "a place in the order, not a row"
    );
    assert_eq!(list(Some((400, request(7))), 9).await, []);
    assert_eq!(store.unanswered(PadId::from([3; 16]), None, 9).await.unwrap(), []);
    // One that was answered keeps its answer; one that will not be is gone, and stays received.
    let dismiss = |n| Op::Dismiss { fence, request: request(n) };
    assert_eq!(refused(&store, [dismiss(5)]).await, (0, Refusal::Answered(request(5))));
    let answered = Op::Answer { fence, request: request(3), frame: [1].to_vec() };
    assert_eq!(refused(&store, [dismiss(3), answered]).await, (1, Refusal::NoSuchRequest(request(3))));
    assert_eq!(commit(&store, [dismiss(3), dismiss(3)]).await, [Outcome::Created, Outcome::AlreadyExists]);
    assert_eq!(list(None, 9).await, [(100, request(9)), (400, request(7))]);
    let again = refused(&store, [claim(fence, &row, 100, 200, 3)]).await;
    assert_eq!(again, (0, Refusal::Replayed { position: 400 }));
}

pub(super) async fn forgetting<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    let mut row = pad_row(1);
    row.receive.len = 1 << 40;
    let keys = PadRow { mode: PadMode::KeySequence, ..pad_row(2) };
    commit(&store, [Op::Provision(row.clone()), Op::Provision(keys.clone())]).await;
    let (fence, sequence) = (attach(&store, &row, 1).await, attach(&store, &keys, 1).await);
    let forget = || Op::Forget { fence };
    let forgotten = |requests| [Outcome::Forgotten { requests }];
    let answer = |n| Op::Answer { fence, request: request(n), frame: [n].to_vec() };
    let remembered = async |store: &S, n| store.request(row.id, request(n)).await.unwrap().is_some();
    let far = row.mode.max_repeat();
    commit(&store, [claim(fence, &row, 0, 100, 1), claim(fence, &row, 100, 200, 2), answer(1)]).await;
    commit(&store, [claim(fence, &row, 200, 100 + far, 3)]).await;
    assert_eq!(commit(&store, [forget()]).await, forgotten(0), "the peer may have got this far unheard");
    // Judged where the same batch leads to; asked twice, counted once.
    let next = claim(fence, &row, 100 + far, 101 + far, 4);
    let outcomes = commit(&store, [next, forget(), forget()]).await;
    assert_eq!(outcomes[1..], [forgotten(1), forgotten(0)].concat());
    let store = reopen(store).await;
    assert!(!remembered(&store, 1).await, "answer and all");
    assert!(remembered(&store, 2).await && remembered(&store, 3).await);
    assert_eq!(refused(&store, [answer(1)]).await, (0, Refusal::NoSuchRequest(request(1))));
    let again = refused(&store, [claim(fence, &row, 0, 100, 1)]).await;
    assert_eq!(again, (0, Refusal::Replayed { position: 101 + far }), "forgotten is not new");
    let stranger = Fence { epoch: fence.epoch + 1, ..fence };
    assert_eq!(refused(&store, [Op::Forget { fence: stranger }]).await.0, 0);
    // Refused together with the rest of its batch.
    commit(&store, [claim(fence, &row, 101 + far, 300 + far, 5)]).await;
    assert_eq!(refused(&store, [forget(), answer(1)]).await.0, 1);
    assert!(remembered(&store, 2).await);
    // All of a pad that was closed, and of no other.
    let index = |index, seq, n| Op::Claim {
        fence: sequence,
        generation: keys.receive.generation,
        from: index,
        to: index,
        seq: Some(seq),
        request: request(n),
    };
    commit(&store, [index(0, 0, 1), index(0, 1, 2), index(keys.mode.max_repeat(), 0, 3)]).await;
    assert_eq!(commit(&store, [Op::Forget { fence: sequence }]).await, forgotten(0));
    commit(&store, [index(keys.mode.max_repeat() + 1, 0, 4)]).await;
    assert_eq!(commit(&store, [Op::Forget { fence: sequence }]).await, forgotten(2), "by their keys");
    commit(&store, [answer(5), Op::Close { fence, status: PadStatus::Closed }]).await;
    assert!(remembered(&store, 5).await, "not by itself");
    assert_eq!(commit(&store, [forget()]).await, forgotten(4));
    let store = reopen(store).await;
    assert_eq!(commit(&store, [forget()]).await, forgotten(0));
    // What the same batch answered goes as well.
    assert_eq!(store.unanswered(keys.id, None, 9).await.unwrap().len(), 2);
    let last = Op::Answer { fence: sequence, request: request(4), frame: [4].to_vec() };
    let end = Op::Close { fence: sequence, status: PadStatus::PadSpent };
    let outcomes = commit(&store, [last, end, Op::Forget { fence: sequence }]).await;
    assert_eq!(outcomes[2..3], forgotten(2));
    assert_eq!(store.request(keys.id, request(4)).await.unwrap(), None);
}

/// No more at once than one step may.
pub(super) async fn forgetting_much<S: LedgerStore>(store: S) {
    let row = pad_row(1);
    commit(&store, [Op::Provision(row.clone())]).await;
    let fence = attach(&store, &row, 1).await;
    let ids = (1..=1500_u64).map(|place| {
        let request = RequestId::from(u128::from(place).to_be_bytes());
        Op::Claim {
            fence,
            generation: row.receive.generation,
            from: place,
            to: place + 1,
            seq: None,
            request,
        }
    });
    let ids: Vec<_> = ids.collect();
    for some in ids.chunks(1000) {
        commit(&store, some.iter().cloned()).await;
    }
    commit(&store, [Op::Close { fence, status: PadStatus::Closed }]).await;
    for requests in [Batch::MAX_FORGOTTEN, 1500 - Batch::MAX_FORGOTTEN, 0] {
        assert_eq!(commit(&store, [Op::Forget { fence }]).await, [Outcome::Forgotten { requests }]);
    }
}

pub(super) async fn witness<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    let row = PadRow { witnessed: true, ..pad_row(1) };
    commit(&store, [Op::Provision(row.clone())]).await;
    let fence = attach(&store, &row, 1).await;
    let ceiling = |from, to, n: u8| Op::Ceiling {
        fence,
        generation: row.receive.generation,
        from,
        to,
        batch: BatchId::from([n; 16]),
    };
    let early = refused(&store, [claim(fence, &row, 0, 100, 1)]).await;
    assert_eq!(early, (0, Refusal::TooFarAhead { limit: 0 }), "nothing is accepted beyond the ceiling");
    assert_eq!(commit(&store, [ceiling(0, 150, 1)]).await, [Outcome::Created]);
    let store = reopen(store).await;
    assert_eq!(
        commit(&store, [ceiling(0, 150, 1)]).await,
        [Outcome::AlreadyExists],
        "a lost acknowledgement"
    );
    for (from, to, n) in [(0, 150, 2), (0, 160, 1), (149, 300, 2), (151, 300, 2), (150, 10_001, 2)] {
        assert_eq!(refused(&store, [ceiling(from, to, n)]).await, (0, Refusal::NotNext { reserved: 150 }));
    }
    commit(&store, [claim(fence, &row, 0, 100, 1)]).await;
    let beyond = refused(&store, [claim(fence, &row, 100, 151, 2)]).await;
    assert_eq!(beyond, (0, Refusal::TooFarAhead { limit: 150 }));
}

pub(super) async fn recovery<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    let row = pad_row(1);
    commit(&store, [Op::Provision(row.clone())]).await;
    let fence = attach(&store, &row, 1).await;
    commit(&store, [reserve(fence, &row, 0, 100)]).await;
    let status = PadStatus::RollbackSuspected;
    let halted = commit(&store, [Op::Close { fence, status }]).await;
    assert_eq!(halted, [Outcome::Created, Outcome::Ended { pad: row.id, status }]);
    assert_eq!(refused(&store, [reserve(fence, &row, 100, 200)]).await, (0, Refusal::NotOpen(status)));
    let (new, instance, batch) =
        (Generation::from([0xaa; 16]), Instance::from([0xbb; 16]), BatchId::from([0xcc; 16]));
    let store = reopen(store).await;
    commit(&store, [Op::Recover { fence, generation: new, instance, ceiling: 700, reserved: 650, batch }])
        .await;
    let now = stored(&store, &row).await;
    let expected = SendRow { generation: new, from: 700, reserved: 700, batch, ..row.send };
    assert_eq!((now.send, now.instance, now.status), (expected, instance, PadStatus::Open));
    assert_eq!(refused(&store, [reserve(fence, &row, 700, 800)]).await, (0, Refusal::OtherGeneration));

    let adopt = |old, from| Op::Adopt { fence, old, new, from };
    assert_eq!(
        refused(&store, [adopt(row.receive.generation, 5)]).await,
        (0, Refusal::NotNext { reserved: 0 })
    );
    assert_eq!(refused(&store, [adopt(Generation::from([1; 16]), 0)]).await, (0, Refusal::OtherGeneration));
    assert_eq!(commit(&store, [adopt(row.receive.generation, 0)]).await, [Outcome::Created]);
    assert_eq!(commit(&store, [adopt(row.receive.generation, 0)]).await, [Outcome::AlreadyExists]);
    assert_eq!(refused(&store, [claim(fence, &row, 0, 100, 1)]).await, (0, Refusal::OtherGeneration));
    audit(&store).await;
}

/// What an operator vouches for after a restore is no more than that.
pub(super) async fn reopening<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    funded(&store, 10).await;
    let row = PadRow { account: Some(account(USER)), refund: Some(account(REFUND)), ..pad_row(1) };
    let witnessed = PadRow { witnessed: true, ..pad_row(2) };
    commit(&store, [&row, &witnessed].map(|row| Op::Provision(row.clone()))).await;
    let (fence, other) = (attach(&store, &row, 1).await, attach(&store, &witnessed, 1).await);
    commit(&store, [reserve(fence, &row, 0, 100)]).await;
    let open = || Op::Reopen { fence };
    let before = audit(&store).await;
    assert_eq!(commit(&store, [open()]).await, [Outcome::AlreadyExists], "it is open");
    assert_eq!(audit(&store).await, before);
    let halt = |fence, status| Op::Close { fence, status };
    commit(&store, [halt(fence, PadStatus::WitnessRolledBack)]).await;
    let refusal = Refusal::NotOpen(PadStatus::WitnessRolledBack);
    assert_eq!(refused(&store, [open()]).await, (0, refusal), "not this way");
    let rolled_back = PadStatus::RollbackSuspected;
    commit(&store, [halt(fence, rolled_back), halt(other, rolled_back)]).await;
    let overruled = refused(&store, [Op::Reopen { fence: other }]).await;
    assert_eq!(overruled, (0, Refusal::NotOpen(rolled_back)), "a witness is asked, not overruled");

    let store = reopen(store).await;
    let stranger = Fence { epoch: fence.epoch + 1, ..fence };
    let fenced = Refusal::Fenced { epoch: fence.epoch };
    assert_eq!(refused(&store, [Op::Reopen { fence: stranger }]).await, (0, fenced));
    // All or nothing: what does not fit takes the opening back.
    let below = [open(), reserve(fence, &row, 0, 200)];
    assert_eq!(refused(&store, below).await, (1, Refusal::NotNext { reserved: 100 }));
    assert_eq!(stored(&store, &row).await.status, rolled_back);
    let before = audit(&store).await;
    commit(&store, [open(), reserve(fence, &row, 100, 300)]).await;
    let now = stored(&store, &row).await;
    assert_eq!((now.status, now.send.reserved), (PadStatus::Open, 300), "what was used stays used");
    let opened = crate::Event::Status { pad: row.id, status: PadStatus::Open };
    let written = store.journal(None, before.entries, 9).await.unwrap();
    assert_eq!(written.into_iter().map(|entry| entry.event).collect::<Vec<_>>(), [opened]);
    // What has ended, or has nothing left to pay with, stays at its end.
    let spend = Op::Transfer(post(20, USER, INCOME, 10));
    commit(&store, [halt(fence, rolled_back)]).await;
    commit(&store, [spend]).await;
    let spent = PadStatus::ValueSpent;
    let ended = Outcome::Ended { pad: row.id, status: spent };
    assert_eq!(commit(&store, [open()]).await, [Outcome::Created, ended]);
    assert_eq!(refused(&store, [open()]).await, (0, Refusal::NotOpen(spent)));
    audit(&store).await;
}

pub(super) async fn value_ends<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    funded(&store, 10).await;
    let row = PadRow { account: Some(account(USER)), refund: Some(account(REFUND)), ..pad_row(1) };
    let unfit = PadRow { refund: Some(account(CASH)), ..row.clone() };
    assert_eq!(refused(&store, [Op::Provision(unfit)]).await, (0, Refusal::AccountUnfit(account(CASH))));
    commit(&store, [Op::Provision(row.clone())]).await;
    let twice = PadRow { id: PadId::from([2; 16]), ..row.clone() };
    assert_eq!(refused(&store, [Op::Provision(twice)]).await, (0, Refusal::AccountUnfit(account(USER))));
    let fence = attach(&store, &row, 1).await;
    let last = [claim(fence, &row, 0, 100, 1), Op::Transfer(post(20, USER, INCOME, 10))];
    let status = PadStatus::ValueSpent;
    let ended = Outcome::Ended { pad: row.id, status };
    assert_eq!(commit(&store, last).await, [Outcome::Created, Outcome::Created, ended], "in the same commit");
    let store = reopen(store).await;
    assert_eq!(refused(&store, [reserve(fence, &row, 0, 100)]).await, (0, Refusal::NotOpen(status)));
    assert_eq!(stored(&store, &row).await.status, status);
    let more = Op::Transfer(post(21, CASH, USER, 10));
    assert_eq!(refused(&store, [more]).await, (0, Refusal::AccountClosed(account(USER))));
    attach(&store, &row, 2).await;
    audit(&store).await;
}

pub(super) async fn pad_ends<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    funded(&store, 10).await;
    let row = PadRow { account: Some(account(USER)), refund: Some(account(REFUND)), ..pad_row(1) };
    commit(&store, [Op::Provision(row.clone())]).await;
    let fence = attach(&store, &row, 1).await;
    let status = PadStatus::PadSpent;
    let close = || Op::Close { fence, status };
    let outcomes = commit(&store, [Op::Transfer(post(20, USER, INCOME, 3)), close()]).await;
    assert_eq!(outcomes.last(), Some(&Outcome::Ended { pad: row.id, status }));
    let store = reopen(store).await;
    assert_eq!(commit(&store, [close()]).await, [Outcome::AlreadyExists]);
    assert_eq!(refused(&store, [Op::Check { fence }]).await, (0, Refusal::NotOpen(status)));
    assert_eq!(
        (balance(&store, USER).await, balance(&store, REFUND).await),
        ((0, 0), (7, 0)),
        "the rest goes back"
    );
    assert!(store.account(account(USER)).await.unwrap().unwrap().closed);
    let statement = store.journal(Some(account(REFUND)), 0, 99).await.unwrap();
    assert!(
        matches!(&statement.last().unwrap().event, crate::Event::Transfer(t) if t.amount == Amount::new(7))
    );
    audit(&store).await;
}

pub(super) async fn held_when_the_pad_ends<S: LedgerStore>(store: S) {
    funded(&store, 10).await;
    let row = PadRow { account: Some(account(USER)), refund: Some(account(REFUND)), ..pad_row(1) };
    commit(&store, [Op::Provision(row.clone())]).await;
    let fence = attach(&store, &row, 1).await;
    let hold = Transfer::hold(transfer(20), account(USER), account(INCOME), Amount::new(6));
    commit(&store, [Op::Transfer(hold.clone()), Op::Close { fence, status: PadStatus::Closed }]).await;
    assert_eq!((balance(&store, USER).await, balance(&store, REFUND).await), ((6, 6), (4, 0)));
    commit(&store, [Op::Transfer(Transfer::capture(transfer(21), &hold, Amount::new(1)))]).await;
    assert_eq!(
        balance(&store, INCOME).await,
        (1, 0),
        "a hold outlives the pad, and is resolved as it would have been"
    );
    assert_eq!((balance(&store, USER).await, balance(&store, REFUND).await), ((0, 0), (9, 0)));
    audit(&store).await;
}

/// A sale: the accounts, the payment and the pad that they belong to are new in one batch.
pub(super) async fn bought_in_one_commit<S: LedgerStore>(store: S, reopen: &impl AsyncFn(S) -> S) {
    let row = PadRow { account: Some(account(USER)), refund: Some(account(REFUND)), ..pad_row(1) };
    let open = |n, side| Op::OpenAccount { id: account(n), side };
    let sale = [
        open(CASH, Side::Debit),
        open(REFUND, Side::Credit),
        open(USER, Side::Credit),
        Op::Transfer(post(20, CASH, USER, 10)),
        Op::Provision(row.clone()),
    ];
    commit(&store, sale).await;
    let store = reopen(store).await;
    assert_eq!(stored(&store, &row).await, row);
    assert_eq!(store.account(account(USER)).await.unwrap().unwrap().pad, Some(row.id));
    audit(&store).await;
}
