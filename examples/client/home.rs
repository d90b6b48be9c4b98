//! The folder of one user.
//!
//! ```text
//! identity            the user's keys, under the passphrase
//! settings            who the user is, and which server is pinned
//! enrolment           the key for documents, sealed for the server: for its operator, once
//! outgoing            a message that may not have reached the server (`mail`)
//! mail/               messages, sealed as they came (`letters`)
//! orders/             what the user asked others to pay, sealed (`orders`)
//! documents/          the records of the user's documents, by name (`documents`)
//! purchase, pad       a pad, and what it was bought with (`pads`)
//! client.db*          what must not happen twice: the pad's ledger, approvals that counted
//! lock                held by one command at a time
//! ```

use core::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use symbolon::envelope::{Expect, UserKey, UserParameters, open, seal};
use symbolon::keys::passphrase::{Argon2Params, Passphrase};
use symbolon::keys::{Backend, Epoch, OsRng, PublicIdentity};
use symbolon::{AnyStore, Client, ClientError, Id, Identity, IdentityFile};
use symbolon_examples::{Enrolment, Failure, Lock, keep, kept, passphrase, private_folder};
use zeroize::Zeroizing;

use crate::{letters, pads};

/// What each guess at the passphrase costs; the tests need not be slow.
fn cost() -> Argon2Params {
    if cfg!(test) { Argon2Params::FLOOR } else { Argon2Params::default() }
}

/// A folder, there or not.
pub(crate) struct Home(PathBuf);

/// The one whose folder it is.
pub(crate) struct Person {
    pub(crate) home: Home,
    pub(crate) id: Id,
    pub(crate) identity: Identity,
    pub(crate) realm: Id,
    server: SocketAddr,
    key: PublicIdentity,
    passphrase: Passphrase,
}

impl Home {
    pub(crate) const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Waits for other commands in this folder to end, and holds up the next.
    pub(crate) async fn lock(&self) -> Result<Lock, Failure> {
        Lock::on(&self.path("lock")).await
    }

    /// What must not happen twice, for as long as the lock is held.
    pub(crate) async fn database(&self) -> Result<AnyStore, Failure> {
        let path = std::path::absolute(self.path("client.db"))?;
        let url = format!("sqlite:{}", path.to_str().ok_or("the folder's name is not UTF-8")?);
        Ok(AnyStore::attach(&url).await?)
    }

    /// Makes what is missing, in an order in which each step can be taken again.
    pub(crate) async fn register(
        self,
        id: Id,
        server: SocketAddr,
        key: PublicIdentity,
        realm: Id,
    ) -> Result<(), Failure> {
        private_folder(&self.0)?;
        let lock = self.lock().await?;
        for folder in letters::FOLDERS.into_iter().chain(["orders", "documents"]) {
            private_folder(&self.path(folder))?;
        }
        let file = IdentityFile::at(self.path("identity"));
        let new = !file.path().exists();
        let typed = passphrase(new)?;
        if new {
            let identity = Identity::generate(Backend::best(), &mut OsRng);
            file.create_protected(&identity, &typed, cost(), &mut OsRng)?;
        }
        let settings = json!({
            "user": id.as_str(), "server": server.to_string(), "key": key.to_string(), "realm": realm.as_str(),
        });
        match self.settings()? {
            Some(there) if ["user", "key"].iter().any(|name| there.get(name) != settings.get(name)) => {
                return Err(format!("{}: somebody else's, or for another server", self.0.display()).into());
            }
            // The same person at the same server, which may have another address by now.
            _ => keep(&self.path("settings"), settings.to_string().as_bytes())?,
        }
        let database = self.path("client.db");
        if !database.exists() {
            let path = std::path::absolute(&database)?;
            let url = format!("sqlite:{}", path.to_str().ok_or("the folder's name is not UTF-8")?);
            AnyStore::provision(&url).await?.close().await;
        }
        let person = self.person_with(typed)?;
        let client = Client::connect(server, &person.identity, *person.key.noise_key()).await?;
        let record = client.register(id, &person.identity).await?;
        person.enrolment()?;
        drop(lock);
        println!("{id} is registered, epoch {}", record.epoch());
        println!("fingerprint of the server {}", person.key.fingerprint());
        println!("for documents, have the operator enrol {}", person.home.path("enrolment").display());
        Ok(())
    }

