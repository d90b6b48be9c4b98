//! Where a test keeps its databases.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use symbolon_store::{AnyStore, Sqlite};
use tempfile::TempDir;

/// A folder that goes when the test ends.
pub struct Place {
    folder: TempDir,
    databases: Cell<u32>,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), databases: Cell::new(0) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new database under a new name.
    pub async fn fresh(&self) -> Sqlite {
        let n = self.databases.get() + 1;
        self.databases.set(n);
        Sqlite::provision(self.path(&format!("{n}.db"))).await.unwrap()
    }
}

/// Closes a database and attaches it again.
pub async fn reopen(store: Sqlite) -> Sqlite {
    let path = store.path().to_path_buf();
    store.close().await;
    Sqlite::attach(path).await.unwrap()
}

pub async fn reopen_any(store: AnyStore) -> AnyStore {
    match store {
        AnyStore::Sqlite(store) => reopen(store).await.into(),
        other => panic!("{other:?} is not of this test"),
    }
}

/// `path` with `suffix` after its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
