use alloc::vec::Vec;
use core::future::Future;

use symbolon_keys::{Epoch, Id};

use crate::record::Record;
use crate::store::StoreError;

/// The most records that one answer holds.
pub const MAX_RECORDS: usize = 256;

/// Where a table finds the keys of its peers: a session to the server, or the directory itself in one process.
///
/// # Security
/// Nothing that it answers is trusted: the table verifies signatures and links, and every history against the head
/// that it remembers. What it cannot see is a directory that shows one history to one client and another to the next:
/// for that, heads are compared out of band.
pub trait Directory: Send + Sync + 'static {
    /// The newest record of each of `ids`, in their order; at most [`MAX_RECORDS`] of them.
    fn lookup(&self, ids: &[Id]) -> impl Future<Output = Result<Vec<Option<Record>>, StoreError>> + Send;

    /// The records of `id` from epoch `from` on, in order, at most [`MAX_RECORDS`].
    fn history(&self, id: &Id, from: Epoch) -> impl Future<Output = Result<Vec<Record>, StoreError>> + Send;
}

impl<D: Directory> Directory for alloc::sync::Arc<D> {
    fn lookup(&self, ids: &[Id]) -> impl Future<Output = Result<Vec<Option<Record>>, StoreError>> + Send {
        (**self).lookup(ids)
    }

    fn history(&self, id: &Id, from: Epoch) -> impl Future<Output = Result<Vec<Record>, StoreError>> + Send {
        (**self).history(id, from)
    }
}