    /// Whose folder this is.
    pub(crate) fn person(self) -> Result<Person, Failure> {
        if self.settings()?.is_none() {
            return Err(
                format!("{}: nobody is registered here: `client register` first", self.0.display()).into()
            );
        }
        self.person_with(passphrase(false)?)
    }

    fn person_with(self, passphrase: Passphrase) -> Result<Person, Failure> {
        let settings = self.settings()?.unwrap_or_default();
        let text = |name| {
            let text = settings.get(name).and_then(Value::as_str);
            text.ok_or("the settings are damaged: register again")
        };
        let identity = IdentityFile::at(self.path("identity")).read_protected(&passphrase)?;
        Ok(Person {
            id: text("user")?.parse()?,
            server: text("server")?.parse()?,
            key: text("key")?.parse()?,
            realm: text("realm")?.parse()?,
            home: self,
            identity,
            passphrase,
        })
    }

    fn settings(&self) -> Result<Option<Value>, Failure> {
        Ok(kept(&self.path("settings"))?.map(|text| serde_json::from_slice(&text)).transpose()?)
    }
}

impl Person {
    /// A session with this user logged in.
    pub(crate) async fn connect(&self) -> Result<Client, ClientError> {
        let client = Client::connect(self.server, &self.identity, *self.key.noise_key()).await?;
        client.login(self.id).await?;
        Ok(client)
    }

    /// The key for documents, from the passphrase and what the server says inside the session (E8).
    pub(crate) async fn key(&self, client: &Client) -> Result<UserKey, Failure> {
        self.derive(&client.key_parameters(self.id).await?)
    }

    fn derive(&self, parameters: &UserParameters) -> Result<UserKey, Failure> {
        Ok(UserKey::derive(self.realm, self.id, &self.passphrase, None, parameters)?)
    }

    /// What the operator needs to take the key for documents in; made once.
    fn enrolment(&self) -> Result<(), Failure> {
        let path = self.home.path("enrolment");
        if path.exists() {
            return Ok(());
        }
        let mut parameters = UserParameters::generate(Epoch::FIRST, &mut OsRng);
        (parameters.derivation.memory_kib, parameters.derivation.passes) =
            (cost().memory_kib(), cost().passes());
        parameters.derivation.lanes = cost().lanes();
        let key = self.derive(&parameters)?;
        keep(&path, &Enrolment { user: self.id, parameters, key }.seal(self.key.age_key())?)
    }

    /// Keeps something that only this user can read again.
    pub(crate) fn keep_sealed(&self, path: &Path, content: &[u8]) -> Result<(), Failure> {
        keep(path, &seal(&[self.identity.public().age_key()], content)?)
    }

    /// What was kept so, if it is there.
    pub(crate) fn sealed(&self, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let Some(sealed) = kept(path)? else { return Ok(None) };
        let opened = open(&self.identity.age_key(), Expect::anything(), &sealed)?;
        Ok(Some(Zeroizing::new(opened.plaintext().to_vec())))
    }

    pub(crate) async fn status(&self, as_json: bool) -> Result<(), Failure> {
        let _lock = self.home.lock().await?;
        let waiting = async {
            let client = self.connect().await?;
            let waiting = client.poll(None, 256).await?.letters.len();
            client.close().await?;
            Ok::<_, ClientError>(waiting)
        };
        let (waiting, failure) = match waiting.await {
            Ok(waiting) => (Some(waiting), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let orders = letters::names(self, letters::ORDERS)?.len();
        let left = pads::left(self).await?;
        let status = json!({
            "user": self.id.as_str(), "server": self.server.to_string(),
            "fingerprint": self.key.fingerprint().to_string(),
            "letters waiting": waiting, "server says": failure, "orders waiting": orders, "left of the pad": left,
        });
        if as_json {
            println!("{status}");
        } else {
            for (name, value) in
                status.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null())
            {
                println!(
                    "{name:<16} {}",
                    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
                );
            }
        }
        Ok(())
    }
}
