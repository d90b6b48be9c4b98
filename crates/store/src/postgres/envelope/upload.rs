//! Payloads in pieces, so that neither we nor the server hold a large one in memory.
//!
//! The pieces of a large payload are stored as they come, under a random name that nobody knows and marked as unfinished
//! by this process. The commit that stores the record gives them the payload's name. What stays unfinished is removed:
//! when the upload is dropped, when the process ends, or by the upkeep of another one, if it died.

use alloc::vec::Vec;
use core::mem;

use symbolon_envelope::{PayloadId, Upload};
use symbolon_keys::{OsRng, random_id};

use super::Result;
use crate::StoreError;
use crate::postgres::Postgres;
use crate::postgres::attach::AttachmentId;
use crate::postgres::session::Session;
use crate::postgres::sql::{bound, corrupt, count};

/// Bytes of every piece but the last.
const PIECE: usize = 64 * 1024;
/// The same, to count with.
const PIECE_LEN: u64 = 64 * 1024;
/// The most bytes of one read.
const MAX_READ: usize = 1024 * 1024;

random_id! {
    /// Names stored pieces. Not the payload's own id: two uploads never meet.
    pub(super) struct BodyId;
}

/// A payload on its way into the database. Dropped before it was put, it leaves nothing behind.
#[derive(Debug)]
pub struct PostgresUpload {
    store: Postgres,
    id: BodyId,
    /// What does not fill a piece yet.
    held: Vec<u8>,
    stored: i32,
    /// A piece may or may not be stored.
    failed: bool,
    /// The commit that names it was asked for.
    asked: bool,
}

/// What the commit of a record does with its payload.
#[derive(Clone, Debug)]
pub(super) struct Body {
    id: BodyId,
    last: Vec<u8>,
    number: i32,
}

impl PostgresUpload {
    pub(super) fn new(store: Postgres) -> Self {
        let id = BodyId::generate(&mut OsRng);
        Self { store, id, held: Vec::new(), stored: 0, failed: false, asked: false }
    }

    pub(super) const fn id(&self) -> BodyId {
        self.id
    }

    /// Says what is left for the commit to store.
    pub(super) async fn finish(&mut self) -> Result<Body> {
        self.check()?;
        self.asked = true;
        Ok(Body { id: self.id, last: mem::take(&mut self.held), number: self.stored })
    }

    fn check(&self) -> Result<()> {
        match self.failed {
            true => Err(StoreError::Io("an earlier write of this upload failed".into())),
            false => Ok(()),
        }
    }

    async fn store_piece(&mut self, piece: Vec<u8>) -> Result<()> {
        let (id, number, us) = (self.id, self.stored, self.store.engine.shared().attachment);
        // Until it is known.
        self.failed = true;
        let piece = alloc::sync::Arc::new(piece);
        self.store
            .read(move |db| {
                let piece = piece.clone();
                async move { add(&db, id, number, &piece, us).await }
            })
            .await?;
        self.stored = number.checked_add(1).ok_or(StoreError::TooLarge)?;
        self.failed = false;
        Ok(())
    }
}

impl Upload for PostgresUpload {
    type Error = StoreError;

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.check()?;
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.held.len() == PIECE {
                let piece = mem::take(&mut self.held);
                self.store_piece(piece).await?;
            }
            let room = PIECE.saturating_sub(self.held.len()).min(rest.len());
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.held.extend_from_slice(now);
            rest = later;
        }
        Ok(())
    }
}

impl Drop for PostgresUpload {
    fn drop(&mut self) {
        // A commit that was asked for may still come; what it does not take is removed when this process ends.
        if !self.asked && (self.stored > 0 || self.failed) {
            self.store.discard(Some(self.id));
        }
    }
}

