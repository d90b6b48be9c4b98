//! What a server keeps beside its database: provisioned, attached, backed up, restored.
//!
//! ```text
//! identity                who the server is: four keys from one seed
//! public                  its public half, for clients to pin
//! exchange/               the ring of private server keys, and halves of pads
//! exchange.db*            the database, unless it is elsewhere
//! operator.sock, lock     while it runs
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use symbolon::keys::passphrase::Argon2Params;
use symbolon::keys::{Backend, OsRng};
use symbolon::store::{Postgres, Sqlite};
use symbolon::{AnyStore, Identity, IdentityFile, ServerFolder};
use symbolon_examples::{At, Failure, Lock, keep, passphrase, private_folder};

use super::Places;

/// A server's folder, for one process at a time.
pub(super) struct Place {
    path: PathBuf,
    _lock: Lock,
}

impl Place {
    pub(super) fn attach(path: &Path) -> Result<Self, Failure> {
        if !path.join("identity").is_file() {
            let what = "no server's folder: provision one, or restore a backup";
            return Err(format!("{}: {what}", path.display()).into());
        }
        Ok(Self { path: path.to_path_buf(), _lock: Lock::try_on(&path.join("lock"))? })
    }

    pub(super) fn identity(&self) -> Result<Identity, Failure> {
        let file = IdentityFile::at(self.path.join("identity"));
        Ok(match file.is_protected()? {
            true => file.read_protected(&passphrase(false)?)?,
            false => file.read()?,
        })
    }

    pub(super) fn folder(&self, identity: &Identity) -> Result<ServerFolder, Failure> {
        Ok(ServerFolder::attach(self.path.join("exchange"), identity)?)
    }

