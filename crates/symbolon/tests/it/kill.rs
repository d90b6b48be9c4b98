//! A real server under load is killed at random instants, is started again, and its clients go on.
//!
//! Between two lives the books must balance and the journal verify. At the end every letter that was acknowledged to its
//! sender was accepted by its recipient, once; every document that was acknowledged can be read; what the pad paid is
//! what the server earned; and no two frames, whoever sent them, meet in one range of a lane. `SYMBOLON_KILLS` sets how
//! often it is killed.
// proves X1 X2 L2 L20 T8 T12 E2

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use symbolon::envelope::{Context, RecordId, UserKey, UserParameters};
use symbolon::keys::{Backend, Epoch, OsRng, Secret};
use symbolon::ledger::frame::Frame;
use symbolon::ledger::{
    AccountId, Amount, Event, Head, LedgerStore, Pad, PadId, Provision, SinglePad, TransferKind, Verifier,
};
use symbolon::table::{Inbox, InboxError, MemoryStore, Table};
use symbolon::{
    AnyStore, Calculate, Calculation, Client, ClientError, Identity, NoisePublicKey, Purchase, RefusalCode,
    Server, ServerFolder, Voucher,
};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use crate::postgres::cluster;
use crate::world::{FilePad, User, url};

/// Where the killed process finds its database and its folder; without it, `child` does nothing.
const STORE: &str = "SYMBOLON_KILLED_STORE";
const FOLDER: &str = "SYMBOLON_KILLED_FOLDER";
const IDENTITY: &str = "SYMBOLON_KILLED_IDENTITY";

/// What the voucher is worth. Each performance costs 4 of it.
const WORTH: Amount = Amount::new(100_000_000);

/// How long what a quote set aside stays there: a quote whose answer was lost is nobody's until then.
const QUOTE_TTL: Duration = Duration::from_secs(1);

/// The process that is killed.
#[test]
fn child() {
    let (Ok(store), Ok(folder), Ok(identity)) = (env::var(STORE), env::var(FOLDER), env::var(IDENTITY))
    else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = server(&store, Path::new(&folder), &identity).await;
        println!("\nlistening {}", server.local_addr());
        server.run(std::future::pending()).await;
    });
}

pub(crate) async fn server(store: &str, folder: &Path, identity: &str) -> Server {
    let identity: Identity = identity.parse().unwrap();
    let store = AnyStore::attach(store).await.expect("a killed process leaves a store that can be attached");
    let folder = ServerFolder::attach(folder, &identity).unwrap();
    let service = Calculation::at(Amount::new(2));
    let server = Server::builder(store, identity, folder).service(service).quote_ttl(QUOTE_TTL);
    server.bind("127.0.0.1:0").await.unwrap()
}

/// A server that is killed and started again.
pub(crate) struct Victim {
    store: String,
    folder: PathBuf,
    identity: String,
    addr: watch::Sender<SocketAddr>,
    child: Option<Child>,
}

impl Victim {
    pub(crate) fn new(store: &str, folder: &Path, identity: &str) -> Self {
        let addr = watch::Sender::new(SocketAddr::from(([127, 0, 0, 1], 1)));
        Self { store: store.into(), folder: folder.into(), identity: identity.into(), addr, child: None }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        *self.addr.borrow()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) async fn start(&mut self) {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "kill::child", "--nocapture"]).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env(STORE, &self.store).env(FOLDER, &self.folder).env(IDENTITY, &self.identity);
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = oneshot::channel();
        // Read to its end: a process that says something to nobody ends.
        std::thread::spawn(move || {
            let mut tell = Some(tell);
            for line in out.lines().map_while(Result::ok) {
                if let Some(addr) = line.strip_prefix("listening ") {
                    tell.take().map(|tell| tell.send(addr.parse().unwrap()));
                }
            }
        });
        let addr = told.await.expect("the server starts");
        self.child = Some(child);
        self.addr.send_replace(addr);
    }

    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What every client of the load has.
#[derive(Clone)]
struct Load {
    addr: watch::Receiver<SocketAddr>,
    key: NoisePublicKey,
    stop: Arc<AtomicBool>,
    /// What was done: letters, documents, performances, frames.
    work: Arc<[AtomicUsize; 4]>,
}

