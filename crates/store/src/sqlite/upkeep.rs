//! What a database needs now and then: a short log, a compact file, a backup, a check.

use std::path::Path;

use rusqlite::MAIN_DB;
use rusqlite::wal::CheckpointMode;

use super::connection::open_writer;
use super::engine::Rings;
use super::options::Options;

/// Moves the log into the database whenever the writer rings, beside readers and writer.
pub(super) fn serve(path: &Path, options: &Options, rings: &Rings) {
    let mut db = open_writer(path, options).ok();
    while rings.recv().is_ok() {
        let done = match &db {
            Some(db) => db.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE).map(drop),
            None => open_writer(path, options).map(|opened| db = Some(opened)),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the log could not be moved into the database");
            db = None;
        }
    }
}
