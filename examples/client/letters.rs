//! Messages as files: sealed as they came, in the folder that says how far they have come. That a file is there, in
//! whichever folder, is the memory of its message; so a message is remembered and kept in one step, and neither lost nor
//! accepted twice, whenever the program ends.

use std::path::PathBuf;

use symbolon::Id;
use symbolon::keys::Epoch;
use symbolon::table::{InboxStore, MessageId, StoreError};
use symbolon_examples::{At, Failure, keep, kept};

use crate::home::Person;

/// Not shown yet.
pub(crate) const NEW: &str = "mail/new";
/// Shown, and waiting for an answer.
pub(crate) const ORDERS: &str = "mail/orders";
/// Done: the file is empty.
pub(crate) const DONE: &str = "mail/done";

pub(crate) const FOLDERS: [&str; 4] = ["mail", NEW, ORDERS, DONE];

/// One message on its way into the folder; the lock is held.
pub(crate) struct Arrival {
    folders: [PathBuf; 3],
    sealed: Vec<u8>,
}

impl Arrival {
    pub(crate) fn new(person: &Person, sealed: Vec<u8>) -> Self {
        Self { folders: [NEW, ORDERS, DONE].map(|folder| person.home.path(folder)), sealed }
    }
}

impl InboxStore for Arrival {
    async fn remember(
        &self,
        _recipient: &Id,
        sender: &Id,
        id: &MessageId,
        epoch: Epoch,
    ) -> Result<bool, StoreError> {
        let name = format!("{epoch}-{id}-{sender}");
        if self.folders.iter().any(|folder| folder.join(&name).exists()) {
            return Ok(false);
        }
        let [new, ..] = &self.folders;
        keep(&new.join(name), &self.sealed).map_err(|error| StoreError::retryable(error.to_string()))?;
        Ok(true)
    }

    async fn forget(&self, _recipient: &Id, epoch: Epoch) -> Result<u64, StoreError> {
        let failed = |error: std::io::Error| StoreError::retryable(error.to_string());
        let [.., done] = &self.folders;
        let mut forgotten = 0_u64;
        for entry in done.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let of = name.to_str().and_then(|name| name.split_once('-')?.0.parse().ok());
            if of.is_some_and(|of: u64| of < epoch.number()) {
                std::fs::remove_file(entry.path()).map_err(failed)?;
                forgotten = forgotten.saturating_add(1);
            }
        }
        Ok(forgotten)
    }
}

/// The names of messages in a folder, oldest first.
pub(crate) fn names(person: &Person, folder: &str) -> Result<Vec<String>, Failure> {
    let path = person.home.path(folder);
    let mut names = Vec::new();
    for entry in path.read_dir().at(&path)? {
        let entry = entry.at(&path)?;
        let since = entry.metadata().and_then(|metadata| metadata.modified()).at(&path)?;
        match entry.file_name().into_string() {
            // One that begins with a dot never got its name.
            Ok(name) if !name.starts_with('.') => names.push((since, name)),
            _ => {}
        }
    }
    names.sort();
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

/// A message as it came.
pub(crate) fn sealed(person: &Person, folder: &str, name: &str) -> Result<Vec<u8>, Failure> {
    let path = person.home.path(folder).join(name);
    Ok(kept(&path)?.ok_or_else(|| format!("{}: gone", path.display()))?.to_vec())
}

/// Shown, and done with: what remains is the name.
pub(crate) fn done(person: &Person, folder: &str, name: &str) -> Result<(), Failure> {
    keep(&person.home.path(DONE).join(name), &[])?;
    symbolon_examples::forget(&person.home.path(folder).join(name))
}

/// Shown, and waiting for an answer.
pub(crate) fn waits(person: &Person, name: &str) -> Result<(), Failure> {
    let (from, to) = (person.home.path(NEW).join(name), person.home.path(ORDERS).join(name));
    std::fs::rename(&from, &to).at(&from)
}