impl Load {
    fn did(&self, what: usize) {
        self.work[what].fetch_add(1, Ordering::SeqCst);
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// A session, however often that must be tried.
    async fn session(&self, user: &User) -> Client {
        loop {
            let addr = *self.addr.borrow();
            if let Ok(client) = Client::connect(addr, &user.identity, self.key).await {
                let registered = client.register(user.id, &user.identity).await;
                if registered.is_ok() && client.login(user.id).await.is_ok() {
                    return client;
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_go_on_and_nothing_acknowledged_is_lost_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    killed(&url(&folder.path().join("exchange.db")), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_go_on_and_nothing_acknowledged_is_lost_on_postgres() {
    let Some(cluster) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    killed(&cluster.database().await, folder.path()).await;
}

async fn killed(store: &str, place: &Path) {
    let kills: u32 = env::var("SYMBOLON_KILLS").map_or(4, |kills| kills.parse().unwrap());
    let identity = Identity::generate(Backend::best(), &mut OsRng);
    let text = identity.to_secret_text().to_string();
    let folder = place.join("exchange");
    ServerFolder::provision(&folder, &identity).unwrap();
    AnyStore::provision(store).await.unwrap().close().await;

    let carol = User::new("carol");
    let parameters = UserParameters::generate(Epoch::FIRST, &mut OsRng);
    let prepared = server(store, &folder, &text).await;
    let operator = prepared.operator();
    let realm = operator.realm();
    let key = UserKey::from(Secret::from([7; 32]));
    operator.enrol_key(carol.id, &key, &parameters).await.unwrap();
    let voucher = operator.sell_voucher(WORTH).await.unwrap();
    drop(operator);
    prepared.run(async {}).await;

    let mut victim = Victim::new(store, &folder, &text);
    let (addr, key_of_server) = (victim.addr.subscribe(), *identity.public().noise_key());
    let load = Load { addr, key: key_of_server, stop: Arc::default(), work: Arc::default() };
    let written = tokio::spawn(write(load.clone()));
    let read = tokio::spawn(read(load.clone()));
    let kept = tokio::spawn(keep(load.clone(), carol, key, realm));
    let purchase = voucher.to_text().to_string();
    let spent = tokio::spawn(spend(load.clone(), purchase.parse().unwrap(), place.to_path_buf()));

    for n in 0..kills {
        victim.start().await;
        let random = RecordId::generate(&mut OsRng).as_bytes()[0];
        sleep(Duration::from_millis(150 + 2 * u64::from(random))).await;
        // On a slow machine the first life lasts until there was something of each kind.
        while n == 0 && load.work.iter().any(|work| work.load(Ordering::SeqCst) == 0) {
            sleep(Duration::from_millis(20)).await;
        }
        victim.kill();
        if kills < 20 || n % 25 == 0 {
            let store = AnyStore::attach(store).await.unwrap();
            books(&store).await;
            store.close().await;
        }
    }
    // In the last life all of them come to their end.
    victim.start().await;
    load.stop.store(true, Ordering::SeqCst);
    let acknowledged = written.await.unwrap();
    let accepted = read.await.unwrap();
    let documents = kept.await.unwrap();
    let (fees, frames) = spent.await.unwrap();
    victim.kill();

    assert!(acknowledged.is_subset(&accepted), "lost: {:?}", acknowledged.difference(&accepted));
    let prepared = server(store, &folder, &text).await;
    let operator = prepared.operator();
    sleep(QUOTE_TTL + Duration::from_secs(1)).await;
    operator.housekeep().await;
    let books_say = operator.books().await.unwrap();
    assert_eq!((books_say.cash, books_say.revenue), (WORTH, Amount::new(fees)));
    let back = operator.value_of(&purchase.parse().unwrap()).await.unwrap();
    assert_eq!(back, WORTH.checked_sub(Amount::new(fees)).unwrap(), "what was not spent came back");
    prepared.run(async {}).await;
    eprintln!(
        "{kills} kills: {} letters, {documents} documents, fees of {fees}, {frames} frames",
        acknowledged.len()
    );
    assert!(!acknowledged.is_empty() && documents > 0 && fees > 0 && frames > 0, "some work was done");
}

/// Writes letter after letter, each deposited until it is acknowledged.
async fn write(load: Load) -> BTreeSet<u64> {
    let (alice, bob) = (User::new("alice"), "bob".parse().unwrap());
    let mut acknowledged = BTreeSet::new();
    let mut sealed: Option<Vec<u8>> = None;
    'sessions: while load.goes_on() {
        let client = load.session(&alice).await;
        let table = Table::new(alice.id, alice.identity.table_key(), client.directory());
        while load.goes_on() {
            let number = u64::try_from(acknowledged.len()).unwrap();
            let letter = match sealed.take() {
                Some(letter) => letter,
                None => match table.seal(&bob, &number.to_be_bytes()).await {
                    Ok(letter) => letter,
                    // Bob is not there yet, or the session failed.
                    Err(_) => continue 'sessions,
                },
            };
            match client.deposit(&letter).await {
                Ok(_) => {
                    assert!(acknowledged.insert(number));
                    load.did(0);
                }
                Err(ClientError::Refused(refusal)) => {
                    assert!(
                        matches!(refusal.code(), RefusalCode::Full | RefusalCode::Unavailable),
                        "{refusal}"
                    );
                    sealed = Some(letter);
                    sleep(Duration::from_millis(5)).await;
                }
                Err(_) => {
                    sealed = Some(letter);
                    continue 'sessions;
                }
            }
        }
    }
    acknowledged
}

/// Reads and acknowledges; each number is accepted once. Ends when the mailbox is empty after the end of the load.
async fn read(load: Load) -> BTreeSet<u64> {
    let bob = User::new("bob");
    let inbox = Inbox::new(MemoryStore::default());
    let (mut accepted, mut taken) = (BTreeSet::new(), BTreeSet::new());
    'sessions: loop {
        let client = load.session(&bob).await;
        let table = Table::new(bob.id, bob.identity.table_key(), client.directory());
        loop {
            let last = !load.goes_on();
            let Ok(page) = client.poll(None, 8).await else { continue 'sessions };
            for (number, letter) in &page.letters {
                assert!(!taken.contains(number), "an acknowledged letter came back");
                let Ok(opened) = table.open(letter).await else { continue 'sessions };
                match inbox.accept(opened).await {
                    Ok(received) => {
                        let number = u64::from_be_bytes(received.plaintext().try_into().unwrap());
                        assert!(accepted.insert(number), "accepted twice");
                    }
                    Err(InboxError::Replay) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            let numbers: Vec<u64> = page.letters.iter().map(|(number, _)| *number).collect();
            if numbers.is_empty() && last {
                return accepted;
            }
            if client.acknowledge(&numbers).await.is_err() {
                continue 'sessions;
            }
            taken.extend(numbers);
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Stores documents; at the end reads every one that was acknowledged.
async fn keep(load: Load, carol: User, key: UserKey, realm: symbolon::Id) -> usize {
    let mut stored = Vec::new();
    let mut client = load.session(&carol).await;
    while load.goes_on() {
        let record = RecordId::generate(&mut OsRng);
        let document = document(record, stored.len());
        match client.put(&key, &Context::new(realm, record, carol.id), None, &document[..]).await {
            Ok(_) => {
                stored.push(record);
                load.did(1);
            }
            Err(_) => client = load.session(&carol).await,
        }
    }
    let client = load.session(&carol).await;
    for (n, record) in stored.iter().enumerate() {
        let mut found = Vec::new();
        if let Err(error) = client.get(&key, realm, *record, &mut found).await {
            panic!("document {n} of {}: {error:?}", stored.len());
        }
        assert!(found == document(*record, n), "document {record}");
    }
    stored.len()
}

fn document(record: RecordId, n: usize) -> Vec<u8> {
    let len = if n.is_multiple_of(4) { 100_000 } else { 500 };
    record.as_bytes().iter().copied().cycle().take(len).collect()
}

/// Has calculations performed under pads, and closes them at the end: the fees, and how many frames there were.
async fn spend(load: Load, voucher: Voucher, place: PathBuf) -> (u128, usize) {
    let dave = User::new("dave");
    let (mut fees, mut frames) = (0, Frames::default());
    let mut client = load.session(&dave).await;
    let mut n = 0_u32;
    while load.goes_on() {
        n += 1;
        let purchase = Purchase::new(voucher.to_text().parse().unwrap(), 4 << 20, &mut OsRng);
        let path = place.join(format!("{n}.pad"));
        let header = loop {
            match client.buy_pad(&purchase, &path).await {
                Ok(header) => break header,
                Err(_) => client = load.session(&dave).await,
            }
        };
        let store = AnyStore::provision(&url(&place.join(format!("{n}.db")))).await.unwrap();
        let material = SinglePad::new(&path);
        Pad::provision(&store, &material, Provision::new(header.pad)).await.unwrap();
        let mut pad: FilePad = Pad::attach(&store, &material, header.pad).await.unwrap();
        // Until the pad is at its end.
        while load.goes_on() && pad.remaining().send > 65_536 && pad.remaining().receive > 65_536 {
            let with = client.with_pad(pad);
            let paid = pay(&with).await;
            pad = with.into_pad();
            if let Ok(sealed) = pad.seal(b"?").commit().await {
                frames.add(&sealed);
                if let Ok(answer) = client.frame(&sealed).await {
                    frames.add(&answer);
                    load.did(3);
                    pad.open(&answer).await.expect("an answer under the pad");
                }
            }
            fees += match paid {
                Ok(fee) => {
                    load.did(2);
                    fee
                }
                Err(quote) => {
                    // It may have been performed: the same is asked until that is known.
                    let mut outcome = None;
                    while outcome.is_none() {
                        client = load.session(&dave).await;
                        let with = client.with_pad(pad);
                        outcome = match &quote {
                            None => Some(0),
                            Some(quote) => match with.perform(quote).await {
                                Ok(done) => Some(done.fee.minor_units()),
                                Err(error) if error.refusal().is_some_and(is_final) => Some(0),
                                Err(_) => None,
                            },
                        };
                        pad = with.into_pad();
                    }
                    outcome.unwrap_or_default()
                }
            };
        }
        drop(pad);
        while client.close_pad(&voucher, header.pad).await.is_err() {
            client = load.session(&dave).await;
        }
    }
    (fees, frames.count)
}

fn is_final(refusal: &symbolon::Refusal) -> bool {
    !matches!(refusal.code(), RefusalCode::Unavailable)
}

type Half = symbolon::ledger::material::FileHalf;

/// One performance: its fee; or what is in doubt, if anything.
async fn pay(pad: &symbolon::PadClient<AnyStore, Half>) -> Result<u128, Option<symbolon::Quote<Calculate>>> {
    let quote = pad.quote(Calculate::sum([1, 2])).await.map_err(|_| None)?;
    match pad.perform(&quote).await {
        Ok(done) => Ok(done.fee.minor_units()),
        Err(error) if error.refusal().is_some_and(is_final) => Ok(0),
        Err(_) => Err(Some(quote)),
    }
}

/// The ranges of frames, by pad and lane: none may meet another.
#[derive(Default)]
struct Frames {
    seen: BTreeMap<(PadId, u8, u64), u64>,
    count: usize,
}

impl Frames {
    fn add(&mut self, frame: &[u8]) {
        let frame = Frame::parse(frame).unwrap();
        let (lane, range) = (frame.header().lane, frame.range().clone());
        let from = (lane.pad, lane.lane, 0);
        let before = self.seen.range(from..(lane.pad, lane.lane, range.end)).next_back();
        assert!(before.is_none_or(|(_, end)| *end <= range.start), "a range was used twice: {range:?}");
        self.seen.insert((lane.pad, lane.lane, range.start), range.end);
        self.count += 1;
    }
}

/// The journal verifies, and the accounts are what its transfers come to.
async fn books(store: &AnyStore) {
    let (mut verifier, mut balances) = (Verifier::from(Head::default()), BTreeMap::<AccountId, i128>::new());
    loop {
        let entries = store.journal(None, verifier.head().entries, 1000).await.unwrap();
        for entry in &entries {
            verifier.take(entry).unwrap();
            if let Event::Transfer(transfer) = &entry.event
                && matches!(transfer.kind, TransferKind::Post | TransferKind::Capture)
            {
                let amount = i128::try_from(transfer.amount.minor_units()).unwrap();
                *balances.entry(transfer.from).or_default() -= amount;
                *balances.entry(transfer.to).or_default() += amount;
            }
        }
        if entries.is_empty() {
            break;
        }
    }
    verifier.finish(&store.head().await.unwrap()).unwrap();
    for (id, balance) in &balances {
        let row = store.account(*id).await.unwrap().unwrap();
        assert_eq!(i128::try_from(row.balance.minor_units()).unwrap(), balance.abs(), "account {id}");
    }
    assert_eq!(balances.values().sum::<i128>(), 0);
}
