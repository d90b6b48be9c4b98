//! Pads in use: both lanes, value, repetition, exhaustion, and everything hostile that needs no second machine.

use symbolon_ledger::frame::{Frame, MAX_MESSAGE};
use symbolon_ledger::material::{PadHalf, PadMaterial};
use symbolon_ledger::{
    Amount, CommitError, Fault, Issue, LedgerStore, MaterialError, Op, Pad, PadError, PadMode, PadStatus,
    Policy, Provision, Refusal, Transfer, TransferId,
};

use crate::world::{End, INCOME, REFUND, Terms, USER, World, emitted};

// proves L1 L2 L10 L14 L16
#[tokio::test]
async fn request_and_answer() {
    for mode in [PadMode::PadOverAead, PadMode::PadOnly] {
        let world = World::new(Terms { mode, ..Terms::default() }).await;
        let (server, user) = world.attach().await;
        for n in 0..10_u8 {
            let question = vec![n; usize::from(n) * 20];
            let request = server.open(&emitted(user.seal(&question).commit().await.unwrap())).await.unwrap();
            assert_eq!(*request, *question);
            let answer =
                server.seal(b"42").answering(request.id()).charge(Amount::new(3)).commit().await.unwrap();
            assert_eq!(*user.open(&emitted(answer)).await.unwrap(), *b"42");
        }
        assert_eq!((world.server.balance(USER).await, world.server.balance(INCOME).await), (70, 30));
    }
}

// proves L30
#[tokio::test]
async fn a_service_of_the_user_raises_the_value() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    let paid = server.open(&emitted(user.seal(b"ask").commit().await.unwrap())).await.unwrap();
    emitted(server.seal(b"ok").answering(paid.id()).charge(Amount::new(30)).commit().await.unwrap());
    let served = server.open(&emitted(user.seal(b"done").commit().await.unwrap())).await.unwrap();
    emitted(server.seal(b"thanks").answering(served.id()).credit(Amount::new(20)).commit().await.unwrap());
    assert_eq!((world.server.balance(USER).await, world.server.balance(INCOME).await), (90, 10));
}

#[tokio::test]
async fn a_frame_is_opened_once() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    let frame = emitted(user.seal(b"pay 5").commit().await.unwrap());
    let request = server.open(&frame).await.unwrap();
    assert!(matches!(server.open(&frame).await, Err(PadError::Unanswered(id)) if id == request.id()));
    let answer = server.seal(b"paid").answering(request.id()).charge(Amount::new(5)).commit().await.unwrap();
    for _ in 0..3 {
        match server.open(&frame).await {
            Err(PadError::Answered(again)) => assert_eq!(again, answer, "byte for byte"),
            other => panic!("the stored answer was due, not {other:?}"),
        }
    }
    // Another handle, later, gives the same.
    drop(server);
    let server = world.server.attach(world.id).await.unwrap();
    assert!(matches!(server.open(&frame).await, Err(PadError::Answered(again)) if again == answer));
    assert_eq!(world.server.balance(USER).await, 95, "charged once");
    assert_eq!(*user.open(&emitted(answer.clone())).await.unwrap(), *b"paid");
    assert!(
        matches!(user.open(&answer).await, Err(PadError::Unanswered(_))),
        "an answer is opened once, too"
    );
}

#[tokio::test]
async fn what_is_forged_burns_nothing() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    let frame = emitted(user.seal(b"attack at dawn").commit().await.unwrap());
    let before = world.server.store.backup();
    for bit in 0..frame.len() * 8 {
        let mut forged = frame.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(server.open(&forged).await.is_err(), "bit {bit}");
    }
    for len in 0..frame.len() {
        assert!(matches!(server.open(&frame[..len]).await, Err(PadError::Malformed)));
    }
    assert!(matches!(server.open(&[&frame[..], b"x"].concat()).await, Err(PadError::Malformed)));
    assert!(matches!(user.open(&frame).await, Err(PadError::OtherLane)), "reflected");
    let other = World::new(Terms::default()).await;
    assert!(matches!(
        other.server.attach(other.id).await.unwrap().open(&frame).await,
        Err(PadError::OtherLane)
    ));
    before.with_tables(|before| {
        world.server.store.with_tables(|now| assert_eq!(before, now, "nothing was written"))
    });
    assert!(server.rejected() > 100, "forgeries are counted");
    assert_eq!(*server.open(&frame).await.unwrap(), *b"attack at dawn", "and the frame still opens");
}

