//! Requests: several in doubt at once, several that wait for their answers when the pad comes to its end, and how long
//! they are remembered.

use symbolon_keys::UnixTime;
use symbolon_ledger::{
    Amount, Batch, CommitError, Fault, Fence, LedgerStore, Op, PadError, PadMode, PadStatus, Policy, Refusal,
    Refused, Rekey,
};

use crate::world::{INCOME, Link, MemoryPad, REFUND, Terms, USER, World, emitted};

// proves L2
#[tokio::test]
async fn every_frame_in_doubt_is_resolved() {
    for mode in [PadMode::PadOverAead, PadMode::KeySequence] {
        let world = World::new(Terms { mode, ..Terms::default() }).await;
        // Whatever is received is destroyed at once.
        let server = world.server.attach_with(world.id, Policy::default().destroy_every(1)).await.unwrap();
        let user = world.user.attach(world.id).await.unwrap();
        let mut frames = Vec::new();
        for n in 0..7_u8 {
            if n % 2 == 0 {
                user.connect(Rekey::per_connection()).await;
            }
            frames.push(emitted(user.seal(&[n]).commit().await.unwrap()));
        }
        // The third was lost, the last heard of; of the others nobody knows.
        for (n, frame) in frames.iter().enumerate() {
            let fault = [Some(Fault::Unheard), None][usize::from(n == 6)];
            world.server.store.fail([if n == 2 { Some(Fault::Lost) } else { fault }]);
            assert_eq!(server.open(frame).await.is_ok(), n == 6);
        }
        for n in [5, 0, 1, 4, 3_u8] {
            assert_eq!(*server.open(&frames[usize::from(n)]).await.unwrap(), [n], "{mode:?}");
        }
        let lost = server.open(&frames[2]).await;
        assert!(matches!(lost, Err(PadError::Refused(Refusal::Replayed { .. }))), "{lost:?}");
        for frame in [&frames[0], &frames[6]] {
            assert!(matches!(server.open(frame).await, Err(PadError::Unanswered(_))), "given away once");
        }
        // The lane stands where it would.
        user.connect(Rekey::per_connection()).await;
        let next = emitted(user.seal(b"on").commit().await.unwrap());
        assert_eq!(*server.open(&next).await.unwrap(), *b"on");
    }
}

#[tokio::test]
async fn what_is_in_doubt_is_not_kept_for_ever() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    let mut frames = Vec::new();
    for n in 0..65_u8 {
        frames.push(emitted(user.seal(&[n]).commit().await.unwrap()));
        world.server.store.fail([Some(Fault::Unheard)]);
        server.open(&frames[usize::from(n)]).await.unwrap_err();
    }
    assert!(matches!(server.open(&frames[0]).await, Err(PadError::Unanswered(_))), "given up");
    assert_eq!(*server.open(&frames[1]).await.unwrap(), [1]);
    assert_eq!(*server.open(&frames[64]).await.unwrap(), [64]);
}

#[tokio::test]
async fn a_frame_in_doubt_is_not_given_away_by_two_owners() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    let frame = emitted(user.seal(b"once").commit().await.unwrap());
    world.server.store.fail([Some(Fault::Lost)]);
    server.open(&frame).await.unwrap_err();
    let copy = symbolon_ledger::MemoryStore::clone(&world.server.store);
    // Another takes the pad, and claims the frame.
    let row = copy.pad(world.id).await.unwrap().unwrap();
    let take = Op::Attach {
        pad: world.id,
        instance: row.instance,
        owner: [1; 16].into(),
        until: UnixTime::default(),
        takeover: true,
    };
    let fence = Fence { pad: world.id, epoch: row.lease.epoch + 1 };
    let claim = Op::Claim {
        fence,
        generation: row.receive.generation,
        from: 0,
        to: 112,
        seq: None,
        request: symbolon_ledger::frame::request_id(&frame),
    };
    copy.commit(Batch::new(UnixTime::now()).with(take).with(claim)).await.unwrap();
    let again = server.open(&frame).await;
    assert!(matches!(again, Err(PadError::Dead)), "{again:?}");
}

