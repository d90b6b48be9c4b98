use core::cmp::Ordering;
use core::fmt;

use symbolon_keys::wire::TooLong;
use symbolon_keys::{Epoch, Id, Rejected, RootKey, Secret, TablePublicKey, TableSecretKey, label};

use crate::message::Header;

/// One end of a pair: an id and the public key it has in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the three things that name a key")]
pub struct Party {
    /// Who.
    pub id: Id,
    /// Which of their keys.
    pub epoch: Epoch,
    /// The key.
    pub key: TablePublicKey,
}

/// What two parties share (C4: `root`): a table entry. It derives the key of each message and is no key itself.
///
/// Both ends compute the same root: it binds both ids, both public keys and both epochs.
pub struct PairRoot(RootKey);

impl PairRoot {
    /// The root that `me`, holding `secret`, shares with `peer`.
    ///
    /// # Errors
    /// [`Rejected`] if both have one id, if `secret` does not belong to `me`, or if the keys' product is zero.
    pub fn agree(secret: &TableSecretKey, me: &Party, peer: &Party) -> Result<Self, Rejected> {
        if secret.public_key() != &me.key {
            return Err(Rejected);
        }
        let (low, high) = match me.id.as_bytes().cmp(peer.id.as_bytes()) {
            Ordering::Less => (me, peer),
            Ordering::Greater => (peer, me),
            Ordering::Equal => return Err(Rejected),
        };
        let fields: [&[u8]; 6] = [
            low.id.as_bytes(),
            low.key.as_bytes(),
            &low.epoch.to_bytes(),
            high.id.as_bytes(),
            high.key.as_bytes(),
            &high.epoch.to_bytes(),
        ];
        let shared = secret.diffie_hellman(&peer.key)?.extract(label::TABLE_ROOT);
        let root: Secret<32> = shared.derive(label::TABLE_PAIR, &fields).map_err(|TooLong| Rejected)?;
        Ok(Self(root.into()))
    }

    /// `key || commit` of the message with this header.
    pub(crate) fn message_keys(&self, header: &Header) -> Result<Secret<64>, TooLong> {
        let fields: [&[u8]; 4] = [
            header.sender().as_bytes(),
            header.recipient().as_bytes(),
            header.message_id().as_bytes(),
            header.salt(),
        ];
        self.0.derive(label::TABLE_MESSAGE, &fields)
    }

    /// A second copy, wiped like the first, for a table entry that replaces another.
    #[cfg(feature = "std")]
    pub(crate) fn copy(&self) -> Self {
        Secret::init_with(|out| out.copy_from_slice(self.expose())).into()
    }

    /// The root itself, to keep it somewhere safe. Search for this name to see where it leaves its type.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl From<Secret<32>> for PairRoot {
    fn from(root: Secret<32>) -> Self {
        Self(root.into())
    }
}

impl fmt::Debug for PairRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("PairRoot(..)")
    }
}
