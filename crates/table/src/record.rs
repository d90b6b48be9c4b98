use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};
use symbolon_keys::wire::{Malformed, Reader, TooLong, put_lp};
use symbolon_keys::{
    AgePublicKey, Epoch, Id, NoisePublicKey, Rejected, Signature, SigningKey, TablePublicKey, UnixTime,
    VerifyingKey, label,
};

use crate::pair::Party;

/// The most ids that a record links to its own: a person's devices.
pub const MAX_LINKED: usize = 8;

/// Version 1 of the format (`docs/directory.md`).
const VERSION: u8 = 1;
const HAS_AGE: u8 = 1;
const HAS_NOISE: u8 = 2;

/// The public keys of a user, each for one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublicKeys {
    /// For the shared-secret table.
    pub table: TablePublicKey,
    /// For signatures, and for the next change of these keys.
    pub verifying: VerifyingKey,
    /// For envelopes, if the user takes any.
    pub age: Option<AgePublicKey>,
    /// For sessions, if the user answers any.
    pub noise: Option<NoisePublicKey>,
}

impl PublicKeys {
    /// The two keys that every user has.
    #[must_use]
    pub const fn new(table: TablePublicKey, verifying: VerifyingKey) -> Self {
        Self { table, verifying, age: None, noise: None }
    }
}

/// What a user says about their keys in one epoch, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statement {
    /// Who.
    pub id: Id,
    /// The keys.
    pub keys: PublicKeys,
    /// From when the keys may be used.
    pub valid_from: UnixTime,
    /// Until when; the user registers new ones before.
    pub valid_until: UnixTime,
    /// Other ids of the same person: their other devices. A link holds when both records name each other.
    pub linked: Vec<Id>,
}

impl Statement {
    /// These keys for `id`, valid within the given times, linked to nobody.
    #[must_use]
    pub const fn new(id: Id, keys: PublicKeys, valid_from: UnixTime, valid_until: UnixTime) -> Self {
        Self { id, keys, valid_from, valid_until, linked: Vec::new() }
    }

    /// Signs the first record of the id.
    ///
    /// # Errors
    /// [`InvalidRecord::Statement`] if `signing` is not the key of the statement, the validity is empty, or the linked
    /// ids are not strictly ascending, name the id itself, or are more than [`MAX_LINKED`].
    pub fn first(&self, signing: &SigningKey) -> Result<Record, InvalidRecord> {
        let body = self.body(Epoch::FIRST, &RecordHash([0; 32]))?;
        self.sign(body, signing, None)
    }

    /// Signs the record that follows `previous`; `old` is the signing key that `previous` names.
    ///
    /// # Errors
    /// [`InvalidRecord`] as in [`Self::first`], and if `previous` is of another id, the last that an id can have, or
    /// not of the key `old`.
    pub fn next(
        &self,
        previous: &Record,
        old: &SigningKey,
        signing: &SigningKey,
    ) -> Result<Record, InvalidRecord> {
        let epoch = previous.epoch().next().ok_or(InvalidRecord::Epoch)?;
        let body = self.body(epoch, &previous.hash())?;
        let record = self.sign(body, signing, Some(old))?;
        record.verify_after(previous)?;
        Ok(record)
    }

    fn sign(
        &self,
        mut body: Vec<u8>,
        signing: &SigningKey,
        old: Option<&SigningKey>,
    ) -> Result<Record, InvalidRecord> {
        if signing.verifying_key() != self.keys.verifying {
            return Err(InvalidRecord::Statement);
        }
        let own = signing.sign(label::TABLE_RECORD, &[&body])?;
        let change = old.map(|old| old.sign(label::TABLE_CHANGE, &[&body])).transpose()?;
        body.extend_from_slice(own.as_bytes());
        if let Some(change) = change {
            body.extend_from_slice(change.as_bytes());
        }
        Record::from_bytes(body)
    }

