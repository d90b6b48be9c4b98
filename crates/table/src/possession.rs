//! Proof of possession at registration (C7).

use alloc::vec::Vec;
use core::fmt;

use subtle::ConstantTimeEq;
use symbolon_keys::wire::{Malformed, Reader};
use symbolon_keys::{
    Backend, Epoch, Id, Rejected, RootKey, Secret, Signature, SigningKey, TablePublicKey, TableSecretKey,
    UnixTime, label,
};

use crate::record::{InvalidRecord, Record};

/// Version 1 of the format (`docs/directory.md`).
const VERSION: u8 = 1;
const PROOF_LEN: usize = 32;

/// What a directory asks of whoever registers: to use the secret key on something new.
///
/// It admits one record: that of the epoch it names, for the id it was made for, and only for a short while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    epoch: Epoch,
    ephemeral: TablePublicKey,
    nonce: [u8; 16],
    expires: UnixTime,
}

impl Challenge {
    /// Reads a challenge.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes do not follow the format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let challenge = Self::read(&mut r)?;
        r.finish()?;
        Ok(challenge)
    }

    /// The challenge as it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(65);
        self.write(&mut out);
        out
    }

    /// The epoch that the record must have.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// When the directory stops taking answers.
    #[must_use]
    pub const fn expires(&self) -> UnixTime {
        self.expires
    }

    /// Proves that the keys of `record` are held, by using both.
    ///
    /// # Errors
    /// [`InvalidRecord::Epoch`] if the record is of another epoch; [`InvalidRecord::Statement`] if `table` or
    /// `signing` are not its keys; [`InvalidRecord::Malformed`] if the challenge has no honest answer.
    pub fn answer(
        &self,
        record: Record,
        table: &TableSecretKey,
        signing: &SigningKey,
    ) -> Result<Registration, InvalidRecord> {
        if record.epoch() != self.epoch {
            return Err(InvalidRecord::Epoch);
        }
        let keys = record.keys();
        if table.public_key() != &keys.table || signing.verifying_key() != keys.verifying {
            return Err(InvalidRecord::Statement);
        }
        let proof =
            proof(&record, self, table, &self.ephemeral).map_err(|Rejected| InvalidRecord::Malformed)?;
        let signature =
            signing.sign(label::TABLE_REGISTER, &fields(&record, self, &record.epoch().to_bytes()))?;
        Ok(Registration { challenge: *self, proof: *proof.expose(), signature, record })
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        r.expect(&[VERSION])?;
        Ok(Self {
            epoch: Epoch::new(r.u64()?),
            ephemeral: TablePublicKey::from_bytes(r.array()?).map_err(|_| Malformed)?,
            nonce: r.array()?,
            expires: UnixTime::from_secs(r.u64()?),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.epoch.to_bytes());
        out.extend_from_slice(self.ephemeral.as_bytes());
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.expires.as_secs().to_be_bytes());
    }
}

/// A record together with the proof that its keys are held.
#[derive(Clone, PartialEq, Eq)]
pub struct Registration {
    challenge: Challenge,
    proof: [u8; PROOF_LEN],
    signature: Signature,
    record: Record,
}

impl Registration {
    /// Reads a registration.
    ///
    /// # Errors
    /// [`InvalidRecord`] if the bytes do not follow the format, or the record in them does not.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let mut r = Reader::new(bytes);
        let challenge = Challenge::read(&mut r)?;
        let proof = r.array()?;
        let signature = Signature::from(r.array::<64>()?);
        Ok(Self { challenge, proof, signature, record: Record::from_bytes(r.rest())? })
    }

    /// The registration as it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(768);
        self.challenge.write(&mut out);
        out.extend_from_slice(&self.proof);
        out.extend_from_slice(self.signature.as_bytes());
        out.extend_from_slice(self.record.as_bytes());
        out
    }

    /// The challenge that it answers.
    #[must_use]
    pub const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// The record to be registered.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Until the epoch is taken, the proof is what admits the record.
        let Self { challenge, proof: _, signature: _, record } = self;
        write!(f, "Registration({} at epoch {}, ..)", record.id(), challenge.epoch)
    }
}

/// Makes challenges and checks their answers; it remembers neither.
///
/// A challenge's secret is derived from id, epoch, nonce and time (C7, `docs/directory.md`), so a flood of half-made
/// registrations costs no memory, and several processes with one secret can share the work.
#[derive(Debug)]
pub struct Challenger {
    root: RootKey,
    backend: Backend,
}

impl Challenger {
    /// A challenger with the directory's own secret.
    #[must_use]
    pub const fn new(root: RootKey, backend: Backend) -> Self {
        Self { root, backend }
    }

    /// A challenge to whoever wants to register `epoch` of `id`; `nonce` is random.
    #[must_use]
    pub fn challenge(&self, id: &Id, epoch: Epoch, nonce: [u8; 16], expires: UnixTime) -> Option<Challenge> {
        let secret = self.secret(id, epoch, &nonce, expires)?;
        Some(Challenge { epoch, ephemeral: *secret.public_key(), nonce, expires })
    }

    /// Checks that the challenge is ours and not expired, and both proofs.
    ///
    /// # Errors
    /// [`Rejected`] if anything is wrong.
    pub fn check(&self, registration: &Registration, now: UnixTime) -> Result<(), Rejected> {
        let Registration { challenge, proof: given, signature, record } = registration;
        if now >= challenge.expires || record.epoch() != challenge.epoch {
            return Err(Rejected);
        }
        let secret =
            self.secret(record.id(), challenge.epoch, &challenge.nonce, challenge.expires).ok_or(Rejected)?;
        if secret.public_key() != &challenge.ephemeral {
            return Err(Rejected);
        }
        let expected = proof(record, challenge, &secret, &record.keys().table)?;
        if !bool::from(expected.expose().ct_eq(given)) {
            return Err(Rejected);
        }
        let epoch = record.epoch().to_bytes();
        record.keys().verifying.verify(label::TABLE_REGISTER, &fields(record, challenge, &epoch), signature)
    }

    fn secret(&self, id: &Id, epoch: Epoch, nonce: &[u8; 16], expires: UnixTime) -> Option<TableSecretKey> {
        let fields: [&[u8]; 4] = [id.as_bytes(), &epoch.to_bytes(), nonce, &expires.as_secs().to_be_bytes()];
        let secret = self.root.derive(label::TABLE_CHALLENGE, &fields).ok()?;
        Some(TableSecretKey::from_secret(self.backend, secret))
    }
}

/// C7: `F`.
fn fields<'a>(record: &'a Record, challenge: &'a Challenge, epoch: &'a [u8; 8]) -> [&'a [u8]; 6] {
    [
        record.id().as_bytes(),
        epoch,
        record.keys().table.as_bytes(),
        record.keys().verifying.as_bytes(),
        challenge.ephemeral.as_bytes(),
        &challenge.nonce,
    ]
}

/// C7: the answer, from either end's secret and the other's public key.
fn proof(
    record: &Record,
    challenge: &Challenge,
    secret: &TableSecretKey,
    public: &TablePublicKey,
) -> Result<Secret<PROOF_LEN>, Rejected> {
    let epoch = record.epoch().to_bytes();
    let shared = secret.diffie_hellman(public)?.extract(label::TABLE_POSSESSION);
    shared.derive(label::TABLE_POSSESSION, &fields(record, challenge, &epoch)).map_err(|_| Rejected)
}
