//! Vouchers: prepaid value that whoever holds it can spend, without a name (L16, L17).

use core::fmt;
use core::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, ByteIterExt, Fe32IterExt, Hrp};
use rand_core::CryptoRng;
use symbolon_keys::{RootKey, Secret, label};
use symbolon_ledger::{AccountId, TransferId};
use zeroize::{Zeroize, Zeroizing};

const HRP: Hrp = Hrp::parse_unchecked("symbolon-voucher");

/// The value of a voucher lies in an account whose id is derived from its 32 secret bytes. The server's database holds
/// the id and the value, and nothing to spend it with.
///
/// # Security
/// Bearer money: whoever reads the text has the value. It names nobody.
pub struct Voucher(RootKey);

impl Voucher {
    /// A new one, worth nothing yet.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(RootKey::generate(rng))
    }

    /// The text to hand out, with a checksum against mistyping.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(80));
        text.extend(self.0.expose().iter().copied().bytes_to_fes().with_checksum::<Bech32m>(&HRP).chars());
        text
    }

    /// The secret bytes, as they go to the server.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The account that holds the value; what is left of a pad comes back to it.
    pub(crate) fn account(&self) -> AccountId {
        self.name(b"account", &[]).into()
    }

    /// The id of the transfer that does `what`: the same again is the same transfer.
    pub(crate) fn transfer(&self, what: &[u8], detail: &[u8]) -> TransferId {
        self.name(what, detail).into()
    }

    fn name(&self, what: &[u8], detail: &[u8]) -> [u8; 16] {
        // Both fields are short by construction.
        self.0.derive::<16>(label::VOUCHER, &[what, detail]).map(|name| *name.expose()).unwrap_or_default()
    }
}

impl From<Secret<32>> for Voucher {
    fn from(secret: Secret<32>) -> Self {
        Self(secret.into())
    }
}

impl FromStr for Voucher {
    type Err = InvalidVoucher;

    fn from_str(text: &str) -> Result<Self, InvalidVoucher> {
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| InvalidVoucher)?;
        let chars = checked.data_part_ascii_no_checksum().len();
        if checked.hrp() != HRP || chars != 52 || checked.validate_segwit_padding().is_err() {
            return Err(InvalidVoucher);
        }
        let secret = Secret::init_with(|out: &mut [u8; 32]| {
            for (to, mut from) in out.iter_mut().zip(checked.byte_iter()) {
                *to = from;
                from.zeroize();
            }
        });
        Ok(Self::from(secret))
    }
}

impl fmt::Debug for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("Voucher(..)")
    }
}

/// One purchase with a voucher: made once, and kept until what was bought is here. Asking again with the same purchase
/// buys nothing twice.
#[derive(Debug)]
pub struct Purchase {
    pub(crate) voucher: Voucher,
    pub(crate) id: [u8; 16],
    pub(crate) bytes: u64,
}

impl Purchase {
    /// A pad of so many bytes, for all that the voucher is worth.
    pub fn new<R: CryptoRng + ?Sized>(voucher: Voucher, bytes: u64, rng: &mut R) -> Self {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        Self { voucher, id, bytes }
    }
}

/// The text is not a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "one value")]
pub struct InvalidVoucher;

impl fmt::Display for InvalidVoucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a voucher: copy all of it, from symbolon-voucher1 to its last character")
    }
}

impl core::error::Error for InvalidVoucher {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_back_and_mistyping_is_noticed() {
        let voucher = Voucher::from(Secret::from([7; 32]));
        let text = voucher.to_text();
        let read: Voucher = text.parse().unwrap();
        assert_eq!(read.expose(), voucher.expose());
        assert_eq!(read.account(), voucher.account());
        for place in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[place] = if other[place] == b'q' { b'p' } else { b'q' };
            assert!(String::from_utf8(other).unwrap().parse::<Voucher>().is_err(), "at {place}");
        }
        assert!(text[..text.len() - 1].parse::<Voucher>().is_err());
        assert!(format!("{}q", *text).parse::<Voucher>().is_err());
    }

    #[test]
    fn names_are_told_apart() {
        let voucher = Voucher::from(Secret::from([7; 32]));
        assert_ne!(voucher.transfer(b"a", b"b"), voucher.transfer(b"ab", b""));
        assert_ne!(voucher.transfer(b"a", b""), voucher.transfer(b"a", b"\0"));
        assert_eq!(format!("{voucher:?}"), "Voucher(..)");
    }
}