/// The user has four frames, and the server enough.
async fn short() -> World {
    World::new(Terms { bytes: 12 * 4 * 112, split: (1, 11), ..Terms::default() }).await
}

// proves L3 L15
#[tokio::test]
async fn the_last_requests_all_get_their_answers() {
    let world = short().await;
    let (server, user) = world.attach().await;
    let mut requests = Vec::new();
    while user.remaining().send > 0 {
        let frame = emitted(user.seal(b"ask").commit().await.unwrap());
        requests.push(server.open(&frame).await.unwrap().id());
    }
    assert!(requests.len() > 2 && server.remaining().receive == 0);
    emitted(server.seal(b"a word between").commit().await.unwrap());
    let last = requests.remove(1);
    for request in requests {
        emitted(server.seal(b"tell").answering(request).charge(Amount::new(1)).commit().await.unwrap());
        assert_eq!(server.status(), PadStatus::Open);
    }
    emitted(server.seal(b"tell").answering(last).charge(Amount::new(1)).commit().await.unwrap());
    assert_eq!(server.status(), PadStatus::PadSpent, "with the answer to the last, whichever it is");
    assert!(world.server.balance(REFUND).await > 0);
}

#[tokio::test]
async fn what_waited_before_a_restart_still_waits() {
    for dismissed in [false, true] {
        let world = short().await;
        let (server, user) = world.attach().await;
        let mut last = None;
        while user.remaining().send > 0 {
            let frame = emitted(user.seal(b"ask").commit().await.unwrap());
            let request = server.open(&frame).await.unwrap().id();
            if let Some(before) = last.replace(request) {
                emitted(server.seal(b"tell").answering(before).commit().await.unwrap());
            }
        }
        drop(server); // a crash
        let server = world.server.attach(world.id).await.unwrap();
        assert_eq!((server.status(), server.remaining().receive), (PadStatus::Open, 0));
        let waiting = server.unanswered(None, 9).await.unwrap();
        let [row] = waiting.as_slice() else { panic!("one, not {waiting:?}") };
        assert_eq!(Some(row.id), last);
        assert!(server.unanswered(Some(row), 9).await.unwrap().is_empty());
        if dismissed {
            assert_eq!(server.dismiss_all().await.unwrap(), 1);
            server.dismiss(&[row.id]).await.unwrap();
        } else {
            let answer = emitted(
                server.seal(b"late").answering(row.id).charge(Amount::new(2)).commit().await.unwrap(),
            );
            assert_eq!(world.server.balance(INCOME).await, 2);
            emitted(answer);
        }
        assert_eq!(server.status(), PadStatus::PadSpent);
        assert_eq!(world.server.balance(USER).await, 0);
    }
}

#[tokio::test]
async fn a_pad_that_can_answer_no_more_does_not_wait() {
    let world = World::new(Terms { bytes: 12 * 4 * 112, split: (11, 1), ..Terms::default() }).await;
    let (server, user) = world.attach().await;
    server.open(&emitted(user.seal(b"ask").commit().await.unwrap())).await.unwrap();
    while server.remaining().send > 0 {
        emitted(server.seal(b"something else").commit().await.unwrap());
    }
    assert_eq!(server.status(), PadStatus::PadSpent);
}