#[tokio::test]
async fn reordered_and_lost_frames() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    let mut frames = Vec::new();
    for n in 0..5_u8 {
        frames.push(emitted(user.seal(&[n]).commit().await.unwrap()));
    }
    assert_eq!(*server.open(&frames[1]).await.unwrap(), [1], "frame 0 is late");
    assert!(
        matches!(server.open(&frames[0]).await, Err(PadError::Refused(Refusal::Replayed { .. }))),
        "too late"
    );
    assert_eq!(*server.open(&frames[4]).await.unwrap(), [4], "lost ones are skipped");
    assert!(matches!(server.open(&frames[3]).await, Err(PadError::Refused(Refusal::Replayed { .. }))));
}

#[tokio::test]
async fn a_gap_up_to_its_limit_and_over() {
    let limit = PadMode::PadOnly.max_gap();
    // Sixteen frames of the largest size and some smaller ones end 32 bytes before the limit; one more, beyond it.
    let nearly: Vec<usize> = [MAX_MESSAGE; 16].into_iter().chain([61_436, 2044, 1020, 252, 60]).collect();
    for (more, fits) in [(None, true), (Some(60), false)] {
        let world =
            World::new(Terms { bytes: 48 << 20, mode: PadMode::PadOnly, split: (3, 1), ..Terms::default() })
                .await;
        let (server, user) = world.attach().await;
        let lost = vec![7; MAX_MESSAGE];
        for len in nearly.iter().copied().chain(more) {
            user.seal(&lost[..len]).commit().await.unwrap();
        }
        let frame = emitted(user.seal(b"after").commit().await.unwrap());
        let start = Frame::parse(&frame).unwrap().range().start;
        assert_eq!(start, if fits { limit - 32 } else { limit + 64 });
        match server.open(&frame).await {
            Ok(message) => assert!(fits && *message == *b"after"),
            Err(PadError::Refused(why)) => assert!(!fits && why == Refusal::TooFarAhead { limit }),
            Err(other) => panic!("{other}"),
        }
    }
}

// proves L15
#[tokio::test]
async fn exhausted_to_the_last_frame_on_both_lanes() {
    for mode in [PadMode::PadOverAead, PadMode::PadOnly] {
        let min = mode.min_cost();
        let world = World::new(Terms { bytes: 8192 + 2 * 31, mode, ..Terms::default() }).await;
        let (server, user) = world.attach().await;
        let lane = 4096 + 31;
        assert_eq!((server.remaining().send, user.remaining().receive), (lane, lane));
        let count = lane / min;
        for n in 1..=count {
            let frame = emitted(user.seal(b"ask").commit().await.unwrap());
            let request = server.open(&frame).await.unwrap();
            let left = lane - n * min;
            let usable = if left < min { 0 } else { left };
            assert_eq!((user.remaining().send, server.remaining().receive), (usable, usable), "exact");
            let answer = emitted(
                server.seal(b"tell").answering(request.id()).charge(Amount::new(1)).commit().await.unwrap(),
            );
            assert_eq!(*user.open(&answer).await.unwrap(), *b"tell", "the last answer arrives");
        }
        for pad in [&server, &user] {
            assert!(matches!(pad.seal(b"").commit().await, Err(PadError::NotOpen(PadStatus::PadSpent))));
        }
        let spent = u128::from(count);
        assert_eq!(world.server.balance(REFUND).await, 100 - spent, "what is left of the value is paid back");
        assert_eq!((world.server.balance(USER).await, world.server.row(USER).await.closed), (0, true));
    }
}

#[tokio::test]
async fn low_water() {
    // Lanes of 20 frames each.
    let world = World::new(Terms { bytes: 40 * 112, ..Terms::default() }).await;
    let policy = Policy::default().low_water(5 * 112);
    let (server, user) = (
        world.server.attach(world.id).await.unwrap(),
        world.user.attach_with(world.id, policy).await.unwrap(),
    );
    let mut low = Vec::new();
    for n in 1..=20 {
        server.open(&emitted(user.seal(b"a").commit().await.unwrap())).await.unwrap();
        low.push((user.is_low(), server.is_low()));
        let left = (20 - n) * 112;
        assert_eq!(low.last(), Some(&(left < 5 * 112, left < 20 * 112 / 16)), "with {left} left");
    }
    assert_eq!(low.iter().filter(|(user, _)| *user).count(), 5, "a warning before the end");
    drop(user);
    let careless = world.user.attach_with(world.id, Policy::default().low_water(0)).await.unwrap();
    assert!(!careless.is_low(), "never, if that is what is wanted");
}

