//! A server on loopback with a database in a temporary folder, and users with databases of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use symbolon::keys::{Backend, OsRng};
use symbolon::ledger::{Amount, Pad, PadHeader, Provision, SinglePad};
use symbolon::store::Options;
use symbolon::{
    AnyStore, Calculation, Client, Id, Identity, NoisePublicKey, Operator, Purchase, Server, ServerBuilder,
    ServerFolder,
};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) type FilePad = Pad<AnyStore, symbolon::ledger::material::FileHalf>;

pub(crate) struct World {
    folder: TempDir,
    identity: String,
    pub(crate) addr: SocketAddr,
    pub(crate) key: NoisePublicKey,
    pub(crate) operator: Operator,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

pub(crate) struct User {
    pub(crate) id: Id,
    pub(crate) identity: Identity,
}

impl User {
    pub(crate) fn new(name: &str) -> Self {
        Self { id: name.parse().unwrap(), identity: Identity::generate(Backend::best(), &mut OsRng) }
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|server| server).await
    }

    /// A server with other limits.
    pub(crate) async fn with(limits: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        Self::on(Options::default(), limits).await
    }

    /// A server with other limits, on a database with other options.
    pub(crate) async fn on(options: Options, limits: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::generate(Backend::best(), &mut OsRng);
        let store = AnyStore::Sqlite(options.provision(folder.path().join("exchange.db")).await.unwrap());
        let rest = ServerFolder::provision(folder.path().join("exchange"), &identity).unwrap();
        let text = identity.to_secret_text().to_string();
        let (addr, key, operator, running) = start(store, identity, rest, limits).await;
        Self { folder, identity: text, addr, key, operator, running: Some(running) }
    }

    /// Stops the server in order, and starts it again on what it left.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let identity: Identity = self.identity.parse().unwrap();
        let store = AnyStore::attach(&url(&self.path("exchange.db"))).await.unwrap();
        let rest = ServerFolder::attach(self.path("exchange"), &identity).unwrap();
        let running;
        (self.addr, self.key, self.operator, running) = start(store, identity, rest, |server| server).await;
        self.running = Some(running);
    }

    pub(crate) async fn stop(&mut self) {
        let Some((stop, running)) = self.running.take() else { return };
        let _ = stop.send(());
        running.await.unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn connect(&self, user: &User) -> Client {
        Client::connect(self.addr, &user.identity, self.key).await.unwrap()
    }

    /// A session with the user registered and logged in.
    pub(crate) async fn login(&self, user: &User) -> Client {
        let client = self.connect(user).await;
        client.register(user.id, &user.identity).await.unwrap();
        client.login(user.id).await.unwrap();
        client
    }

    pub(crate) async fn database(&self, name: &str) -> AnyStore {
        let path = self.path(name);
        let url = url(&path);
        if path.exists() {
            AnyStore::attach(&url).await.unwrap()
        } else {
            AnyStore::provision(&url).await.unwrap()
        }
    }

    /// As [`Self::buy`], with a part of both lanes witnessed: frames can be sealed by hand.
    pub(crate) async fn ready(&self, client: &Client, name: &str) -> FilePad {
        let (pad, _) = self.buy(client, 64 << 10, 100, name).await;
        let pad = client.with_pad(pad);
        pad.balance().await.unwrap();
        pad.into_pad()
    }

    /// Buys a pad of `bytes` worth `value`, and attaches it on a database of the user's own.
    pub(crate) async fn buy(
        &self,
        client: &Client,
        bytes: u64,
        value: u128,
        name: &str,
    ) -> (FilePad, PadHeader) {
        let voucher = self.operator.sell_voucher(Amount::new(value)).await.unwrap();
        let path = self.path(&format!("{name}.pad"));
        let header = client.buy_pad(&Purchase::new(voucher, bytes, &mut OsRng), &path).await.unwrap();
        let store = self.database(&format!("{name}.db")).await;
        let material = SinglePad::new(&path);
        Pad::provision(&store, &material, Provision::new(header.pad)).await.unwrap();
        (Pad::attach(&store, &material, header.pad).await.unwrap(), header)
    }
}

async fn start(
    store: AnyStore,
    identity: Identity,
    folder: ServerFolder,
    limits: impl FnOnce(ServerBuilder) -> ServerBuilder,
) -> (SocketAddr, NoisePublicKey, Operator, (oneshot::Sender<()>, JoinHandle<()>)) {
    let server = limits(Server::builder(store, identity, folder).service(Calculation::at(Amount::new(2))))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let (addr, key, operator) = (server.local_addr(), *server.public_key(), server.operator());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    (addr, key, operator, (stop, running))
}

pub(crate) fn url(path: &Path) -> String {
    format!("sqlite:{}", path.to_str().unwrap())
}

/// Polls a future so often; whether it was still pending at the end.
pub(crate) async fn still_pending_after<F: Future + Unpin>(times: usize, future: &mut F) -> bool {
    for _ in 0..times {
        let ready = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_ready())
        });
        if ready.await {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}
