//! The stage: a server that runs, and two users with their keys, passphrases and own databases.

use core::future::Future;
use core::net::SocketAddr;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;
use symbolon::keys::passphrase::Passphrase;
use symbolon::keys::{Backend, OsRng, Secret};
use symbolon::ledger::Amount;
use symbolon::{
    AnyStore, Calculation, Client, Id, Identity, IdentityFile, NoisePublicKey, Operator, Server, ServerFolder,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Failure;
use crate::story::Story;

pub(crate) struct Scene {
    pub(crate) folder: PathBuf,
    /// Whether an earlier run left something to go on from.
    pub(crate) resumed: bool,
    pub(crate) server: SocketAddr,
    pub(crate) server_key: NoisePublicKey,
    pub(crate) operator: Operator,
    pub(crate) alice: User,
    pub(crate) bob: User,
    pub(crate) mallory: User,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

pub(crate) struct User {
    pub(crate) id: Id,
    pub(crate) identity: Identity,
    pub(crate) passphrase: Passphrase,
    /// What the user's own device keeps: the inbox, and the ledger of pads.
    pub(crate) store: AnyStore,
}

impl Scene {
    pub(crate) async fn open(folder: &Path, listen: SocketAddr, story: &mut Story) -> Result<Self, Failure> {
        story.step("A server listens, two users connect, and each is sent to a port of its own");
        std::fs::create_dir_all(folder)?;
        // Whatever is there must be all there: what is missing from a folder in use is never made anew.
        let resumed = folder.read_dir()?.next().is_some();
        let place = Place { folder, resumed };
        let identity = place.identity("server")?;
        let store = place.database("exchange").await?;
        let rest = place.server_folder("exchange", &identity)?;
        let server = Server::builder(store, identity, rest)
            .service(Calculation::at(Amount::new(2)))
            .bind(listen)
            .await?;
        let (address, key, operator) = (server.local_addr(), *server.public_key(), server.operator());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        story.shows(
            "A1",
            "the server runs on its well-known port",
            json!({ "address": address.to_string(), "key": key.to_string(), "resumed": resumed }),
        );
        Ok(Self {
            resumed,
            server: address,
            server_key: key,
            operator,
            alice: place.user("alice").await?,
            bob: place.user("bob").await?,
            mallory: place.user("mallory").await?,
            folder: folder.to_path_buf(),
            stop,
            running,
        })
    }

    /// Stops the server, which finishes what it was doing, and closes the databases.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        let _ = self.stop.send(());
        self.running.await?;
        drop(self.operator);
        for user in [self.alice, self.bob, self.mallory] {
            user.store.close().await;
        }
        Ok(())
    }

    pub(crate) async fn connect(&self, user: &User) -> Result<Client, Failure> {
        Ok(Client::connect(self.server, &user.identity, self.server_key).await?)
    }
}

/// A folder, new or in use.
struct Place<'a> {
    folder: &'a Path,
    resumed: bool,
}

impl Place<'_> {
    async fn user(&self, name: &str) -> Result<User, Failure> {
        let path = self.folder.join(format!("{name}.passphrase"));
        if !self.resumed {
            let secret = Secret::<16>::generate(&mut OsRng);
            let text: String = secret.expose().iter().map(|byte| format!("{byte:02x}")).collect();
            private(&path, text.as_bytes())?;
        }
        Ok(User {
            id: name.parse()?,
            identity: self.identity(name)?,
            passphrase: std::fs::read_to_string(path)?.parse()?,
            store: self.database(name).await?,
        })
    }

    fn identity(&self, name: &str) -> Result<Identity, Failure> {
        let file = IdentityFile::at(self.folder.join(format!("{name}.identity")));
        if !self.resumed {
            file.create(&Identity::generate(Backend::best(), &mut OsRng))?;
        }
        Ok(file.read()?)
    }

    async fn database(&self, name: &str) -> Result<AnyStore, Failure> {
        let path = self.folder.join(format!("{name}.db"));
        let url = format!("sqlite:{}", path.to_str().ok_or("the folder's name is not UTF-8")?);
        Ok(if self.resumed { AnyStore::attach(&url).await? } else { AnyStore::provision(&url).await? })
    }

    fn server_folder(&self, name: &str, identity: &Identity) -> Result<ServerFolder, Failure> {
        let path = self.folder.join(name);
        Ok(if self.resumed {
            ServerFolder::attach(path, identity)?
        } else {
            ServerFolder::provision(path, identity)?
        })
    }
}

/// A new file that only its owner can read.
fn private(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?.write_all(content)?)
}

/// Whether `attempt` fails, and how.
pub(crate) async fn fails<T, E: core::fmt::Display>(
    attempt: impl Future<Output = Result<T, E>>,
) -> Option<String> {
    attempt.await.err().map(|error| error.to_string())
}