#[tokio::test]
async fn requests_are_forgotten_behind_the_peer() {
    let world = World::new(Terms { bytes: 1 << 18, mode: PadMode::KeySequence, ..Terms::default() }).await;
    let (server, user) = world.attach().await;
    let first = emitted(user.seal(b"first").commit().await.unwrap());
    let request = server.open(&first).await.unwrap();
    let answer = emitted(server.seal(b"answer").answering(request.id()).commit().await.unwrap());
    for _ in 0..599 {
        server.open(&emitted(user.seal(b"more").commit().await.unwrap())).await.unwrap();
    }
    let count = || world.server.store.with_tables(|tables| tables.requests.len());
    assert_eq!((count(), server.forget_requests().await.unwrap()), (600, 0));
    // The peer goes on with another key, far ahead.
    let far = PadMode::KeySequence.max_repeat();
    user.connect(Rekey::per_connection()).await;
    for _ in 1..=far {
        user.take_psk().await.unwrap();
    }
    server.resync(far).await.unwrap();
    assert_eq!(server.remaining().receive, (1 << 12) - far);
    assert_eq!(server.forget_requests().await.unwrap(), 0);
    assert!(matches!(server.open(&first).await, Err(PadError::Answered(again)) if again == answer));
    // Frames under the next keys: a handle forgets by itself.
    for n in 0..=512_u32 {
        if n % 500 == 0 {
            user.connect(Rekey::per_connection()).await;
        }
        server.open(&emitted(user.seal(b"yet more").commit().await.unwrap())).await.unwrap();
    }
    assert!((513..=600).contains(&count()), "{} are remembered", count());
    let again = server.open(&first).await;
    assert!(matches!(again, Err(PadError::Refused(Refusal::Replayed { .. }))), "{again:?}");
    // Of a pad that was closed, all; until then its answers are still given.
    server.close().await.unwrap();
    let left = count();
    assert_eq!(server.forget_requests().await.unwrap(), left as u64);
    assert_eq!(count(), 0);
}

#[tokio::test]
async fn a_refusal_about_another_pad_is_not_about_this_one() {
    let (world, other) = (World::new(Terms::default()).await, World::new(Terms::default()).await);
    // Both pads of the server in one ledger.
    let row = other.server.store.pad(other.id).await.unwrap().unwrap();
    let free = symbolon_ledger::PadRow { account: None, refund: None, ..row };
    world.server.store.commit(Batch::new(UnixTime::now()).with(Op::Provision(free))).await.unwrap();
    let second = MemoryPad::attach(&world.server.store, &other.server.material, other.id).await.unwrap();
    second.close().await.unwrap();
    let (server, user) = world.attach().await;
    let frame = emitted(user.seal(b"relay").commit().await.unwrap());
    for (epoch, fenced) in [(1, false), (9, true)] {
        let fence = Fence { pad: other.id, epoch };
        let answer = Op::Answer { fence, request: [1; 16].into(), frame: vec![1] };
        match server.open_with(&frame, [answer]).await {
            Err(PadError::Commit(CommitError::Refused(Refused { op: 1, why: Refusal::NotOpen(_) }))) => {
                assert!(!fenced);
            }
            Err(PadError::Commit(CommitError::Refused(Refused { op: 1, why: Refusal::Fenced { .. } }))) => {
                assert!(fenced);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(server.status(), PadStatus::Open);
    }
    assert_eq!(*server.open(&frame).await.unwrap(), *b"relay", "nothing was destroyed");
}

#[tokio::test]
async fn a_key_is_paid_for_once() {
    let world = World::new(Terms { mode: PadMode::KeySequence, ..Terms::default() }).await;
    let policy = Policy::default().key_fee(Amount::new(2));
    let server = world.server.attach_with(world.id, policy).await.unwrap();
    let user = world.user.attach(world.id).await.unwrap();
    let (index, _) = user.take_psk().await.unwrap();
    world.server.store.fail([Some(Fault::Unheard)]);
    server.psk_at(index).await.unwrap_err();
    server.psk_at(index).await.unwrap();
    assert_eq!(world.server.balance(INCOME).await, 2, "asked for twice");
    // Two frames that both begin the next key, as far as anybody knows.
    for message in [b"a", b"b"] {
        let frame = emitted(user.seal(message).commit().await.unwrap());
        world.server.store.fail([Some(Fault::Unheard)]);
        server.open(&frame).await.unwrap_err();
        server.open(&frame).await.unwrap();
    }
    assert_eq!(world.server.balance(INCOME).await, 4);
    let frames =
        [emitted(user.seal(b"c").commit().await.unwrap()), emitted(user.seal(b"d").commit().await.unwrap())];
    user.connect(Rekey::per_connection()).await;
    let next =
        [emitted(user.seal(b"e").commit().await.unwrap()), emitted(user.seal(b"f").commit().await.unwrap())];
    for frame in frames.iter().chain(&next) {
        world.server.store.fail([Some(Fault::Unheard)]);
        server.open(frame).await.unwrap_err();
    }
    assert_eq!(world.server.balance(INCOME).await, 6, "two claims under one key, neither of them heard of");
    for frame in frames.iter().chain(&next) {
        server.open(frame).await.unwrap();
    }
    assert_eq!(world.server.balance(INCOME).await, 6);
}

#[tokio::test]
async fn a_key_that_is_not_paid_for_is_not_used() {
    let world = World::new(Terms { mode: PadMode::KeySequence, ..Terms::default() }).await;
    let index = |frame: &[u8]| symbolon_ledger::sequence::KeyFrame::parse(frame).unwrap().index();
    // Nobody to pay to: then nobody is served, however often it is asked for.
    let policy = Policy::default().key_fee(Amount::new(2));
    let store = &world.server.store;
    let pad = MemoryPad::attach_with(store, &world.server.material, world.id, policy).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(pad.seal(b"x").commit().await, Err(PadError::NoAccount)));
    }
    drop(pad);
    // A key that was paid for goes on after a message that is refused.
    let server = world.server.attach_with(world.id, policy).await.unwrap();
    let first = index(&emitted(server.seal(b"paid").commit().await.unwrap()));
    assert!(server.seal(b"dear").charge(Amount::new(1000)).commit().await.is_err());
    assert_eq!(index(&emitted(server.seal(b"paid").commit().await.unwrap())), first);
    assert_eq!(world.server.balance(INCOME).await, 2);
}

