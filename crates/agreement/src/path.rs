//! The path proof: both ends show, on the path at hand, that they hold the keys of the handshake (C5).

use rand_core::CryptoRng;
use symbolon_keys::wire::{Reader, TooLong};
use symbolon_keys::{MacKey, Rejected, label};

use crate::assignment::TicketId;
use crate::noise::Exporter;

/// Bytes of a challenge: 16 random ones and a tag of 16.
const CHALLENGE_LEN: usize = 32;
/// Bytes of a proof: a tag.
const PROOF_LEN: usize = 16;

/// The responder's and the initiator's key for path proofs, `kr || ki`.
#[derive(Debug)]
pub(crate) struct PathKeys {
    kr: MacKey,
    ki: MacKey,
}

impl PathKeys {
    pub(crate) fn new(exporter: &Exporter) -> Result<Self, TooLong> {
        let (kr, ki) = exporter.export::<64>(label::PATH, &[])?.split();
        Ok(Self { kr: MacKey::from(kr), ki: MacKey::from(ki) })
    }

    /// The responder's message for a new path; its first 16 bytes must be kept for [`Self::check_proof`].
    pub(crate) fn challenge<R: CryptoRng + ?Sized>(
        &self,
        ticket: TicketId,
        rng: &mut R,
    ) -> ([u8; 16], [u8; CHALLENGE_LEN]) {
        let mut c = [0; 16];
        rng.fill_bytes(&mut c);
        let tag = self.kr.tag(&[b"r", ticket.as_bytes(), &c]);
        let mut message = [0; CHALLENGE_LEN];
        for (to, from) in message.iter_mut().zip(c.iter().chain(&tag)) {
            *to = *from;
        }
        (c, message)
    }

    /// The initiator's answer to a challenge.
    pub(crate) fn answer(&self, ticket: TicketId, challenge: &[u8]) -> Result<[u8; PROOF_LEN], Rejected> {
        let mut r = Reader::new(challenge);
        let (c, tag) = r.array::<16>().and_then(|c| Ok((c, r.array::<16>()?))).map_err(|_| Rejected)?;
        r.finish().map_err(|_| Rejected)?;
        self.kr.verify(&[b"r", ticket.as_bytes(), &c], &tag)?;
        let proof = self.ki.tag(&[b"i", ticket.as_bytes(), &c]);
        proof.first_chunk().copied().ok_or(Rejected)
    }

    /// Whether `proof` answers the challenge that began with `c`.
    pub(crate) fn check_proof(&self, ticket: TicketId, c: &[u8; 16], proof: &[u8]) -> Result<(), Rejected> {
        if proof.len() != PROOF_LEN {
            return Err(Rejected);
        }
        self.ki.verify(&[b"i", ticket.as_bytes(), c], proof)
    }
}