#[tokio::test]
async fn sealing_into_a_buffer() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    let mut frame = Vec::with_capacity(1024);
    let place = frame.as_ptr();
    for n in 0..3_u8 {
        user.seal(&[n; 100]).commit_into(&mut frame).await.unwrap();
        assert_eq!(*server.open(&emitted(frame.clone())).await.unwrap(), [n; 100]);
    }
    assert_eq!(frame.as_ptr(), place, "the buffer is used as it is");
    let request = server.open(&emitted(user.seal(b"ask").commit().await.unwrap())).await.unwrap();
    let dear = server.seal(b"secret").answering(request.id()).charge(Amount::new(101));
    assert!(dear.commit_into(&mut frame).await.is_err());
    assert!(frame.is_empty(), "an answer that was not paid for is not left behind");
    server.close().await.unwrap();
    frame.push(1);
    assert!(server.seal(b"x").commit_into(&mut frame).await.is_err() && frame.is_empty());
}

#[tokio::test]
async fn a_message_that_does_not_fit_costs_nothing() {
    let world = World::new(Terms { bytes: 8192, ..Terms::default() }).await;
    let (_server, user) = world.attach().await;
    let too_much = user.seal(&[0; 5000]).commit().await;
    assert!(matches!(too_much, Err(PadError::Exhausted { left: 4096, needed: 8240 })), "{too_much:?}");
    assert!(matches!(user.seal(&vec![0; MAX_MESSAGE + 1]).commit().await, Err(PadError::TooLong)));
    assert_eq!(user.remaining().send, 4096);
    emitted(user.seal(b"small").commit().await.unwrap());
}

// proves L3
#[tokio::test]
async fn when_the_value_ends_the_pad_closes() {
    let world = World::new(Terms { value: 5, ..Terms::default() }).await;
    let (server, user) = world.attach().await;
    let request = server.open(&emitted(user.seal(b"a").commit().await.unwrap())).await.unwrap();
    let dear = server.seal(b"x").answering(request.id()).charge(Amount::new(6)).commit().await;
    let poor = Refusal::Insufficient { account: USER, available: Amount::new(5) };
    assert!(matches!(dear, Err(PadError::Commit(CommitError::Refused(refused))) if refused.why == poor));
    let last =
        emitted(server.seal(b"y").answering(request.id()).charge(Amount::new(5)).commit().await.unwrap());
    assert_eq!(server.status(), PadStatus::ValueSpent);
    assert_eq!(*user.open(&last).await.unwrap(), *b"y", "what was paid for arrives");
    let more = emitted(user.seal(b"b").commit().await.unwrap());
    assert!(matches!(server.open(&more).await, Err(PadError::NotOpen(PadStatus::ValueSpent))));
    assert!(matches!(server.seal(b"z").commit().await, Err(PadError::NotOpen(PadStatus::ValueSpent))));
}

#[tokio::test]
async fn closed_by_its_owner() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    server.close().await.unwrap();
    assert_eq!(world.server.balance(REFUND).await, 100);
    let frame = emitted(user.seal(b"late").commit().await.unwrap());
    assert!(matches!(server.open(&frame).await, Err(PadError::NotOpen(PadStatus::Closed))));
}

#[tokio::test]
async fn one_handle() {
    let world = World::new(Terms::default()).await;
    let pad = world.user.attach(world.id).await.unwrap();
    let second = world.user.attach(world.id).await;
    assert!(matches!(second, Err(PadError::Material(MaterialError::InUse(id))) if id == world.id));
    let copy = world.user.backup();
    assert!(
        matches!(copy.attach(world.id).await, Err(PadError::Material(MaterialError::InUse(_)))),
        "nor a copy"
    );
    pad.detach().await.unwrap();
    world.user.attach(world.id).await.unwrap();
}