impl Postgres {
    /// Removes a body that has no name, if it still has none. Nobody waits for it.
    pub(super) fn discard(&self, body: Option<BodyId>) {
        let Some(body) = body else { return };
        // If it cannot be done now, it is done when this process ends. A commit in doubt has the row locked.
        self.engine.later(move |db| async move {
            let sql = "DELETE FROM payloads WHERE body IN
                       (SELECT body FROM payloads WHERE body = $1 AND id IS NULL FOR UPDATE SKIP LOCKED)";
            db.execute(sql, &[&body.as_bytes().as_slice()]).await.map(drop)
        });
    }
}

/// Stores one piece. Repeated after a lost connection, it stays one.
async fn add(db: &Session, id: BodyId, number: i32, piece: &[u8], us: AttachmentId) -> Result<()> {
    let (id, us) = (id.as_bytes().as_slice(), us.as_bytes().as_slice());
    if number == 0 {
        let sql = "INSERT INTO payloads (body, unfinished_of) VALUES ($1, $2) ON CONFLICT (body) DO NOTHING";
        db.execute(sql, &[&id, &us]).await?;
    }
    let sql = "INSERT INTO payload_pieces (body, number, bytes) VALUES ($1, $2, $3)
               ON CONFLICT (body, number) DO NOTHING";
    db.execute(sql, &[&id, &number, &piece]).await.map(drop)
}

impl Body {
    /// Stores what is left and gives the payload its name, in the transaction of its record.
    pub(super) async fn name(&self, db: &Session, payload: PayloadId, us: AttachmentId) -> Result<()> {
        let (id, us) = (self.id.as_bytes().as_slice(), us.as_bytes().as_slice());
        let name = payload.as_bytes().as_slice();
        if self.number == 0 {
            db.execute("INSERT INTO payloads (body, id) VALUES ($1, $2)", &[&id, &name]).await?;
        } else {
            let sql =
                "UPDATE payloads SET id = $2, unfinished_of = NULL WHERE body = $1 AND unfinished_of = $3";
            if db.execute(sql, &[&id, &name, &us]).await? != 1 {
                return Err(StoreError::Io("the upload took too long and was removed: send it again".into()));
            }
        }
        let sql = "INSERT INTO payload_pieces (body, number, bytes) VALUES ($1, $2, $3)";
        db.execute(sql, &[&id, &self.number, &self.last]).await.map(drop)
    }
}

/// At most `max` bytes of a payload from `offset`; none if there is no such payload.
pub(super) async fn read(
    db: &Session,
    payload: PayloadId,
    offset: u64,
    max: usize,
) -> Result<Option<Vec<u8>>> {
    let name = payload.as_bytes().as_slice();
    let first = offset.checked_div(PIECE_LEN).unwrap_or_default();
    let skip = usize::try_from(offset.checked_rem(PIECE_LEN).unwrap_or_default()).unwrap_or_default();
    let mut wanted = max;
    let mut found = Vec::new();
    let mut number = i64::try_from(first).unwrap_or(i64::MAX);
    let mut from = skip;
    loop {
        // So many pieces at once that a read in bounds takes one statement.
        let pieces = from.saturating_add(wanted.min(MAX_READ)).div_ceil(PIECE);
        let until = number.saturating_add(count(pieces));
        let sql = "SELECT piece.bytes FROM payloads p LEFT JOIN payload_pieces piece
                   ON piece.body = p.body AND piece.number >= $2::bigint AND piece.number < $3::bigint
                   WHERE p.id = $1 ORDER BY piece.number";
        let params = (bound(number.unsigned_abs()), until);
        let rows = db.all(sql, &[&name, &params.0, &params.1], |c| c.get::<Option<Vec<u8>>>()).await?;
        if rows.is_empty() {
            // Gone, perhaps while it was being read.
            return Ok(None);
        }
        let before = found.len();
        for piece in rows.into_iter().flatten() {
            let piece = piece.get(from..).unwrap_or_default();
            let piece = piece.get(..wanted.min(piece.len())).ok_or_else(|| corrupt("a piece"))?;
            found.extend_from_slice(piece);
            wanted = wanted.saturating_sub(piece.len());
            from = 0;
        }
        if wanted == 0 || found.len() == before {
            return Ok(Some(found));
        }
        number = until;
    }
}
