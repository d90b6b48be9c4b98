//! Keys from a quantum key distribution network, in the form of ETSI GS QKD 014 V1.1.1: the key container of its
//! section 6.3, as JSON. Fetching it over HTTPS is the caller's.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64ct::{Base64, Encoding};
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use crate::material::Claim;
use crate::source::{Source, SourceError};

/// The longest container: the largest that a key management entity of today gives out is far smaller.
pub const MAX_CONTAINER: usize = 1 << 20;
/// The longest key identifier; the standard's are UUIDs of 36 characters.
const MAX_ID: usize = 128;

/// Gets key containers: `GET /api/v1/keys/{slave_SAE_ID}/enc_keys`.
pub trait KeyDelivery {
    /// One more container, as the key management entity sent it.
    ///
    /// # Errors
    /// [`SourceError`] if there is none.
    fn container(&mut self) -> Result<Vec<u8>, SourceError>;
}

impl<F: FnMut() -> Result<Vec<u8>, SourceError>> KeyDelivery for F {
    fn container(&mut self) -> Result<Vec<u8>, SourceError> {
        self()
    }
}

/// A source of pads that is filled with delivered keys, each of them once.
///
/// # Security
/// Its claim is [`Claim::Computational`]: how a key came from the network to this process, usually over TLS, is what it
/// is worth. [`Physical`](crate::Physical) is for whoever vouches for the whole way.
#[derive(Debug)]
pub struct QkdSource<D> {
    delivery: D,
    ready: Zeroizing<Vec<u8>>,
    ids: BTreeSet<String>,
}

impl<D: KeyDelivery> QkdSource<D> {
    /// Fills pads from `delivery`.
    pub fn new(delivery: D) -> Self {
        Self { delivery, ready: Zeroizing::new(Vec::new()), ids: BTreeSet::new() }
    }

    /// The identifiers of the keys that were taken so far.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(String::as_str)
    }
}

impl<D: KeyDelivery> Source for QkdSource<D> {
    const CLAIM: Claim = Claim::Computational;

    fn fill(&mut self, out: &mut [u8]) -> Result<(), SourceError> {
        while self.ready.len() < out.len() {
            let container = Zeroizing::new(self.delivery.container()?);
            for (id, key) in parse_container(&container)? {
                if !self.ids.insert(id) {
                    return Err(SourceError::Repeated);
                }
                let mut ready =
                    Zeroizing::new(Vec::with_capacity(self.ready.len().saturating_add(key.len())));
                ready.extend_from_slice(&self.ready);
                ready.extend_from_slice(&key);
                self.ready = ready;
            }
        }
        let (given, kept) = self.ready.split_at_mut_checked(out.len()).ok_or(SourceError::Ended)?;
        out.copy_from_slice(given);
        given.zeroize();
        self.ready = Zeroizing::new(kept.to_vec());
        Ok(())
    }
}

/// A key and its identifier.
type Key = (String, Zeroizing<Vec<u8>>);

/// Reads a key container: `{"keys": [{"key_ID": "..", "key": "<base64>"}, ..]}`; extensions are passed over.
///
/// # Errors
/// [`SourceError::Malformed`] if it is none, or has no key.
pub fn parse_container(bytes: &[u8]) -> Result<Vec<Key>, SourceError> {
    if bytes.len() > MAX_CONTAINER {
        return Err(SourceError::Malformed);
    }
    let container: Value = serde_json::from_slice(bytes).map_err(|_| SourceError::Malformed)?;
    let keys = container.get("keys").and_then(Value::as_array).ok_or(SourceError::Malformed)?;
    let text = |key: &Value, name| key.get(name).and_then(Value::as_str).map(ToString::to_string);
    let read = |key: &Value| {
        let id = text(key, "key_ID").filter(|id| !id.is_empty() && id.len() <= MAX_ID)?;
        let key = Zeroizing::new(text(key, "key")?);
        let key = Base64::decode_vec(&key).ok().filter(|key| !key.is_empty())?;
        Some((id, Zeroizing::new(key)))
    };
    let keys: Option<Vec<_>> = keys.iter().map(read).collect();
    keys.filter(|keys| !keys.is_empty()).ok_or(SourceError::Malformed)
}