#[tokio::test]
async fn provisioning() {
    let (a, b) = (End::default(), End::default());
    let id = Issue::new(1 << 16)
        .unwitnessed()
        .run(symbolon_ledger::GeneratorSource::os(), &mut a.material.sink(), &mut b.material.sink())
        .unwrap();
    assert!(matches!(a.attach(id).await, Err(PadError::NotProvisioned(_))));
    Pad::provision(&a.store, &a.material, Provision::new(id)).await.unwrap();
    let again = Pad::provision(&a.store, &a.material, Provision::new(id)).await;
    assert!(matches!(again, Err(PadError::AlreadyProvisioned(_))));
    // The ledger is gone: never offset zero.
    let empty = End { store: End::default().store, ..a.clone() };
    assert!(matches!(empty.attach(id).await, Err(PadError::LedgerMissing(_))));
    // Interrupted between ledger and half, then attached: completed.
    b.store.fail([Some(Fault::Unheard)]);
    let unheard = Pad::provision(&b.store, &b.material, Provision::new(id)).await;
    assert!(matches!(unheard, Err(PadError::Commit(CommitError::Unknown(_)))));
    let elsewhere = End { store: End::default().store, ..b.clone() };
    drop(b.attach(id).await.unwrap());
    assert!(matches!(elsewhere.attach(id).await, Err(PadError::LedgerMissing(_))));
}

#[tokio::test]
async fn two_ledgers_cannot_hold_one_half() {
    let (a, b) = (End::default(), End::default());
    let id = Issue::new(1 << 16)
        .unwitnessed()
        .run(symbolon_ledger::GeneratorSource::os(), &mut a.material.sink(), &mut b.material.sink())
        .unwrap();
    // The first provisioning reached the ledger, not the half; then somebody provisions into another ledger.
    a.store.fail([Some(Fault::Unheard)]);
    Pad::provision(&a.store, &a.material, Provision::new(id)).await.unwrap_err();
    let second = End { store: End::default().store, ..a.clone() };
    Pad::provision(&second.store, &second.material, Provision::new(id)).await.unwrap();
    drop(second.attach(id).await.unwrap());
    assert!(matches!(a.attach(id).await, Err(PadError::OtherInstance { .. })));
}

#[tokio::test]
async fn an_old_ledger_is_noticed() {
    let world = World::new(Terms::default()).await;
    let old = world.user.store.backup();
    let pad = world.user.attach(world.id).await.unwrap();
    emitted(pad.seal(b"x").commit().await.unwrap());
    drop(pad);
    let restored = End { store: old, ..world.user.clone() };
    let behind = restored.attach(world.id).await;
    assert!(matches!(behind, Err(PadError::LedgerBehind { reserved: 0, floor }) if floor > 0), "{behind:?}");
}

#[tokio::test]
async fn destroyed_bytes_betray_an_old_ledger() {
    // The ledger goes backwards while the pad is attached: neither row nor floor is looked at then.
    let world = World::new(Terms::default()).await;
    let pad = world.user.attach(world.id).await.unwrap();
    let used = emitted(pad.seal(b"x").commit().await.unwrap());
    pad.destroy().await.unwrap();
    let range = Frame::parse(&used).unwrap().range().clone();
    drop(pad);
    let half = world.user.material.take(world.id).unwrap();
    let mut bytes = vec![0; 96];
    let read = half.read(0, range.start, &mut bytes);
    assert!(matches!(read, Err(MaterialError::Destroyed { .. })), "{read:?}");
}

#[tokio::test]
async fn a_commit_that_fails() {
    for fault in [Fault::NotApplied, Fault::Lost, Fault::Unheard] {
        let world = World::new(Terms::default()).await;
        let (server, user) = world.attach().await;
        let retry = async |result: Result<Vec<u8>, PadError>| match (fault, result) {
            (Fault::NotApplied, Err(PadError::Commit(CommitError::NotApplied(_))))
            | (Fault::Lost | Fault::Unheard, Err(PadError::Commit(CommitError::Unknown(_)))) => {}
            (_, other) => panic!("{fault:?} gave {other:?}"),
        };
        // While reserving.
        world.user.store.fail([Some(fault)]);
        retry(user.seal(b"a").commit().await).await;
        let frame = emitted(user.seal(b"a").commit().await.unwrap());
        // While claiming.
        world.server.store.fail([Some(fault)]);
        retry(server.open(&frame).await.map(|_| vec![])).await;
        let request = server.open(&frame).await.expect("the same frame, asked again");
        assert_eq!(*request, *b"a");
        assert!(matches!(server.open(&frame).await, Err(PadError::Unanswered(_))), "given away once");
        // While answering: the first attempt reserves, the second fault hits the answer.
        let answer = || server.seal(b"b").answering(request.id()).charge(Amount::new(4));
        world.server.store.fail([None, Some(fault)]);
        retry(answer().commit().await).await;
        let frame = emitted(answer().commit().await.expect("the same answer, asked again"));
        assert_eq!(*user.open(&frame).await.unwrap(), *b"b");
        assert_eq!(world.server.balance(USER).await, 96, "charged once");
    }
}