    pub(super) fn socket(&self) -> PathBuf {
        socket(&self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Where the operator finds the process that serves.
pub(super) fn socket(data: &Path) -> PathBuf {
    data.join("operator.sock")
}

/// The database that is meant.
pub(super) fn url(places: &Places) -> Result<String, Failure> {
    match &places.store {
        Some(url) => Ok(url.clone()),
        None => {
            let path = std::path::absolute(places.data.join("exchange.db"))?;
            Ok(format!("sqlite:{}", path.to_str().ok_or("the folder's name is not UTF-8")?))
        }
    }
}

/// Creates everything; the identity comes last, and without it the folder is none.
pub(super) async fn provision(places: &Places) -> Result<(), Failure> {
    let data = &places.data;
    if data.join("identity").exists() {
        return Err(format!("{} is a server's folder already: nothing was changed", data.display()).into());
    }
    private_folder(data)?;
    let _lock = Lock::try_on(&data.join("lock"))?;
    let identity = Identity::generate(Backend::best(), &mut OsRng);
    // Of a provisioning that was interrupted: nothing is under keys whose identity never was.
    let exchange = data.join("exchange");
    if exchange.exists() {
        fs::remove_dir_all(&exchange).at(&exchange)?;
    }
    ServerFolder::provision(&exchange, &identity)?;
    AnyStore::provision(&url(places)?).await?.close().await;
    keep(&data.join("public"), format!("{}\n", identity.public()).as_bytes())?;
    let file = IdentityFile::at(data.join("identity"));
    if std::env::var_os("SYMBOLON_PASSPHRASE").is_some() {
        // The tests need not be slow.
        let cost = if cfg!(test) { Argon2Params::FLOOR } else { Argon2Params::default() };
        file.create_protected(&identity, &passphrase(true)?, cost, &mut OsRng)?;
    } else {
        file.create(&identity)?;
    }
    println!("key         {}", identity.public());
    println!("fingerprint {}", identity.public().fingerprint());
    Ok(())
}

/// Copies what is in the folder and has no other copy; the database is backed up by its own engine.
pub(super) async fn back_up(place: &Path, store: &AnyStore, to: &Path) -> Result<String, Failure> {
    if to.exists() {
        return Err(format!("{} exists: nothing is overwritten", to.display()).into());
    }
    // Whole under its name, or not there.
    let new = PathBuf::from(format!("{}.new", to.display()));
    if new.exists() {
        fs::remove_dir_all(&new).at(&new)?;
    }
    private_folder(&new)?;
    let database = match store {
        AnyStore::Sqlite(sqlite) => {
            // The database first: a pad that is sold in between has a half too many, and not one too few.
            sqlite.backup(new.join("exchange.db")).await?;
            "database and folder"
        }
        _ => "the folder; the database is for its own tools",
    };
    for name in ["identity", "public"] {
        copy(&place.join(name), &new.join(name))?;
    }
    copy_folder(&place.join("exchange"), &new.join("exchange"))?;
    fs::rename(&new, to).at(to)?;
    Ok(format!("{database}: {}", to.display()))
}

/// Takes a backup into use in new places. Its pads stay halted, as its users may have used them since.
pub(super) async fn restore(from: &Path, places: &Places) -> Result<(), Failure> {
    let data = &places.data;
    if data.join("identity").exists() {
        return Err(format!("{} is a server's folder already: nothing was changed", data.display()).into());
    }
    private_folder(data)?;
    let _lock = Lock::try_on(&data.join("lock"))?;
    let exchange = data.join("exchange");
    if exchange.exists() {
        fs::remove_dir_all(&exchange).at(&exchange)?;
    }
    copy_folder(&from.join("exchange"), &exchange)?;
    copy(&from.join("public"), &data.join("public"))?;
    let url = url(places)?;
    let backup = from.join("exchange.db");
    if let (Some(path), true) = (url.strip_prefix("sqlite:"), backup.exists()) {
        for (from, to) in [("exchange.db", path.into()), ("exchange.db-files", format!("{path}-files"))] {
            let (from, to) = (from_backup(&backup, from), PathBuf::from(to));
            match from.is_dir() {
                true => copy_folder(&from, &to)?,
                false if from.exists() => copy(&from, &to)?,
                false => {}
            }
        }
    }
    AnyStore::attach_after_restore(&url).await?.close().await;
    copy(&from.join("identity"), &data.join("identity"))?;
    println!("restored: pads are halted until their users close them; start the server");
    Ok(())
}

/// Makes a folder for another process: what all processes of a server share, and no pads.
pub(super) fn join(from: &Path, data: &Path) -> Result<(), Failure> {
    if data.join("identity").exists() {
        return Err(format!("{} is a server's folder already: nothing was changed", data.display()).into());
    }
    private_folder(data)?;
    let _lock = Lock::try_on(&data.join("lock"))?;
    let (exchange, keys) = (data.join("exchange"), Path::new("exchange").join("server-keys.age"));
    if exchange.exists() {
        fs::remove_dir_all(&exchange).at(&exchange)?;
    }
    private_folder(&exchange)?;
    private_folder(&exchange.join("pads"))?;
    copy(&from.join(&keys), &data.join(&keys))?;
    copy(&from.join("public"), &data.join("public"))?;
    copy(&from.join("identity"), &data.join("identity"))?;
    println!("joined: start it with the --store of the others");
    Ok(())
}

pub(super) async fn upgrade(places: &Places) -> Result<(), Failure> {
    let url = url(places)?;
    match url.strip_prefix("sqlite:") {
        Some(path) => Sqlite::upgrade(path).await?,
        None => Postgres::upgrade(&url).await?,
    }
    println!("the database has this release's schema");
    Ok(())
}

pub(super) async fn fail_over(places: &Places) -> Result<(), Failure> {
    Postgres::attach_after_failover(&url(places)?).await?.close().await;
    println!("the standby is the database from now on; start the server");
    Ok(())
}

fn from_backup(backup: &Path, name: &str) -> PathBuf {
    backup.with_file_name(name)
}

/// A copy that is there in full or not at all, and never over another file.
fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    if to.exists() {
        return Err(format!("{} exists: nothing is overwritten", to.display()).into());
    }
    let copied = symbolon::envelope::NewFile::create(to).and_then(|mut file| {
        std::io::copy(&mut fs::File::open(from)?, &mut file)?;
        file.commit()
    });
    copied.at(from)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    private_folder(to)?;
    for entry in from.read_dir().at(from)? {
        let entry = entry.at(from)?;
        let (path, name) = (entry.path(), entry.file_name());
        match path.is_dir() {
            true => copy_folder(&path, &to.join(name))?,
            false => copy(&path, &to.join(name))?,
        }
    }
    Ok(())
}
