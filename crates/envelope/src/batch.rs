//! Whole chunks, on one or several threads.

use std::thread;

use symbolon_keys::TAG_LEN;
use symbolon_keys::hazmat::ChaChaPoly;

use crate::error::SealError;
use crate::payload::{self, CHUNK, SEALED_CHUNK, nonce};

/// Seals whole chunks, none of them the last, in place: each of [`SEALED_CHUNK`] bytes, plaintext and room for the tag.
pub(crate) fn seal(key: &ChaChaPoly, first: u64, chunks: &mut [u8], threads: usize) -> Result<(), SealError> {
    let whole = chunks.len() / SEALED_CHUNK;
    let each = whole.div_ceil(threads.max(1)).max(1);
    let seal_part = |first: u64, part: &mut [u8]| {
        let mut numbered = (first..).zip(part.as_chunks_mut::<SEALED_CHUNK>().0);
        numbered.try_for_each(|(number, chunk)| seal_in_place(key, number, false, chunk))
    };
    let mut parts = (first..).step_by(each).zip(chunks.chunks_mut(each.saturating_mul(SEALED_CHUNK)));
    // The first part is this thread's own.
    let Some((own_first, own)) = parts.next() else { return Ok(()) };
    if whole <= each {
        return seal_part(own_first, own);
    }
    thread::scope(|scope| {
        let seal_part = &seal_part;
        let others: Vec<_> = parts.map(|(first, part)| scope.spawn(move || seal_part(first, part))).collect();
        let mut outcome = seal_part(own_first, own);
        for other in others {
            let other = other.join().unwrap_or(Err(SealError::Failed));
            outcome = outcome.and(other);
        }
        outcome
    })
}

/// Seals one chunk in place, whose last bytes are room for the tag.
pub(crate) fn seal_in_place(
    key: &ChaChaPoly,
    number: u64,
    last: bool,
    chunk: &mut [u8],
) -> Result<(), SealError> {
    let (plain, room) = chunk.split_last_chunk_mut::<TAG_LEN>().ok_or(SealError::Failed)?;
    *room = key.seal_in_place(nonce(number, last), b"", plain).map_err(|_| SealError::Failed)?;
    Ok(())
}

/// Opens whole chunks of `sealed`, none of them the last, into as many of `plain`. Gives how many, from the first, are
/// authentic; `plain` beyond those must not be used.
pub(crate) fn open(key: &ChaChaPoly, first: u64, sealed: &[u8], plain: &mut [u8], threads: usize) -> usize {
    let whole = sealed.len() / SEALED_CHUNK;
    let each = whole.div_ceil(threads.max(1)).max(1);
    let open_part = |first: u64, sealed: &[u8], plain: &mut [u8]| {
        let chunks = sealed.as_chunks::<SEALED_CHUNK>().0.iter().zip(plain.as_chunks_mut::<CHUNK>().0);
        let mut numbered = (first..).zip(chunks);
        let bad = numbered.position(|(number, (sealed, plain))| {
            payload::open_to(key, number, false, sealed, plain).is_err()
        });
        bad.unwrap_or(sealed.len() / SEALED_CHUNK)
    };
    let mut parts = (first..)
        .step_by(each)
        .zip(sealed.chunks(each.saturating_mul(SEALED_CHUNK)))
        .zip(plain.chunks_mut(each.saturating_mul(CHUNK)))
        .map(|((first, sealed), plain)| (first, sealed, plain));
    // The first part is this thread's own.
    let Some((own_first, own_sealed, own_plain)) = parts.next() else { return 0 };
    if whole <= each {
        return open_part(own_first, own_sealed, own_plain);
    }
    thread::scope(|scope| {
        let open_part = &open_part;
        let others: Vec<_> = parts
            .map(|(first, sealed, plain)| {
                let all = sealed.len() / SEALED_CHUNK;
                (all, scope.spawn(move || open_part(first, sealed, plain)))
            })
            .collect();
        let mut good = open_part(own_first, own_sealed, own_plain);
        let mut complete = good == each;
        for (all, other) in others {
            let opened = other.join().unwrap_or(0);
            if complete {
                good = good.saturating_add(opened);
                complete = opened == all;
            }
        }
        good
    })
}
