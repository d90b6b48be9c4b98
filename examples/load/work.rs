//! What one client does over and over.

use core::future::Future;
use std::sync::Arc;

use symbolon::envelope::{Context, RecordId, UserKey, UserParameters};
use symbolon::keys::{Backend, Epoch, Id, Identity, OsRng};
use symbolon::ledger::material::FileHalf;
use symbolon::ledger::{Amount, MemoryStore, Pad, Provision, SinglePad};
use symbolon::table::{Table, pad};
use symbolon::{Calculate, Client, PadClient, Purchase, RemoteDirectory};
use symbolon_examples::Failure;

use super::Target;

pub(super) trait Step: Send + 'static {
    fn step(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

struct User {
    id: Id,
    identity: Identity,
    client: Client,
}

/// A user of a name of their own, registered and logged in.
async fn user(target: &Target, what: &str, n: usize) -> Result<User, Failure> {
    let (id, identity) = (format!("{what}-{n}").parse()?, Identity::generate(Backend::best(), &mut OsRng));
    let client = Client::connect(target.server, &identity, target.key).await?;
    client.register(id, &identity).await?;
    client.login(id).await?;
    Ok(User { id, identity, client })
}

pub(super) struct Mail {
    from: User,
    table: Table<RemoteDirectory>,
    to: User,
}

pub(super) async fn mail(target: Arc<Target>, n: usize) -> Result<Mail, Failure> {
    let (from, to) = (user(&target, "from", n).await?, user(&target, "to", n).await?);
    let table = Table::new(from.id, from.identity.table_key(), from.client.directory());
    Ok(Mail { from, table, to })
}

impl Step for Mail {
    async fn step(&mut self) -> Result<(), Failure> {
        let sealed = self.table.seal(&self.to.id, &pad(&[7; 900])).await?;
        let number = self.from.client.deposit(&sealed).await?;
        let letters = self.to.client.poll(None, 4).await?.letters;
        let there = letters.iter().any(|(at, _)| *at == number);
        self.to.client.acknowledge(&[number]).await?;
        if there { Ok(()) } else { Err("the letter did not arrive".into()) }
    }
}

pub(super) struct Records {
    user: User,
    key: UserKey,
    realm: Id,
    document: Vec<u8>,
}

pub(super) async fn small_records(target: Arc<Target>, n: usize) -> Result<Records, Failure> {
    records(target, "small", n, 1 << 10).await
}

pub(super) async fn large_records(target: Arc<Target>, n: usize) -> Result<Records, Failure> {
    records(target, "large", n, 1 << 20).await
}

async fn records(target: Arc<Target>, what: &str, n: usize, len: usize) -> Result<Records, Failure> {
    let user = user(&target, what, n).await?;
    // Deriving a key from a passphrase is slow on purpose, and nothing that the server does.
    let key = UserKey::generate(&mut OsRng);
    let parameters = UserParameters::generate(Epoch::FIRST, &mut OsRng);
    target.operator.enrol_key(user.id, &key, &parameters).await?;
    Ok(Records { user, key, realm: target.operator.realm(), document: vec![7; len] })
}

impl Step for Records {
    async fn step(&mut self) -> Result<(), Failure> {
        let Self { user, key, realm, document } = self;
        let record = RecordId::generate(&mut OsRng);
        let context = Context::new(*realm, record, user.id);
        user.client.put(key, &context, None, &document[..]).await?;
        user.client.get(key, *realm, record, tokio::io::sink()).await?;
        Ok(())
    }
}

pub(super) struct Sessions {
    target: Arc<Target>,
    id: Id,
    identity: Identity,
}

pub(super) async fn sessions(target: Arc<Target>, n: usize) -> Result<Sessions, Failure> {
    let User { id, identity, client } = user(&target, "session", n).await?;
    client.close().await?;
    Ok(Sessions { target, id, identity })
}

impl Step for Sessions {
    async fn step(&mut self) -> Result<(), Failure> {
        let client = Client::connect(self.target.server, &self.identity, self.target.key).await?;
        client.login(self.id).await?;
        Ok(client.close().await?)
    }
}

pub(super) struct Services(PadClient<Arc<MemoryStore>, FileHalf>);

pub(super) async fn services(target: Arc<Target>, n: usize) -> Result<Services, Failure> {
    let identity = Identity::generate(Backend::best(), &mut OsRng);
    let client = Client::connect(target.server, &identity, target.key).await?;
    let voucher = target.operator.sell_voucher(Amount::new(1 << 40)).await?;
    let path = target.folder.path().join(format!("{n}-{}.pad", target.operator.books().await?.entries));
    let header = client.buy_pad(&Purchase::new(voucher, 16 << 20, &mut OsRng), &path).await?;
    // The client's own ledger is in memory: what is measured is the server's.
    let (store, material) = (Arc::new(MemoryStore::new()), SinglePad::new(&path));
    Pad::provision(&store, &material, Provision::new(header.pad)).await?;
    Ok(Services(client.with_pad(Pad::attach(&store, &material, header.pad).await?)))
}

impl Step for Services {
    async fn step(&mut self) -> Result<(), Failure> {
        let quote = self.0.quote(Calculate::sum([1, 2, 3])).await?;
        self.0.perform(&quote).await?;
        Ok(())
    }
}
