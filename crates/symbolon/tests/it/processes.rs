//! Several processes of one server over one PostgreSQL database: each answers every user, and when one is killed or
//! paused nothing is lost, charged twice or answered twice.
// proves X2

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use symbolon::keys::{Backend, OsRng};
use symbolon::ledger::{Amount, Pad, PadHeader, Provision, SinglePad};
use symbolon::table::Table;
use symbolon::{
    AnyStore, Calculate, Client, Identity, NoisePublicKey, PadError, Purchase, RefusalCode, ServerFolder,
    Voucher,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::kill::{Victim, server};
use crate::postgres::cluster;
use crate::world::{FilePad, User, url};

const PATIENCE: Duration = Duration::from_secs(30);

/// Two processes, with a folder each or one for both.
struct Pair {
    place: TempDir,
    a: Victim,
    b: Victim,
    key: NoisePublicKey,
    voucher: Voucher,
    _cluster: std::sync::Arc<crate::postgres::Cluster>,
}

impl Pair {
    /// None if there is no PostgreSQL.
    async fn new(shared: bool) -> Option<Self> {
        let cluster = cluster()?;
        let store = cluster.database().await;
        let place = tempfile::tempdir().unwrap();
        let identity = Identity::generate(Backend::best(), &mut OsRng);
        let text = identity.to_secret_text().to_string();
        let folders = [place.path().join("a"), place.path().join(if shared { "a" } else { "b" })];
        ServerFolder::provision(&folders[0], &identity).unwrap();
        if !shared {
            copy(&folders[0], &folders[1]);
        }
        AnyStore::provision(&store).await.unwrap().close().await;
        let prepared = server(&store, &folders[0], &text).await;
        let voucher = prepared.operator().sell_voucher(Amount::new(1000)).await.unwrap();
        prepared.run(async {}).await;
        let key = *identity.public().noise_key();
        let [mut a, mut b] = folders.map(|folder| Victim::new(&store, &folder, &text));
        a.start().await;
        b.start().await;
        Some(Self { place, a, b, key, voucher, _cluster: cluster })
    }

    async fn session(&self, process: &Victim, user: &User) -> Client {
        let client = Client::connect(process.addr(), &user.identity, self.key).await.unwrap();
        client.register(user.id, &user.identity).await.unwrap();
        client.login(user.id).await.unwrap();
        client
    }

    async fn buy(&self, client: &Client) -> (FilePad, PadHeader) {
        let purchase = Purchase::new(self.voucher.to_text().parse().unwrap(), 256 << 10, &mut OsRng);
        let path = self.place.path().join("dave.pad");
        let header = client.buy_pad(&purchase, &path).await.unwrap();
        let store = AnyStore::provision(&url(&self.place.path().join("dave.db"))).await.unwrap();
        let material = SinglePad::new(&path);
        Pad::provision(&store, &material, Provision::new(header.pad)).await.unwrap();
        (Pad::attach(&store, &material, header.pad).await.unwrap(), header)
    }
}

/// A folder with the same server keys, and no pads.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::create_dir(to.join("pads")).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Performs one calculation, which costs 4, and gives the value that is left.
async fn spend(client: &Client, pad: FilePad) -> (Amount, FilePad) {
    let pad = client.with_pad(pad);
    let done = loop {
        let quote = pad.quote(Calculate::sum([1, 2])).await.unwrap();
        match pad.perform(&quote).await {
            // It lapsed: this machine is slow, and the server of these tests keeps quotes for a second.
            Err(PadError::Refused(refusal)) if refusal.code() == RefusalCode::Denied => {}
            done => break done.unwrap(),
        }
    };
    assert_eq!((done.answer, done.fee), (3, Amount::new(4)));
    (done.left, pad.into_pad())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_process_answers_under_a_pad_that_another_has() {
    let Some(mut pair) = Pair::new(false).await else { return };
    let dave = User::new("dave");
    let (at_a, at_b) = (pair.session(&pair.a, &dave).await, pair.session(&pair.b, &dave).await);
    let (pad, header) = pair.buy(&at_a).await;
    let mut left = (Amount::new(1000), pad);
    for (n, client) in [&at_a, &at_b, &at_b, &at_a].into_iter().enumerate() {
        left = spend(client, left.1).await;
        assert_eq!(left.0.minor_units(), 1000 - 4 * (u128::try_from(n).unwrap() + 1));
    }
    // Its process is killed: nothing is answered, and nothing of the pad's value is lost.
    pair.a.kill();
    let pad = at_b.with_pad(left.1);
    let refused = pad.balance().await.unwrap_err();
    assert_eq!(refused.refusal().map(|refusal| refusal.code()), Some(RefusalCode::Unavailable), "{refused}");
    pair.a.start().await;
    let balance = timeout(PATIENCE, async {
        loop {
            match pad.balance().await {
                Ok(balance) => break balance,
                Err(error) => assert!(error.refusal().is_some(), "{error}"),
            }
            // Until the process that came back says so.
            sleep(Duration::from_millis(200)).await;
        }
    });
    assert_eq!(balance.await.unwrap(), Amount::new(984));
    drop(pad);
    // Closed from the other side, with what is left on the voucher again.
    at_b.close_pad(&pair.voucher, header.pad).await.unwrap();
    at_b.close_pad(&pair.voucher, header.pad).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pad_in_a_shared_folder_goes_to_the_process_that_lives() {
    let Some(mut pair) = Pair::new(true).await else { return };
    let dave = User::new("dave");
    let at_a = pair.session(&pair.a, &dave).await;
    let (pad, _) = pair.buy(&at_a).await;
    let (left, pad) = spend(&at_a, pad).await;
    assert_eq!(left, Amount::new(996));
    let at_b = pair.session(&pair.b, &dave).await;
    // Paused, it still holds the pad: nobody else uses a byte of it.
    signal(&pair.a, "STOP");
    let held = at_b.with_pad(pad);
    let refused = held.balance().await.unwrap_err();
    assert_eq!(refused.refusal().map(|refusal| refusal.code()), Some(RefusalCode::Unavailable), "{refused}");
    signal(&pair.a, "CONT");
    let (left, pad) = spend(&at_b, held.into_pad()).await;
    assert_eq!(left, Amount::new(992));
    // Killed, it does not.
    pair.a.kill();
    let (left, _) = spend(&at_b, pad).await;
    assert_eq!(left, Amount::new(988));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_reaches_a_user_who_is_connected_to_another_process() {
    let Some(pair) = Pair::new(true).await else { return };
    let (alice, bob) = (User::new("alice"), User::new("bob"));
    let bobs = pair.session(&pair.b, &bob).await;
    let mut pushed = bobs.subscribe(None).await.unwrap();
    let client = pair.session(&pair.a, &alice).await;
    let table = Table::new(alice.id, alice.identity.table_key(), client.directory());
    for text in [&b"one"[..], b"two", b"three"] {
        let sealed = table.seal(&bob.id, text).await.unwrap();
        let number = client.deposit(&sealed).await.unwrap();
        let letter = timeout(PATIENCE, pushed.next()).await.expect("pushed").unwrap();
        assert_eq!(letter, (number, sealed));
    }
}

fn signal(process: &Victim, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &process.id().to_string()]).status().unwrap();
    assert!(status.success());
}