#[tokio::test]
async fn a_recovered_pad_is_attached_again_although_much_was_destroyed() {
    for lost in [false, true] {
        let world = World::new(Terms { witnessed: true, ..Terms::default() }).await;
        let old = world.user.store.backup();
        let (server, user) = world.attach().await;
        for _ in 0..9 {
            server.secure(&mut Link::to(&user), 112).await.unwrap();
            user.open(&emitted(server.seal(b"x").commit().await.unwrap())).await.unwrap();
        }
        user.detach().await.unwrap();
        let store = if lost { symbolon_ledger::MemoryStore::new() } else { old };
        let (material, policy) = (&world.user.material, Policy::default());
        let link = &mut Link::to(&server);
        let user = MemoryPad::recover(&store, material, world.id, policy, link).await.unwrap();
        drop(user);
        MemoryPad::attach(&store, material, world.id).await.expect("it was recovered");
    }
}

#[tokio::test]
async fn handles_that_live_short_forget_too() {
    let world = World::new(Terms { bytes: 1 << 18, mode: PadMode::KeySequence, ..Terms::default() }).await;
    let (mut server, user) = world.attach().await;
    let far = PadMode::KeySequence.max_repeat() + 1;
    for n in 0..3 {
        user.connect(Rekey::per_connection()).await;
        server.open(&emitted(user.seal(b"one").commit().await.unwrap())).await.unwrap();
        assert_eq!(world.server.store.with_tables(|tables| tables.requests.len()), 1, "in life {n}");
        for _ in 0..far {
            user.take_psk().await.unwrap();
        }
        drop(server);
        server = world.server.attach(world.id).await.unwrap();
        server.resync((n + 1) * (far + 1)).await.unwrap();
    }
}
