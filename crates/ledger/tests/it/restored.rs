//! A ledger restored from any moment, beside a pad file that was not: nothing goes on below what was released.

use symbolon_ledger::{
    MemoryStore, PadError, PadMode, PadRow, PadStatus, Policy, Refusal, Remaining, Restored,
};

use crate::world::{End, MemoryPad, Terms, World, emitted};

/// What a store does to its pads when it is restored.
fn halted(backup: &MemoryStore) {
    backup.with_tables(|tables| {
        for row in tables.pads.values_mut().filter(|row| row.status == PadStatus::Open) {
            row.status = PadStatus::RollbackSuspected;
        }
    });
}

async fn row(end: &End, world: &World) -> PadRow {
    use symbolon_ledger::LedgerStore;
    end.store.pad(world.id).await.unwrap().unwrap()
}

// proves L2
#[tokio::test]
async fn nothing_goes_on_below_what_was_released() {
    for mode in [PadMode::PadOverAead, PadMode::PadOnly] {
        for taken_at in 0..8 {
            let world = World::new(Terms { bytes: 1 << 18, mode, ..Terms::default() }).await;
            let policy = Policy::default().reserve(1000);
            let server = world.server.attach(world.id).await.unwrap();
            let mut backup = world.user.store.backup();
            for n in 0..8_u8 {
                // A life of the user: some frames, and an end without a word.
                let user = world.user.attach_with(world.id, policy).await.unwrap();
                for len in 0..n {
                    let frame = emitted(user.seal(&vec![n; usize::from(len) * 90]).commit().await.unwrap());
                    server.open(&frame).await.unwrap();
                }
                if n == taken_at {
                    backup = world.user.store.backup();
                }
            }
            let released = row(&world.user, &world).await.send.reserved;
            halted(&backup);
            let old = End { store: backup, ..world.user.clone() };
            // By itself it does not go on at all.
            match old.attach_with(world.id, policy).await {
                Ok(user) => assert!(user.seal(b"x").commit().await.is_err(), "it is halted"),
                Err(PadError::LedgerBehind { floor, .. }) => assert_eq!(floor, released),
                Err(other) => panic!("{other}"),
            }
            // The most careless operator there is.
            let vouched = Restored::Untouched { send: 0, receive: 0 };
            let (store, material) = (&old.store, &old.material);
            let user =
                MemoryPad::attach_after_restore(store, material, world.id, policy, vouched).await.unwrap();
            let Remaining { send, .. } = user.remaining();
            assert!(send <= (1 << 17) - released, "backup {taken_at}: {send} left");
            let frame = emitted(user.seal(b"after").commit().await.unwrap());
            assert_eq!(*server.open(&frame).await.unwrap(), *b"after");
            drop(user);
            assert_eq!(old.attach_with(world.id, policy).await.unwrap().status(), PadStatus::Open);
        }
    }
}

#[tokio::test]
async fn nothing_is_received_below_what_was_destroyed() {
    let world = World::new(Terms::default()).await;
    let (server, user) = world.attach().await;
    let backup = world.user.store.backup();
    let mut frames = Vec::new();
    for n in 0..5 {
        frames.push(emitted(server.seal(&[n]).commit().await.unwrap()));
        user.open(&frames[usize::from(n)]).await.unwrap();
    }
    user.detach().await.unwrap();
    halted(&backup);
    let old = End { store: backup, ..world.user.clone() };
    let vouched = Restored::Untouched { send: 0, receive: 0 };
    let (store, material) = (&old.store, &old.material);
    let user = MemoryPad::attach_after_restore(store, material, world.id, Policy::default(), vouched);
    let user = user.await.unwrap();
    for frame in &frames {
        let again = user.open(frame).await;
        assert!(matches!(again, Err(PadError::Refused(Refusal::Replayed { .. }))), "{again:?}");
    }
    drop(user);
    old.attach(world.id).await.expect("the ledger is no longer behind");
}

#[tokio::test]
async fn a_witnessed_pad_is_not_reopened_by_a_word() {
    let world = World::new(Terms { witnessed: true, ..Terms::default() }).await;
    drop(world.user.attach(world.id).await.unwrap());
    halted(&world.user.store);
    let End { store, material } = &world.user;
    for word in [Restored::Witnessed, Restored::Untouched { send: 0, receive: 0 }] {
        let user = MemoryPad::attach_after_restore(store, material, world.id, Policy::default(), word).await;
        assert_eq!(user.unwrap().status(), PadStatus::RollbackSuspected);
    }
}
