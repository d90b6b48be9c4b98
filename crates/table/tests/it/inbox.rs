//! Each message once.

use symbolon_keys::{Backend, Epoch};
use symbolon_table::{
    Header, Inbox, InboxError, InboxStore, MemoryStore, MessageId, PairRoot, StoreError, seal,
};

use crate::fixture::{Fixed, World, id};

#[tokio::test]
async fn a_replay_is_refused_in_this_run_and_the_next() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let (alices, bobs) = (world.table(&alice), world.table(&bob));
    let message = alices.seal(&bob.id, b"pay 5").await.unwrap();
    let other = alices.seal(&bob.id, b"pay 5").await.unwrap();
    let store = MemoryStore::new();
    let inbox = Inbox::new(store.clone());
    let received = inbox.accept(bobs.open(&message).await.unwrap()).await.unwrap();
    assert_eq!((received.plaintext(), received.from()), (&b"pay 5"[..], &alice.id));
    let refused = inbox.accept(bobs.open(&message).await.unwrap()).await;
    assert_eq!(refused.map(drop), Err(InboxError::Replay));
    inbox.accept(bobs.open(&other).await.unwrap()).await.unwrap();

    // After a restart: another table, another inbox, the same store.
    let (bobs, inbox) = (world.table(&bob), Inbox::new(store));
    let refused = inbox.accept(bobs.open(&message).await.unwrap()).await;
    assert_eq!(refused.map(drop), Err(InboxError::Replay));
    assert_eq!(inbox.forget(&bob.id, bobs.oldest_epoch()).await, Ok(0), "the key still opens");
    assert_eq!(inbox.forget(&bob.id, Epoch::new(1)).await, Ok(2));
}

#[tokio::test]
async fn two_senders_may_use_one_message_id() {
    let world = World::new();
    let bob = world.user("bob").await;
    let (bobs, inbox) = (world.table(&bob), Inbox::new(MemoryStore::new()));
    for name in ["alice", "carol"] {
        let sender = world.user(name).await;
        let root = PairRoot::agree(&sender.table, &sender.record.party(), &bob.record.party()).unwrap();
        let mut rng = Fixed(vec![3; 40]);
        let header = Header::fresh((sender.id, sender.epoch()), (bob.id, bob.epoch()), &mut rng);
        let message = seal(&root, &header, Backend::best(), name.as_bytes()).unwrap();
        let received = inbox.accept(bobs.open(&message).await.unwrap()).await.unwrap();
        assert_eq!(received.plaintext(), name.as_bytes());
        let again = inbox.accept(bobs.open(&message).await.unwrap()).await;
        assert_eq!(again.map(drop), Err(InboxError::Replay));
    }
}

/// A store whose commits fail, before or after they happened.
struct Failing(MemoryStore, bool);

impl InboxStore for Failing {
    async fn remember(
        &self,
        recipient: &symbolon_keys::Id,
        sender: &symbolon_keys::Id,
        message: &MessageId,
        epoch: Epoch,
    ) -> Result<bool, StoreError> {
        if self.1 {
            self.0.remember(recipient, sender, message, epoch).await?;
        }
        Err(StoreError::retryable("disk full"))
    }

    async fn forget(&self, recipient: &symbolon_keys::Id, epoch: Epoch) -> Result<u64, StoreError> {
        self.0.forget(recipient, epoch).await
    }
}

#[tokio::test]
async fn nothing_is_released_when_the_commit_fails() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let (alices, bobs) = (world.table(&alice), world.table(&bob));
    let message = alices.seal(&bob.id, b"pay 5").await.unwrap();
    let failed = Err(InboxError::Store(StoreError::retryable("disk full")));
    let store = MemoryStore::new();
    let open = async || bobs.open(&message).await.unwrap();
    assert_eq!(Inbox::new(Failing(store.clone(), false)).accept(open().await).await.map(drop), failed);
    Inbox::new(store).accept(open().await).await.unwrap();

    let store = MemoryStore::new();
    assert_eq!(Inbox::new(Failing(store.clone(), true)).accept(open().await).await.map(drop), failed);
    let again = Inbox::new(store).accept(open().await).await;
    assert_eq!(again.map(drop), Err(InboxError::Replay), "an unknown outcome counts as used");
}

#[tokio::test]
async fn plaintext_is_not_printed() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let message = world.table(&alice).seal(&bob.id, b"secret").await.unwrap();
    let opened = world.table(&bob).open(&message).await.unwrap();
    let name = opened.message_id().to_string();
    assert_eq!(format!("{opened:?}"), format!("Opened({name} from {}, ..)", id("alice")));
    assert_eq!(format!("{:?}", opened.accept_replays()), format!("Received({name} from alice, ..)"));
}
