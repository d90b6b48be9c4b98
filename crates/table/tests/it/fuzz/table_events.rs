//! A table under arbitrary events, beside a model of it: a map from peers to epochs, with time.

use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use symbolon_keys::{Backend, Epoch, Id, OsRng, RootKey, Secret, SigningKey, TableSecretKey, UnixTime};
use symbolon_table::{
    Directory, Header, InvalidRecord, OnChange, PairRoot, Party, Policy, PublicKeys, Record, Statement,
    StoreError, Table, TableError, open, seal,
};

const PEERS: usize = 3;
/// How many keys each peer, and we, ever have.
const EPOCHS: usize = 3;
const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;
const START: u64 = 1_800_000_000;
/// The retired secrets that a table keeps for a peer.
const KEPT: usize = 4;

fn policy(byte: u8) -> Policy {
    let mut policy = Policy::default();
    policy.on_change = [OnChange::Accept, OnChange::AskFirst, OnChange::Refuse][usize::from(byte) % 3];
    policy.refresh_after = Duration::from_secs(DAY);
    policy.stale_for = Duration::from_secs(5 * DAY);
    policy.retire_after = Duration::from_secs(3 * DAY);
    policy.retry_after = Duration::ZERO;
    policy.fetches = u32::MAX;
    policy.fetches_per_sender = u32::MAX;
    policy
}

/// Everybody's keys, made once; ours are the last.
static KEYS: LazyLock<Vec<Vec<(TableSecretKey, SigningKey)>>> = LazyLock::new(|| {
    let key = |user: usize, epoch: usize| {
        let seed = |n: usize| Secret::from([u8::try_from(1 + n * 16 + user * 4 + epoch).unwrap(); 32]);
        (TableSecretKey::from_secret(Backend::best(), seed(0)), SigningKey::from_seed(&seed(4)))
    };
    (0..=PEERS).map(|user| (0..EPOCHS).map(|epoch| key(user, epoch)).collect()).collect()
});

fn id(user: usize) -> Id {
    format!("user{user}").parse().unwrap()
}

fn epoch(number: usize) -> Epoch {
    Epoch::new(number.try_into().unwrap())
}

fn party(user: usize, epoch: usize) -> Party {
    let key = *KEYS[user][epoch].0.public_key();
    Party { id: id(user), epoch: self::epoch(epoch), key }
}

fn own_key(epoch: usize) -> TableSecretKey {
    let secret = Secret::from(*KEYS[PEERS][epoch].0.expose().expose());
    TableSecretKey::from_secret(Backend::best(), secret)
}

/// The true histories, and how the directory behaves.
#[derive(Default)]
struct Truth {
    records: Vec<Vec<Record>>,
    down: bool,
    /// It shows everybody's first record only.
    lying: bool,
}

impl Truth {
    fn seen(&self, id: &Id) -> &[Record] {
        let all = self.records.iter().find(|records| records[0].id() == id).map_or(&[][..], Vec::as_slice);
        if self.lying { &all[..1] } else { all }
    }

    fn newest(&self, user: usize) -> usize {
        self.seen(&id(user)).len() - 1
    }

    fn change(&mut self, user: usize, now: u64) {
        let records = &mut self.records[user];
        let (epoch, until) = (records.len(), UnixTime::from_secs(u64::MAX));
        let (table, signing) = &KEYS[user][epoch];
        let keys = PublicKeys::new(*table.public_key(), signing.verifying_key());
        let said = Statement::new(id(user), keys, UnixTime::from_secs(now), until);
        let record = match records.last() {
            None => said.first(signing),
            Some(last) => said.next(last, &KEYS[user][epoch - 1].1, signing),
        };
        records.push(record.unwrap());
    }

    /// Until when the key of `epoch` opens.
    fn retired(&self, user: usize, epoch: usize) -> u64 {
        let next = self.records[user].get(epoch + 1);
        next.map_or(u64::MAX, |next| next.statement().valid_from.as_secs() + 3 * DAY)
    }
}

struct Wire(Arc<Mutex<Truth>>);

impl Directory for Wire {
    async fn lookup(&self, ids: &[Id]) -> Result<Vec<Option<Record>>, StoreError> {
        let truth = self.0.lock().unwrap();
        let newest = ids.iter().map(|id| truth.seen(id).last().cloned());
        if truth.down { Err(StoreError::retryable("down")) } else { Ok(newest.collect()) }
    }