    fn body(&self, epoch: Epoch, previous: &RecordHash) -> Result<Vec<u8>, InvalidRecord> {
        self.check()?;
        let mut out = Vec::with_capacity(512);
        out.push(VERSION);
        put_lp(&mut out, self.id.as_bytes())?;
        out.extend_from_slice(&epoch.to_bytes());
        out.extend_from_slice(self.keys.table.as_bytes());
        out.extend_from_slice(self.keys.verifying.as_bytes());
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(flag(self.keys.age.is_some(), HAS_AGE) | flag(self.keys.noise.is_some(), HAS_NOISE));
        if let Some(age) = &self.keys.age {
            out.extend_from_slice(age.as_bytes());
        }
        if let Some(noise) = &self.keys.noise {
            out.extend_from_slice(noise.as_bytes());
        }
        out.extend_from_slice(&self.valid_from.as_secs().to_be_bytes());
        out.extend_from_slice(&self.valid_until.as_secs().to_be_bytes());
        out.extend_from_slice(&previous.0);
        out.push(u8::try_from(self.linked.len()).map_err(|_| InvalidRecord::Statement)?);
        for id in &self.linked {
            put_lp(&mut out, id.as_bytes())?;
        }
        Ok(out)
    }

    /// What holds of every statement, made here or read.
    fn check(&self) -> Result<(), InvalidRecord> {
        let ascending = self.linked.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes());
        let linked = ascending && self.linked.len() <= MAX_LINKED && !self.linked.contains(&self.id);
        if linked && self.valid_from < self.valid_until { Ok(()) } else { Err(InvalidRecord::Statement) }
    }
}

/// A user's entry in the directory: one statement, its place in the user's history, and its signatures.
///
/// The bytes are canonical and the keys are ones this crate accepts. The signatures are checked by
/// [`Record::verify`] and [`Record::verify_after`]: who reads a record from a directory calls one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    statement: Statement,
    epoch: Epoch,
    previous: RecordHash,
    own: Signature,
    change: Option<Signature>,
    /// Body and signatures, as on the wire.
    bytes: Vec<u8>,
    body_len: usize,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// [`InvalidRecord::Malformed`] if the bytes do not follow the format; [`InvalidRecord::Statement`] if they say
    /// what no record may.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidRecord> {
        let bytes = bytes.into();
        let mut r = Reader::new(&bytes);
        let (statement, epoch, previous) = read_body(&mut r)?;
        let tail = r.clone().rest().len();
        let own = Signature::from(r.array::<64>()?);
        let change = if epoch == Epoch::FIRST { None } else { Some(Signature::from(r.array::<64>()?)) };
        r.finish()?;
        statement.check()?;
        if (epoch == Epoch::FIRST) != (previous.0 == [0; 32]) {
            return Err(InvalidRecord::Malformed);
        }
        let body_len = bytes.len().saturating_sub(tail);
        Ok(Self { statement, epoch, previous, own, change, bytes, body_len })
    }

    /// The record as it is stored and sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whose it is.
    #[must_use]
    pub const fn id(&self) -> &Id {
        &self.statement.id
    }

    /// Its place in the history of its id: 0, 1, 2 and so on without gaps.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What it says.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The keys.
    #[must_use]
    pub const fn keys(&self) -> &PublicKeys {
        &self.statement.keys
    }

    /// Id, epoch and table key: what a shared secret is made from.
    #[must_use]
    pub const fn party(&self) -> Party {
        Party { id: self.statement.id, epoch: self.epoch, key: self.statement.keys.table }
    }

    /// The link that the next record carries.
    #[must_use]
    pub fn hash(&self) -> RecordHash {
        let mut hash = Sha256::new();
        hash.update(label::TABLE_HISTORY.as_bytes());
        hash.update(&self.bytes);
        RecordHash(hash.finalize().into())
    }

    /// Whether the two records name each other: two devices of one person.
    #[must_use]
    pub fn is_linked_with(&self, other: &Self) -> bool {
        self.statement.linked.contains(other.id()) && other.statement.linked.contains(self.id())
    }

    /// Whether `now` lies within the validity.
    #[must_use]
    pub fn is_valid_at(&self, now: UnixTime) -> bool {
        self.statement.valid_from <= now && now < self.statement.valid_until
    }

    /// Checks the record by itself: its own signature. All that can be known of an id never seen before.
    ///
    /// # Errors
    /// [`InvalidRecord::Signature`] if it is wrong.
    pub fn verify(&self) -> Result<(), InvalidRecord> {
        let body = self.bytes.get(..self.body_len).unwrap_or_default();
        Ok(self.keys().verifying.verify(label::TABLE_RECORD, &[body], &self.own)?)
    }

    /// Checks that the record is the next after `previous`: its own signature, and that of the key before.
    ///
    /// # Errors
    /// [`InvalidRecord`] says which check failed.
    pub fn verify_after(&self, previous: &Self) -> Result<(), InvalidRecord> {
        if self.id() != previous.id() || previous.epoch.next() != Some(self.epoch) {
            return Err(InvalidRecord::Epoch);
        }
        if self.previous != previous.hash() {
            return Err(InvalidRecord::History);
        }
        let body = self.bytes.get(..self.body_len).unwrap_or_default();
        let change = self.change.as_ref().ok_or(InvalidRecord::Signature)?;
        previous.keys().verifying.verify(label::TABLE_CHANGE, &[body], change)?;
        self.verify()
    }
}

