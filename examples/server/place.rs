//! What a server keeps beside its database: provisioned, attached, backed up, restored.
//!
//! ```text
//! identity                who the server is: four keys from one seed
//! public                  its public half, for clients to pin
//! exchange/               the ring of private server keys, and halves of pads
//! exchange.db*            the database, unless it is elsewhere
//! operator.sock, lock     while it runs
//! sale                    locked while a voucher is made
//! unfinished              what was begun and interrupted, before there is an identity
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use symbolon::keys::passphrase::Argon2Params;
use symbolon::keys::{Backend, OsRng};
use symbolon::store::{AttachError, Postgres, Restored, Sqlite};
use symbolon::{AnyStore, Identity, IdentityFile, ServerFolder};
use symbolon_examples::{At, Failure, Lock, forget, keep, passphrase, private_folder};
use tokio::task::spawn_blocking;

use super::Places;
use super::making::{BESIDE, Making, UNFINISHED, beside};

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
        let lock = Lock::try_on(&path.join("lock"))?;
        // Everything is there: only this was not removed any more.
        forget(&path.join(UNFINISHED))?;
        Ok(Self { path: path.to_path_buf(), _lock: lock })
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

/// Creates everything; the same again goes on with what was interrupted.
pub(super) async fn provision(places: &Places) -> Result<(), Failure> {
    let (data, url) = (&places.data, url(places)?);
    let making = Making::begin(data, &format!("provision {url}"), &[])?;
    let identity = Identity::generate(Backend::best(), &mut OsRng);
    let file = IdentityFile::at(making.identity());
    if std::env::var_os("SYMBOLON_PASSPHRASE").is_some() {
        // The tests need not be slow.
        let cost = if cfg!(test) { Argon2Params::FLOOR } else { Argon2Params::default() };
        file.create_protected(&identity, &passphrase(true)?, cost, &mut OsRng)?;
    } else {
        file.create(&identity)?;
    }
    ServerFolder::provision(data.join("exchange"), &identity)?;
    keep(&data.join("public"), format!("{}\n", identity.public()).as_bytes())?;
    match AnyStore::provision(&url).await {
        Ok(store) => store.close().await,
        Err(AttachError::Exists { .. } | AttachError::Provisioned) if making.again => {
            adopt(&url).await?.close().await;
        }
        Err(error) => {
            if matches!(error, AttachError::Exists { .. } | AttachError::Provisioned) {
                // It is not ours, and must not be taken for it the next time.
                making.give_up()?;
            }
            return Err(error.into());
        }
    }
    making.finish()?;
    println!("key         {}", identity.public());
    println!("fingerprint {}", identity.public().fingerprint());
    Ok(())
}

/// A database that an interrupted `provision` made, and maybe could not guard: nothing is in it.
async fn adopt(url: &str) -> Result<AnyStore, AttachError> {
    match AnyStore::attach(url).await {
        Err(AttachError::RestoreRequired(Restored::NoGuard)) => AnyStore::attach_after_restore(url).await,
        attached => attached,
    }
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
    let (place, whole) = (place.to_path_buf(), to.to_path_buf());
    // Away from the threads that serve.
    let copied = spawn_blocking(move || {
        for name in ["identity", "public"] {
            copy(&place.join(name), &new.join(name))?;
        }
        copy_folder(&place.join("exchange"), &new.join("exchange"))?;
        symbolon_examples::rename(&new, &whole)
    });
    copied.await??;
    Ok(format!("{database}: {}", to.display()))
}

/// Takes a backup into use in new places; the same again goes on with what was interrupted. Its pads stay halted, as its
/// users may have used them since.
pub(super) async fn restore(from: &Path, places: &Places) -> Result<(), Failure> {
    let (data, url, backup) = (&places.data, url(places)?, from.join("exchange.db"));
    is_whole(from)?;
    let database = url.strip_prefix("sqlite:").filter(|_| backup.exists()).map(PathBuf::from);
    let names = database.iter().flat_map(|path| BESIDE.map(|end| beside(path, end))).collect::<Vec<_>>();
    let making = Making::begin(data, &format!("restore {url}"), &names)?;
    copy_folder(&from.join("exchange"), &data.join("exchange"))?;
    copy(&from.join("public"), &data.join("public"))?;
    if let Some(path) = database {
        let files = beside(&backup, "-files");
        if files.is_dir() {
            copy_folder(&files, &beside(&path, "-files"))?;
        }
        copy(&backup, &path)?;
    }
    AnyStore::attach_after_restore(&url).await?.close().await;
    copy(&from.join("identity"), &making.identity())?;
    making.finish()?;
    println!("restored: pads are halted until their users close them; start the server");
    Ok(())
}

/// Makes a folder for another process: what all processes of a server share, and no pads.
pub(super) fn join(from: &Path, data: &Path) -> Result<(), Failure> {
    is_whole(from)?;
    let making = Making::begin(data, "join", &[])?;
    let (exchange, keys) = (data.join("exchange"), Path::new("exchange").join("server-keys.age"));
    private_folder(&exchange)?;
    private_folder(&exchange.join("pads"))?;
    copy(&from.join(&keys), &data.join(&keys))?;
    copy(&from.join("public"), &data.join("public"))?;
    copy(&from.join("identity"), &making.identity())?;
    making.finish()?;
    println!("joined: start it with the --store of the others");
    Ok(())
}

fn is_whole(from: &Path) -> Result<(), Failure> {
    match from.join("identity").is_file() {
        true => Ok(()),
        false => Err(format!("{}: neither a server's folder nor a backup of one", from.display()).into()),
    }
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

/// Copies a folder that may be in use: its lock, and what has no name yet, is not part of it.
fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    private_folder(to)?;
    for entry in from.read_dir().at(from)? {
        let entry = entry.at(from)?;
        let (path, name) = (entry.path(), entry.file_name());
        let ends = |end| path.extension().is_some_and(|found| found == end);
        if name == "in-use" || name.as_encoded_bytes().starts_with(b".") || ends("new") {
            continue;
        }
        let copied = match path.is_dir() {
            true => copy_folder(&path, &to.join(&name)),
            false => copy(&path, &to.join(&name)),
        };
        match copied {
            // A buyer's half, which the buyer has by now.
            Err(_) if ends("copy") && !path.exists() => {}
            copied => copied?,
        }
    }
    Ok(())
}