    async fn history(&self, id: &Id, from: Epoch) -> Result<Vec<Record>, StoreError> {
        let truth = self.0.lock().unwrap();
        let part = truth.seen(id).iter().filter(|record| record.epoch() >= from).cloned();
        if truth.down { Err(StoreError::retryable("down")) } else { Ok(part.collect()) }
    }
}

/// What the model knows of a peer.
#[derive(Clone)]
struct Known {
    theirs: usize,
    ours: usize,
    checked: u64,
    offered: Option<usize>,
    /// Other pairs of epochs, and until when each opens; the newest first.
    retired: Vec<(usize, usize, u64)>,
}

struct World {
    table: Table<Wire>,
    policy: Policy,
    truth: Arc<Mutex<Truth>>,
    clock: Arc<AtomicU64>,
    known: BTreeMap<usize, Known>,
    /// Our current epoch, and until when each earlier one opens.
    ours: usize,
    own_until: Vec<u64>,
}

pub(crate) fn run(data: &[u8]) {
    let Some((&first, events)) = data.split_first() else { return };
    let mut world = World::new(policy(first));
    for event in events.as_chunks::<2>().0 {
        world.happen(*event);
    }
}

/// Runs a future that never has to wait.
fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

impl World {
    fn new(policy: Policy) -> Self {
        let mut truth = Truth { records: vec![Vec::new(); PEERS], ..Truth::default() };
        (0..PEERS).for_each(|user| truth.change(user, START));
        let (truth, clock) = (Arc::new(Mutex::new(truth)), Arc::new(AtomicU64::new(START)));
        let table = table(&truth, &clock, policy, 0, &[]);
        Self { table, policy, truth, clock, known: BTreeMap::new(), ours: 0, own_until: Vec::new() }
    }

    fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap()
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    fn happen(&mut self, [event, argument]: [u8; 2]) {
        let argument = usize::from(argument);
        let peer = argument % PEERS;
        match event % 12 {
            0 => self.wait([60, 5 * HOUR, DAY, 2 * DAY][argument % 4]),
            1 => self.change(peer),
            2 => self.rotate(),
            3 => self.behave(argument),
            4 | 5 => self.seal(peer),
            6..=8 => {
                self.open(peer, argument / PEERS % EPOCHS, argument / PEERS / EPOCHS % EPOCHS, argument > 200)
            }
            9 => self.approve(peer),
            10 => self.forget(peer),
            _ if argument < 128 => self.restart(),
            _ => self.refresh(),
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    fn change(&mut self, peer: usize) {
        let (now, mut truth) = (self.now(), self.truth());
        if truth.records[peer].len() < EPOCHS {
            truth.change(peer, now);
        }
    }

    fn behave(&mut self, how: usize) {
        let mut truth = self.truth();
        (truth.down, truth.lying) = (how % 4 == 1, how % 8 == 2);
    }

    fn rotate(&mut self) {
        if self.ours + 1 < EPOCHS {
            let until = self.now() + 2 * DAY;
            self.ours += 1;
            self.own_until.push(until);
            self.table.rotate(own_key(self.ours), epoch(self.ours), UnixTime::from_secs(until)).unwrap();
        }
    }

    /// Until when our key of `epoch` opens.
    fn own_until(&self, epoch: usize) -> u64 {
        if epoch == self.ours { u64::MAX } else { self.own_until.get(epoch).copied().unwrap_or(0) }
    }

    fn seal(&mut self, peer: usize) {
        let sealed = now_or_never(self.table.seal(&id(peer), b"text"));
        let expected = self.expect_seal(peer);
        let Ok((theirs, ours)) = expected else {
            assert_eq!(sealed.map(drop), Err(expected.unwrap_err()));
            return;
        };
        let sealed = sealed.unwrap();
        let header = Header::read(&sealed).unwrap();
        let epochs = (header.recipient_epoch(), header.sender_epoch());
        assert_eq!(epochs, (epoch(theirs), epoch(ours)));
        let root = PairRoot::agree(&KEYS[peer][theirs].0, &party(peer, theirs), &party(PEERS, ours)).unwrap();
        assert_eq!(open(&root, Backend::best(), &sealed).unwrap().accept_replays().plaintext(), b"text");
    }

    /// The epochs that a message to `peer` must have now.
    fn expect_seal(&mut self, peer: usize) -> Result<(usize, usize), TableError> {
        let now = self.now();
        let Some(known) = self.known.get(&peer).cloned() else {
            let known = self.meet(peer)?;
            return Ok((known.theirs, known.ours));
        };
        self.not_changed(peer)?;
        let age = now - known.checked;
        if age >= DAY || known.ours != self.ours {
            match self.ask_again(peer) {
                Err(TableError::Unavailable(_)) if age < 5 * DAY && self.own_until(known.ours) > now => {}
                outcome => outcome?,
            }
        }
        self.not_changed(peer)?;
        let known = &self.known[&peer];
        Ok((known.theirs, known.ours))
    }

    fn not_changed(&self, peer: usize) -> Result<(), TableError> {
        let known = &self.known[&peer];
        let Some(offered) = known.offered else { return Ok(()) };
        let head = self.truth().records[peer][offered].hash();
        let (known, offered) = (epoch(known.theirs), epoch(offered));
        Err(TableError::KeyChanged { peer: id(peer), known, offered, head })
    }

    fn answers(&self) -> Result<(), TableError> {
        let down = self.truth().down;
        if down { Err(StoreError::retryable("down").into()) } else { Ok(()) }
    }

    fn meet(&mut self, peer: usize) -> Result<Known, TableError> {
        self.answers()?;
        let theirs = self.truth().newest(peer);
        let known =
            Known { theirs, ours: self.ours, checked: self.now(), offered: None, retired: Vec::new() };
        self.known.insert(peer, known.clone());
        Ok(known)
    }

    /// The directory is asked for what follows the known head.
    fn ask_again(&mut self, peer: usize) -> Result<(), TableError> {
        self.answers()?;
        let newest = self.truth().newest(peer);
        let known = &self.known[&peer];
        if newest < known.theirs || (newest == known.theirs && known.offered.is_some()) {
            return Err(InvalidRecord::History.into());
        }
        if newest > known.theirs && self.policy.on_change != OnChange::Accept {
            self.known.get_mut(&peer).unwrap().offered = Some(newest);
        } else if newest > known.theirs || known.ours != self.ours {
            self.move_to(peer, newest);
        }
        let now = self.now();
        let known = self.known.get_mut(&peer).unwrap();
        known.checked = now;
        known.retired.retain(|(_, _, until)| now < *until);
        Ok(())
    }

    fn move_to(&mut self, peer: usize, newest: usize) {
        let (theirs, ours) = (self.known[&peer].theirs, self.known[&peer].ours);
        let retired = if newest == theirs { u64::MAX } else { self.truth().retired(peer, theirs) };
        let until = retired.min(self.own_until(ours).max(self.now()));
        let current = self.ours;
        let known = self.known.get_mut(&peer).unwrap();
        known.retired.insert(0, (theirs, ours, until));
        known.retired.truncate(KEPT);
        (known.theirs, known.ours, known.offered) = (newest, current, None);
    }

    fn open(&mut self, peer: usize, theirs: usize, ours: usize, forged: bool) {
        let (them, us) = (party(peer, theirs), party(PEERS, ours));
        let root = PairRoot::agree(&KEYS[peer][theirs].0, &them, &us).unwrap();
        let header = Header::fresh((them.id, them.epoch), (us.id, us.epoch), &mut OsRng);
        let mut message = seal(&root, &header, Backend::best(), b"text").unwrap();
        if forged {
            *message.last_mut().unwrap() ^= 1;
        }
        let opened = now_or_never(self.table.open(&message));
        let expected = self.expect_open(peer, theirs, ours);
        let expected = expected.and(if forged { Err(TableError::Rejected) } else { Ok(()) });
        match (opened, expected) {
            (Ok(opened), Ok(())) => assert_eq!(opened.accept_replays().plaintext(), b"text"),
            (opened, expected) => assert_eq!(opened.map(drop), expected, "{theirs} to {ours}"),
        }
    }

    fn expect_open(&mut self, peer: usize, theirs: usize, ours: usize) -> Result<(), TableError> {
        let now = self.now();
        if ours > self.ours {
            return Err(TableError::UnknownEpoch);
        }
        if now >= self.own_until(ours) {
            return Err(TableError::Retired);
        }
        if self.known.contains_key(&peer) {
            if let Some(outcome) = self.held(peer, theirs, ours) {
                return outcome;
            }
            if theirs > self.known[&peer].theirs {
                self.ask_again(peer)?;
            }
        } else {
            self.meet(peer)?;
        }
        if let Some(outcome) = self.held(peer, theirs, ours) {
            return outcome;
        }
        let current = self.known[&peer].theirs;
        if theirs > current {
            return Err(TableError::UnknownEpoch);
        }
        self.answers()?;
        let truth = self.truth();
        if truth.newest(peer) < current {
            return Err(InvalidRecord::History.into());
        }
        let shown = truth.newest(peer);
        let retired = if theirs == shown { u64::MAX } else { truth.retired(peer, theirs) };
        drop(truth);
        let until = retired.min(self.own_until(ours));
        if until <= now {
            return Err(TableError::Retired);
        }
        let known = self.known.get_mut(&peer).unwrap();
        known.retired.retain(|(_, _, until)| now < *until);
        known.retired.insert(0, (theirs, ours, until));
        known.retired.truncate(KEPT);
        Ok(())
    }

    /// How a message opens without the directory, where that can be said.
    fn held(&self, peer: usize, theirs: usize, ours: usize) -> Option<Result<(), TableError>> {
        let known = &self.known[&peer];
        if (known.theirs, known.ours) == (theirs, ours) {
            return Some(Ok(()));
        }
        if let Some((_, _, until)) = known.retired.iter().find(|(t, o, _)| (*t, *o) == (theirs, ours)) {
            return Some(if self.now() < *until { Ok(()) } else { Err(TableError::Retired) });
        }
        if theirs > known.theirs { self.not_changed(peer).err().map(Err) } else { None }
    }

    fn approve(&mut self, peer: usize) {
        let offered = self.known.get(&peer).and_then(|known| known.offered);
        let epoch = offered.unwrap_or_default();
        let head = self.truth().records[peer][epoch].hash();
        let approved = now_or_never(self.table.approve(&id(peer), &head));
        match (offered, self.policy.on_change) {
            (None, _) => assert_eq!(approved, Ok(false)),
            (Some(_), OnChange::Refuse) => assert_eq!(approved.map(drop), self.not_changed(peer)),
            (Some(offered), _) => {
                assert_eq!(approved, Ok(true));
                self.move_to(peer, offered);
                let now = self.now();
                self.known.get_mut(&peer).unwrap().retired.retain(|(_, _, until)| now < *until);
            }
        }
    }

    fn forget(&mut self, peer: usize) {
        self.table.forget(&id(peer));
        self.known.remove(&peer);
        assert_eq!(self.table.head(&id(peer)), None);
    }

    fn refresh(&mut self) {
        let round = now_or_never(self.table.refresh());
        if self.answers().is_err() {
            let any = self.known.keys().any(|peer| self.is_due(*peer));
            assert_eq!(round.is_err(), any);
            return;
        }
        let round = round.unwrap();
        let due: Vec<usize> = self.known.keys().copied().filter(|peer| self.is_due(*peer)).collect();
        let (mut changed, mut failed) = (Vec::new(), Vec::new());
        for peer in due {
            let before = (self.known[&peer].theirs, self.known[&peer].offered);
            match self.ask_again(peer) {
                Err(_) => failed.push(id(peer)),
                Ok(()) if (self.known[&peer].theirs, self.known[&peer].offered) != before => {
                    changed.push(id(peer))
                }
                // An offer that stands is told again.
                Ok(()) if before.1.is_some() => changed.push(id(peer)),
                Ok(()) => {}
            }
        }
        let sorted = |mut ids: Vec<Id>| {
            ids.sort();
            ids
        };
        assert_eq!(sorted(round.changed), changed);
        assert_eq!(sorted(round.failed.into_iter().map(|(id, _)| id).collect()), failed);
    }

    fn is_due(&self, peer: usize) -> bool {
        let known = &self.known[&peer];
        self.now() - known.checked >= DAY || (known.offered.is_none() && known.ours != self.ours)
    }

    fn restart(&mut self) {
        let key = RootKey::from(Secret::from([5; 32]));
        let snapshot = self.table.snapshot(&key).unwrap();
        self.table = table(&self.truth, &self.clock, self.policy, self.ours, &self.own_until);
        assert_eq!(self.table.restore(&key, &snapshot), Ok(self.known.len()));
        for known in self.known.values_mut().filter(|known| known.offered.is_some()) {
            (known.offered, known.checked) = (None, 0);
        }
    }
}

fn table(
    truth: &Arc<Mutex<Truth>>,
    clock: &Arc<AtomicU64>,
    policy: Policy,
    ours: usize,
    until: &[u64],
) -> Table<Wire> {
    let clock = Arc::clone(clock);
    let mut builder = Table::builder(id(PEERS), own_key(ours), Wire(Arc::clone(truth)))
        .epoch(epoch(ours))
        .policy(policy)
        .clock(move || UnixTime::from_secs(clock.load(Ordering::SeqCst)));
    for (epoch, until) in until.iter().enumerate().rev() {
        builder = builder.opens_also(own_key(epoch), self::epoch(epoch), UnixTime::from_secs(*until));
    }
    builder.build()
}