/// Checks the signatures and links of a part of one id's history, and that it includes the record that is `known`,
/// where one is. Of a history that includes nothing known, the first record stands by itself.
///
/// # Errors
/// [`InvalidRecord::History`] if the part is empty or misses what is known; else the error of the first record that
/// does not hold.
pub fn verify_history(
    id: &Id,
    history: &[Record],
    known: Option<(Epoch, &RecordHash)>,
) -> Result<(), InvalidRecord> {
    let first = history.first().ok_or(InvalidRecord::History)?;
    if first.id() != id {
        return Err(InvalidRecord::Epoch);
    }
    first.verify()?;
    for (previous, record) in history.iter().zip(history.iter().skip(1)) {
        record.verify_after(previous)?;
    }
    let includes = |(epoch, hash): (Epoch, &RecordHash)| {
        history.iter().any(|record| record.epoch() == epoch && record.hash() == *hash)
    };
    if known.is_none_or(includes) { Ok(()) } else { Err(InvalidRecord::History) }
}

fn read_body(r: &mut Reader<'_>) -> Result<(Statement, Epoch, RecordHash), InvalidRecord> {
    r.expect(&[VERSION])?;
    let id = Id::from_bytes(r.lp()?).map_err(|_| Malformed)?;
    let epoch = Epoch::new(r.u64()?);
    let table = TablePublicKey::from_bytes(r.array()?).map_err(|_| Malformed)?;
    let verifying = VerifyingKey::from_bytes(&r.array()?).map_err(|_| Malformed)?;
    let flags = r.u8()?;
    if flags & !(HAS_AGE | HAS_NOISE) != 0 {
        return Err(InvalidRecord::Malformed);
    }
    let mut keys = PublicKeys::new(table, verifying);
    if flags & HAS_AGE != 0 {
        keys.age = Some(AgePublicKey::from_bytes(r.array()?).map_err(|_| Malformed)?);
    }
    if flags & HAS_NOISE != 0 {
        keys.noise = Some(NoisePublicKey::from_bytes(r.array()?).map_err(|_| Malformed)?);
    }
    let valid_from = UnixTime::from_secs(r.u64()?);
    let valid_until = UnixTime::from_secs(r.u64()?);
    let previous = RecordHash(r.array()?);
    let mut statement = Statement::new(id, keys, valid_from, valid_until);
    for _ in 0..r.u8()? {
        statement.linked.push(Id::from_bytes(r.lp()?).map_err(|_| Malformed)?);
    }
    Ok((statement, epoch, previous))
}

/// The hash of a record: what a client remembers to check every later history against.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordHash([u8; 32]);

impl RecordHash {
    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for RecordHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordHash({self})")
    }
}

/// Why a record does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRecord {
    /// The bytes do not follow the format, or a key in them is not acceptable.
    Malformed,
    /// It says what no record may: an empty validity, or linked ids out of order.
    Statement,
    /// It is of another id, or not of the next epoch.
    Epoch,
    /// It does not follow the record that is known: the history was cut or replaced.
    History,
    /// A signature is wrong.
    Signature,
}

impl From<Malformed> for InvalidRecord {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<TooLong> for InvalidRecord {
    fn from(_: TooLong) -> Self {
        Self::Statement
    }
}

impl From<Rejected> for InvalidRecord {
    fn from(_: Rejected) -> Self {
        Self::Signature
    }
}

impl fmt::Display for InvalidRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "directory record is malformed",
            Self::Statement => {
                "directory record: empty validity, foreign signing key, or linked ids out of order"
            }
            Self::Epoch => "directory record is not the next of its id",
            Self::History => {
                "directory record does not follow the one that is known; compare heads out of band"
            }
            Self::Signature => "directory record has a wrong signature",
        })
    }
}

impl core::error::Error for InvalidRecord {}
