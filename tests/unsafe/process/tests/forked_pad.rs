//! A forked process has its parent's handle of a pad, down to the bytes that are ready to be used. Both would use the
//! same: so the child's handle does nothing, and the parent's goes on.

mod child;

use std::fs::{File, TryLockError};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use child::in_child;
use symbolon_ledger::frame::Frame;
use symbolon_ledger::witness::WitnessSession;
use symbolon_ledger::{
    FileSink, GeneratorSource, Issue, MaterialError, MemoryStore, Pad, PadError, Provision, SinglePad,
};

/// A store in memory never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// 1 for each operation that was refused because of the fork.
fn forked(results: impl IntoIterator<Item = Result<(), PadError>>) -> Vec<u8> {
    results.into_iter().map(|result| u8::from(matches!(result, Err(PadError::Forked)))).collect()
}

#[test]
fn the_child_fails_closed_and_the_parent_goes_on() {
    let folder = std::env::temp_dir().join(format!("symbolon-fork-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let (a, b) = (folder.join("a.pad"), folder.join("b.pad"));
    let (mut sink_a, mut sink_b) = (FileSink::at(&a), FileSink::at(&b));
    let id = Issue::new(1 << 16).unwitnessed().run(GeneratorSource::os(), &mut sink_a, &mut sink_b).unwrap();
    let (half, peers_half) = (SinglePad::new(&a), SinglePad::new(&b));
    let (ledger, peers_ledger) = (MemoryStore::new(), MemoryStore::new());
    now(Pad::provision(&ledger, &half, Provision::new(id))).unwrap();
    now(Pad::provision(&peers_ledger, &peers_half, Provision::new(id))).unwrap();
    let pad = now(Pad::attach(&ledger, &half, id)).unwrap();
    let peer = now(Pad::attach(&peers_ledger, &peers_half, id)).unwrap();

    // The reservation is made, and its bytes are in memory: child and parent both have what would be used next.
    let first = now(pad.seal(b"first").commit()).unwrap();
    let asked = now(peer.seal(b"asked").commit()).unwrap();
    let before = std::fs::read(&a).unwrap();
    let refused = in_child(|| {
        let seal = now(pad.seal(b"child").commit()).map(drop);
        let open = now(pad.open(&asked)).map(drop);
        let attest = now(pad.attest(&mut WitnessSession::new(), b"")).map(drop);
        let destroy = now(pad.destroy()).map(drop);
        let mut refused = forked([seal, open, attest, destroy, now(pad.close())]);
        // The parent has the pad: attaching it here is no way around that.
        let anew = now(Pad::attach(&ledger, &half, id));
        refused.push(u8::from(matches!(anew, Err(PadError::Material(MaterialError::InUse(_))))));
        refused
    });
    assert_eq!(refused, [1; 6]);
    assert_eq!(std::fs::read(&a).unwrap(), before, "the child wrote nothing");
    let locked = File::open(&a).unwrap().try_lock();
    assert!(matches!(locked, Err(TryLockError::WouldBlock)), "the child's end took no lock from its parent");

    let second = now(pad.seal(b"second").commit()).unwrap();
    let range = |frame| Frame::parse(frame).unwrap().range().clone();
    assert_eq!(range(&second).start, range(&first).end, "the child has used nothing");
    for (frame, message) in [(first, &b"first"[..]), (second, b"second")] {
        assert_eq!(*now(peer.open(&frame)).unwrap(), *message);
    }
    assert_eq!(*now(pad.open(&asked)).unwrap(), *b"asked");
    assert_eq!(in_child(move || forked([now(pad.detach()).map(drop)])), [1]);
    std::fs::remove_dir_all(&folder).unwrap();
}
