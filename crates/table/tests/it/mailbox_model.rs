//! The mailbox beside a queue, with failures and crashes between every two steps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use symbolon_keys::{Backend, Epoch, Id, OsRng, UnixTime};
use symbolon_table::{
    Cursor, Delivery, Deposit, DepositError, Full, Header, Inbox, InboxError, InboxStore, Letter, Mailbox,
    MailboxLimits, MailboxStore, MemoryStore, MessageId, PairRoot, Quota, StoreError, open, seal,
};

use crate::fixture::{User, at};

/// What the coming calls to a store do, the next one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Works,
    /// It fails and nothing happened.
    FailsBefore,
    /// It happened, and the answer is lost.
    FailsAfter,
}

/// A store whose calls meet their fates.
#[derive(Clone, Default)]
struct Fated(MemoryStore, Arc<Mutex<VecDeque<Fate>>>);

impl Fated {
    async fn meet<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let fate = self.1.lock().unwrap().pop_front().unwrap_or(Fate::Works);
        let failed = Err(StoreError::retryable("the process was killed"));
        match fate {
            Fate::Works => call.await,
            Fate::FailsBefore => failed,
            Fate::FailsAfter => call.await.and(failed),
        }
    }
}

impl MailboxStore for Fated {
    async fn deposit(&self, letter: &Letter, quota: &Quota) -> Result<Deposit, StoreError> {
        self.meet(async { self.0.deposit(letter, quota).await }).await
    }

    async fn poll(&self, recipient: &Id, after: u64, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        self.meet(async { self.0.poll(recipient, after, limit).await }).await
    }

    async fn acknowledge(&self, recipient: &Id, sequences: &[u64]) -> Result<u64, StoreError> {
        self.meet(async { self.0.acknowledge(recipient, sequences).await }).await
    }

    async fn expire(&self, before: UnixTime) -> Result<u64, StoreError> {
        self.meet(async { self.0.expire(before).await }).await
    }
}

impl InboxStore for Fated {
    async fn remember(&self, to: &Id, from: &Id, id: &MessageId, epoch: Epoch) -> Result<bool, StoreError> {
        self.meet(async { self.0.remember(to, from, id, epoch).await }).await
    }

