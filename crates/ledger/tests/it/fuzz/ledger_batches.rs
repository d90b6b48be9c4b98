//! Any sequence of batches leaves the books in order: sides equal, holds covered, positions only forwards, refused
//! batches without a trace.

use symbolon_keys::UnixTime;
use symbolon_ledger::apply::apply;
use symbolon_ledger::{
    AccountId, Amount, Batch, Fence, Head, Lease, MemoryTables, Op, PadId, PadMode, PadRow, PadStatus,
    ReceiveRow, SendRow, Side, Transfer, TransferId, Verifier,
};

pub(crate) fn run(data: &[u8]) {
    let mut tables = MemoryTables::default();
    let mut bytes = data.iter().copied();
    while let Some(len) = bytes.next() {
        let mut batch = Batch::new(UnixTime::from_secs(u64::from(bytes.next().unwrap_or_default())));
        for _ in 0..=len % 4 {
            let mut six = [0; 6];
            six.fill_with(|| bytes.next().unwrap_or_default());
            batch.push(op(six));
        }
        let before = tables.clone();
        let Ok(judged) = apply(&mut tables, &batch);
        match judged {
            Err(_) => assert_eq!(tables, before, "a refused batch left a trace"),
            Ok(outcomes) => assert!(outcomes.len() >= batch.ops().len()),
        }
        check(&before, &tables);
    }
    let mut verifier = Verifier::from(Head::default());
    tables.journal.iter().for_each(|entry| verifier.take(entry).unwrap());
}

fn check(before: &MemoryTables, after: &MemoryTables) {
    let sum = |side| {
        let rows = after.accounts.values().filter(|row| row.side == side);
        rows.fold(Amount::ZERO, |sum, row| sum.checked_add(row.balance).unwrap())
    };
    assert_eq!(sum(Side::Debit), sum(Side::Credit), "value was created or lost");
    assert!(after.accounts.values().all(|row| row.held <= row.balance));
    for (id, old) in &before.pads {
        let new = &after.pads[id];
        assert!(new.send.reserved >= old.send.reserved && new.send.reserved <= new.send.len);
        assert!(new.receive.position >= old.receive.position && new.receive.position <= new.receive.len);
        assert!(new.receive.ceiling >= old.receive.ceiling && new.lease.epoch >= old.lease.epoch);
        assert!(!old.status.is_closed() || new.status == old.status, "closed for good");
    }
}

fn op([kind, a, b, c, d, e]: [u8; 6]) -> Op {
    let account = |n: u8| AccountId::new([n % 5; 16]);
    let transfer = |n: u8| TransferId::new([n % 16; 16]);
    let amount = Amount::new(u128::from(d));
    let fence = Fence { pad: PadId::new([a % 3; 16]), epoch: u64::from(b % 4) };
    let (from, to) = (u64::from(c) * 8, u64::from(d) * 8);
    let hold = Transfer::hold(transfer(b), account(c), account(e), amount);
    let (generation, batch) = ([e % 2; 16].into(), [c; 16].into());
    match kind % 21 {
        0 => Op::OpenAccount { id: account(a), side: if a % 5 == 0 { Side::Debit } else { Side::Credit } },
        1 | 2 => Op::Transfer(Transfer::post(transfer(a), account(b), account(c), amount)),
        3 => Op::Transfer(Transfer { id: transfer(a), ..hold }.expiring(UnixTime::from_secs(e.into()))),
        4 => Op::Transfer(Transfer { id: transfer(a), ..hold }),
        5 => Op::Transfer(Transfer::capture(transfer(a), &hold, amount)),
        6 => Op::Transfer(Transfer::release(transfer(a), &hold)),
        7 => Op::Transfer(Transfer::expire(transfer(a), &hold)),
        8 => Op::Provision(pad(a % 3, b & 1 == 0, (c & 1 == 0).then(|| (account(d), account(e))))),
        9 => Op::Attach {
            pad: fence.pad,
            instance: [9; 16].into(),
            owner: [b; 16].into(),
            until: UnixTime::from_secs(c.into()),
            takeover: d & 1 == 0,
        },
        10 => Op::Reserve { fence, generation, from, to, batch },
        11 => Op::Claim { fence, generation, from, to, seq: None, request: [c; 16].into() },
        12 => Op::Answer { fence, request: [c; 16].into(), frame: vec![d] },
        13 => Op::Ceiling { fence, generation, from, to, batch },
        14 => Op::Close { fence, status: PadStatus::from_code(c % 7).unwrap_or(PadStatus::Closed) },
        15 => Op::Recover { fence, generation, instance: [9; 16].into(), ceiling: from, reserved: to, batch },
        16 => Op::Adopt { fence, old: [c % 2; 16].into(), new: generation, from: to },
        17 => Op::Resync { fence, position: to },
        18 => Op::Reopen { fence },
        19 => Op::Dismiss { fence, request: [c; 16].into() },
        _ if e % 2 == 1 => Op::Check { fence },
        _ => Op::Forget { fence },
    }
}

fn pad(n: u8, witnessed: bool, accounts: Option<(AccountId, AccountId)>) -> PadRow {
    let (generation, batch) = ([0; 16].into(), [0; 16].into());
    PadRow {
        id: PadId::new([n; 16]),
        instance: [9; 16].into(),
        mode: PadMode::PadOnly,
        witnessed,
        account: accounts.map(|(account, _)| account),
        refund: accounts.map(|(_, refund)| refund),
        status: PadStatus::Open,
        lease: Lease { epoch: 0, owner: None, until: UnixTime::default() },
        send: SendRow { lane: 0, generation, len: 1600, from: 0, reserved: 0, batch },
        receive: ReceiveRow {
            lane: 1,
            generation,
            len: 1600,
            position: 0,
            seq: 0,
            ceiling_from: 0,
            ceiling: 0,
            batch,
        },
    }
}
