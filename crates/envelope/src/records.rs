//! The secure data database (E2): what the server keeps of each envelope, and who may have it.

use alloc::vec::Vec;
use core::error::Error;
use core::future::Future;

use symbolon_keys::{Id, UnixTime, random_id};

random_id! {
    /// Names a record: one document of one owner, through all its versions.
    pub struct RecordId;
    /// Names the stored bytes of one payload. A new version of a document has a new one.
    pub struct PayloadId;
}

/// What the server keeps of one envelope, beside the payload itself.
#[expect(clippy::exhaustive_structs, reason = "a row: stores build it field by field")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub id: RecordId,
    /// The user it belongs to.
    pub owner: Id,
    /// Counts every change of header or payload. The same number is in the header's encrypted context, so that an
    /// old header put back is noticed.
    pub sequence: u64,
    /// The version of the private server key under which the header is wrapped.
    pub server_key: u32,
    /// The header: at most [`MAX_HEADER`](crate::MAX_HEADER) bytes.
    pub header: Vec<u8>,
    /// The payload it belongs to.
    pub payload: Payload,
    /// When this payload was stored.
    pub stored: UnixTime,
}

/// Which stored bytes are a record's payload.
#[expect(clippy::exhaustive_structs, reason = "a row: stores build it field by field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Their name in the store.
    pub id: PayloadId,
    /// How many there are.
    pub len: u64,
    /// Their SHA-256.
    pub digest: [u8; 32],
}

/// What became of a change that was asked for on a condition.
#[expect(clippy::exhaustive_enums, reason = "a condition holds or it does not")]
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The condition held; the change is durable.
    Done,
    /// It did not, and nothing was changed. Carries the sequence that is there; none if there is nothing, or what is
    /// there belongs to another owner.
    Conflict(Option<u64>),
    /// It is under a version of the server key older than this one, which the store was told to require. Nothing was
    /// changed.
    Outdated(u32),
}

/// Where records live.
///
/// # Contract
/// - When a future that changes something returns `Ok`, the change is durable. When it returns an error or is dropped,
///   the change was made in full or not at all.
/// - Of two changes that expect the same sequence, one is done and one conflicts.
/// - Every change is made on the condition that the record is what its caller saw: of this owner, or with this payload.
///   Store and condition are one step. A record that was deleted, and made again under the same name by somebody else,
///   is another one, whatever its sequence.
/// - A payload is readable under its name only after [`Records::put`] took it, and then whole. Whatever an upload left
///   behind that was never put (a crash, a full disk) is removed at the latest when the store is attached again.
/// - After [`Records::require`] nothing is stored under an older version of the server key, by whomever and however long it
///   was on its way. This is asked before everything else, in the same step.
/// - A payload that no record refers to any more may go at once; who still reads it is told so by `None`.
///
/// Which mistake is safe: to report a conflict where there is none costs a repetition; to miss one loses an update.
pub trait Records: Send + Sync + 'static {
    /// What can go wrong in the store itself.
    type Error: Error + Send + Sync + 'static;
    /// A payload on its way in.
    type Upload: Upload<Error = Self::Error>;

    /// Begins to take a payload. Small ones may be held in memory, large ones in a file under a temporary name.
    fn upload(&self, id: PayloadId) -> impl Future<Output = Result<Self::Upload, Self::Error>> + Send;

    /// Stores `record` with its payload, in one step.
    ///
    /// `replaces` is the sequence of the record that must be there now, of the same owner as `record`, and none if there
    /// must be no such record. The grants of a replaced record stay. Unless it is done the upload is discarded.
    fn put(
        &self,
        record: Record,
        payload: Self::Upload,
        replaces: Option<u64>,
    ) -> impl Future<Output = Result<Change, Self::Error>> + Send;

    /// The record of this name.
    fn get(&self, id: RecordId) -> impl Future<Output = Result<Option<Record>, Self::Error>> + Send;

    /// At most `max` bytes of a payload from `offset`: fewer only at its end, none beyond it. `None`: no such payload.
    fn read(
        &self,
        payload: PayloadId,
        offset: u64,
        max: usize,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, Self::Error>> + Send;

    /// Puts another header before `payload` if the record is at sequence `expected` and still has that payload; then it
    /// is at `expected + 1`, and under the version `server_key`. Costs the same for every size of payload.
    fn replace_header(
        &self,
        id: RecordId,
        payload: PayloadId,
        expected: u64,
        header: Vec<u8>,
        server_key: u32,
    ) -> impl Future<Output = Result<Change, Self::Error>> + Send;

    /// Takes, from now on, only what is under the version `server_key` or a later one; what is there already stays. An
    /// older version than the one required before changes nothing.
    fn require(&self, server_key: u32) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Removes a record of `owner`, its payload and its grants. Whether it was there.
    fn delete(&self, id: RecordId, owner: Id) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Records of one owner in the order of their ids, those after `after`, at most `limit`.
    fn owned_by(
        &self,
        owner: Id,
        after: Option<RecordId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, Self::Error>> + Send;

    /// Records whose header is under a version of the server key below `version`, in the order of their ids, those
    /// after `after`, at most `limit`: what a background re-wrap has left to do.
    fn below(
        &self,
        version: u32,
        after: Option<RecordId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, Self::Error>> + Send;

    /// Lets `user` have a record of `owner`. False if there is no such record; granting twice is the same as once.
    fn grant(
        &self,
        id: RecordId,
        owner: Id,
        user: Id,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Takes a grant of a record of `owner` back. Whether there was one.
    fn revoke(
        &self,
        id: RecordId,
        owner: Id,
        user: Id,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Whether `user` was granted a record.
    fn granted(&self, id: RecordId, user: Id) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Who was granted a record, in the order of their ids.
    fn grantees(&self, id: RecordId) -> impl Future<Output = Result<Vec<Id>, Self::Error>> + Send;

    /// What `user` was granted, in the order of the records' ids, those after `after`, at most `limit`.
    fn granted_to(
        &self,
        user: Id,
        after: Option<RecordId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<RecordId>, Self::Error>> + Send;
}

/// A payload on its way into a store. Dropped before [`Records::put`] took it, it leaves nothing behind.
pub trait Upload: Send + 'static {
    /// What can go wrong in the store itself.
    type Error: Error + Send + Sync + 'static;

    /// Appends `bytes`.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