    async fn forget(&self, recipient: &Id, epoch: Epoch) -> Result<u64, StoreError> {
        self.meet(async { self.0.forget(recipient, epoch).await }).await
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Deposit(usize),
    Poll(usize),
    Accept,
    Acknowledge,
    DeviceCrashes,
    ServerCrashes,
    Fates(Vec<Fate>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![Just(Fate::Works), Just(Fate::FailsBefore), Just(Fate::FailsAfter)];
    let step = prop_oneof![
        3 => (0..2_usize).prop_map(Step::Write),
        5 => (0..2_usize).prop_map(Step::Deposit),
        4 => (0..5_usize).prop_map(Step::Poll),
        6 => Just(Step::Accept),
        4 => Just(Step::Acknowledge),
        1 => Just(Step::DeviceCrashes),
        1 => Just(Step::ServerCrashes),
        2 => prop::collection::vec(fate, 1..4).prop_map(Step::Fates),
    ];
    prop::collection::vec(step, 0..120)
}

/// What a sender has written, durably, and how much of it the mailbox has confirmed.
struct Sender {
    user: User,
    root: PairRoot,
    written: Vec<Vec<u8>>,
    confirmed: usize,
}

/// What the recipient's device knows until it crashes.
#[derive(Default)]
struct Device {
    cursor: Option<Cursor>,
    hand: VecDeque<Delivery>,
    done: Vec<u64>,
}

struct Exchange {
    senders: Vec<Sender>,
    bob: Id,
    store: Fated,
    mailbox: Mailbox<Fated>,
    device: Device,
    /// What the application was given, by sender, as numbers of messages.
    log: BTreeMap<Id, Vec<u64>>,
    /// Accepted, as far as the store knows, and never released: the answer was lost.
    doubtful: BTreeSet<(Id, u64)>,
}

impl Exchange {
    fn new() -> Self {
        let bob = User::new("bob", 1);
        let senders = ["alice", "carol"].map(|name| {
            let user = User::new(name, 1);
            let root = PairRoot::agree(&user.table, &user.record.party(), &bob.record.party()).unwrap();
            Sender { user, root, written: Vec::new(), confirmed: 0 }
        });
        let store = Fated::default();
        let mailbox = mailbox(&store);
        let (device, log, doubtful) = (Device::default(), BTreeMap::new(), BTreeSet::new());
        Self { senders: senders.into(), bob: bob.id, store, mailbox, device, log, doubtful }
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Write(sender) => self.write(*sender),
            Step::Deposit(sender) => self.deposit(*sender).await,
            Step::Poll(limit) => self.poll(*limit).await,
            Step::Accept => self.accept().await,
            Step::Acknowledge => self.acknowledge().await,
            Step::DeviceCrashes => self.device = Device::default(),
            Step::ServerCrashes => self.mailbox = mailbox(&self.store),
            Step::Fates(fates) => self.store.1.lock().unwrap().extend(fates),
        }
    }

    fn write(&mut self, sender: usize) {
        let Sender { user, root, written, .. } = &mut self.senders[sender];
        let header = Header::fresh((user.id, user.epoch()), (self.bob, Epoch::FIRST), &mut OsRng);
        let number = u64::try_from(written.len()).unwrap().to_be_bytes();
        written.push(seal(root, &header, Backend::best(), &number).unwrap());
    }

    /// A sender deposits in order, and the same bytes again until it is answered.
    async fn deposit(&mut self, sender: usize) {
        let Sender { user, written, confirmed, .. } = &mut self.senders[sender];
        let Some(message) = written.get(*confirmed) else { return };
        match self.mailbox.deposit(&user.id, message.clone(), at(1)).await {
            Ok(_) => *confirmed += 1,
            Err(DepositError::Store(_) | DepositError::Full(Full::Sender)) => {}
            Err(other) => panic!("{other}"),
        }
    }

    async fn poll(&mut self, limit: usize) {
        let Device { cursor, hand, .. } = &mut self.device;
        if let Ok((letters, next)) = self.mailbox.poll(&self.bob, cursor.as_ref(), limit).await {
            hand.extend(letters);
            *cursor = Some(next);
        }
    }

    async fn accept(&mut self) {
        let Some(delivery) = self.device.hand.pop_front() else { return };
        let from = *delivery.letter.header().sender();
        let sender = self.senders.iter().find(|sender| sender.user.id == from).unwrap();
        let message = delivery.letter.message();
        let opened = open(&sender.root, Backend::best(), message).unwrap();
        let number = sender.written.iter().position(|written| written == message).unwrap();
        let number = u64::try_from(number).unwrap();
        let fate = self.store.1.lock().unwrap().front().copied();
        let already = self.log.get(&from).is_some_and(|log| log.contains(&number))
            || self.doubtful.contains(&(from, number));
        match Inbox::new(self.store.clone()).accept(opened).await {
            Ok(received) => {
                assert!(!already, "{number} of {from} twice");
                assert_eq!(received.plaintext(), number.to_be_bytes());
                self.log.entry(from).or_default().push(number);
                self.device.done.push(delivery.sequence);
            }
            Err(InboxError::Replay) => {
                assert!(already, "{number} of {from} was never accepted");
                self.device.done.push(delivery.sequence);
            }
            // In doubt: begin again at the beginning, so that nothing is overtaken.
            Err(_) => {
                if fate == Some(Fate::FailsAfter) && !already {
                    self.doubtful.insert((from, number));
                }
                self.device = Device { done: core::mem::take(&mut self.device.done), ..Device::default() };
            }
        }
    }

    async fn acknowledge(&mut self) {
        if self.mailbox.acknowledge(&self.bob, &self.device.done).await.is_ok() {
            self.device.done.clear();
        }
    }

    /// Without further failures everything arrives.
    async fn drain(&mut self) {
        self.store.1.lock().unwrap().clear();
        self.device = Device::default();
        loop {
            for sender in 0..self.senders.len() {
                self.deposit(sender).await;
            }
            self.poll(3).await;
            if self.device.hand.is_empty() {
                break;
            }
            while !self.device.hand.is_empty() {
                self.accept().await;
            }
            self.acknowledge().await;
        }
        assert_eq!(self.store.0.poll(&self.bob, 0, 9).await.unwrap(), [], "nothing lies there any more");
        for Sender { user, written, confirmed, .. } in &self.senders {
            assert_eq!(*confirmed, written.len());
            let log = self.log.get(&user.id).map(Vec::as_slice).unwrap_or_default();
            assert!(log.is_sorted_by(|a, b| a < b), "in order: {log:?}");
            for number in 0..u64::try_from(written.len()).unwrap() {
                let doubtful = self.doubtful.contains(&(user.id, number));
                assert_eq!(log.contains(&number), !doubtful, "{number} of {}", user.id);
            }
        }
    }
}

fn mailbox(store: &Fated) -> Mailbox<Fated> {
    let mut limits = MailboxLimits::default();
    limits.quota.letters_per_sender = 6;
    Mailbox::with_limits(store.clone(), limits)
}

proptest! {
    #[test]
    fn letters_are_a_queue_that_survives(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut exchange = Exchange::new();
            for step in &steps {
                exchange.take(step).await;
            }
            exchange.drain().await;
        });
    }
}