#[tokio::test]
async fn a_crash_between_reserving_and_sending() {
    let world = World::new(Terms { bytes: 1 << 20, ..Terms::default() }).await;
    let mut left = u64::MAX;
    for n in 0..6_u8 {
        // Each life sends a little, and ends without a word.
        let user = world.user.attach_with(world.id, Policy::default().reserve(8192)).await.unwrap();
        assert!(user.remaining().send < left, "what was reserved is burnt");
        left = user.remaining().send;
        for _ in 0..n {
            emitted(user.seal(&[n]).commit().await.unwrap());
        }
        drop(user);
        if n == 0 {
            left = u64::MAX;
        }
    }
}

#[tokio::test]
async fn a_thousand_pads_at_once() {
    let (server, user) = (End::default(), End::default());
    let mut pads = Vec::new();
    for _ in 0..1000 {
        let issue = Issue::new(4096).mode(PadMode::PadOnly).unwitnessed();
        let source = symbolon_ledger::GeneratorSource::os();
        let id = issue.run(source, &mut server.material.sink(), &mut user.material.sink()).unwrap();
        for end in [&server, &user] {
            Pad::provision(&end.store, &end.material, Provision::new(id)).await.unwrap();
        }
        pads.push((server.attach(id).await.unwrap(), user.attach(id).await.unwrap()));
    }
    for round in 0..2_u8 {
        for (server, user) in &pads {
            let frame = emitted(user.seal(&[round]).commit().await.unwrap());
            assert_eq!(*server.open(&frame).await.unwrap(), [round]);
        }
    }
    assert_eq!(server.store.pads(None, 9999).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn an_abandoned_call_changes_nothing_that_matters() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    // Futures that are made and never polled do nothing at all.
    drop(user.seal(b"never").commit());
    let frame = emitted(user.seal(b"a").commit().await.unwrap());
    drop(server.open(&frame));
    assert_eq!(*server.open(&frame).await.unwrap(), *b"a");
}

#[tokio::test]
async fn both_directions_at_once() {
    let world = World::new(Terms { bytes: 1 << 20, ..Terms::default() }).await;
    let (server, user) = world.attach().await;
    let (server, user) = (std::sync::Arc::new(server), std::sync::Arc::new(user));
    let mut tasks = Vec::new();
    for n in 0..40_u8 {
        let (a, b) = if n % 2 == 0 { (server.clone(), user.clone()) } else { (user.clone(), server.clone()) };
        tasks.push(tokio::spawn(async move {
            let frame = emitted(a.seal(&[n; 9]).commit().await.unwrap());
            // Others may have overtaken it.
            match b.open(&frame).await {
                Ok(message) => assert_eq!(*message, [n; 9]),
                Err(PadError::Refused(Refusal::Replayed { .. })) => {}
                Err(other) => panic!("{other}"),
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn fees_need_accounts() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    let fee = Amount::new(1);
    assert!(
        matches!(user.seal(b"a").charge(fee).commit().await, Err(PadError::NoAccount)),
        "the user holds no value"
    );
    let held = Transfer::hold(TransferId::from([7; 16]), USER, INCOME, Amount::new(30));
    let request = server
        .open_with(&emitted(user.seal(b"quote").commit().await.unwrap()), [Op::Transfer(held.clone())])
        .await
        .unwrap();
    assert_eq!(
        world.server.row(USER).await.held,
        Amount::new(30),
        "held in the commit that received the request"
    );
    let capture = Transfer::capture(TransferId::from([8; 16]), &held, Amount::new(12));
    emitted(server.seal(b"done").answering(request.id()).transfer(capture).commit().await.unwrap());
    assert_eq!((world.server.balance(USER).await, world.server.row(USER).await.held.minor_units()), (88, 0));
    assert_eq!(world.server.store.request(world.id, request.id()).await.unwrap().unwrap().end, 112 * 2);
}
