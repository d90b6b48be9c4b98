//! A few connections that read beside the writer.

use alloc::boxed::Box;
use alloc::sync::Arc;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::connection::{is_grave, open_reader};
use super::writer::Job;
use crate::StoreError;

/// The queue that the readers share: one of them waits in it, the others for their turn to.
pub(super) type SharedQueue = Arc<Mutex<Receiver<Box<dyn Job>>>>;

/// Serves the queue until every sender is gone.
pub(super) fn serve(path: &Path, queue: &SharedQueue) {
    // At once, and kept: while a reader has the log's index in memory, a writer that has to be opened anew does not
    // rebuild it, and what a failed commit left in the log stays invisible.
    let mut db = open_reader(path).ok();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut job) = next else { return };
        let fate = answer(&mut db, path, job.as_mut());
        job.release(&fate);
    }
}

/// Runs a job on one consistent view of the database.
fn answer(db: &mut Option<Connection>, path: &Path, job: &mut dyn Job) -> Result<(), StoreError> {
    let connection = match db.take() {
        Some(connection) => connection,
        None => open_reader(path)?,
    };
    let ran = {
        let view = connection.unchecked_transaction()?;
        job.run(&view)
    };
    if !ran.is_err_and(|error| is_grave(&error)) {
        *db = Some(connection);
    }
    Ok(())
}
