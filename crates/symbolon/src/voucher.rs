//! Vouchers: prepaid value that whoever holds it can spend, without a name (L16, L17).

use core::fmt;
use core::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, ByteIterExt, Fe32IterExt, Hrp};
use rand_core::CryptoRng;
use symbolon_keys::wire::Reader;
use symbolon_keys::{RootKey, Secret, label};
use symbolon_ledger::{AccountId, TransferId};
use zeroize::{Zeroize, Zeroizing};

const VOUCHER: Hrp = Hrp::parse_unchecked("symbolon-voucher");
const PURCHASE: Hrp = Hrp::parse_unchecked("symbolon-purchase");

/// The version of a purchase's text: the first byte of what it encodes.
const PURCHASE_VERSION: u8 = 1;

/// `u8 version || secret of the voucher 32 || id 16 || u64 bytes`, big-endian.
const PURCHASE_LEN: usize = 1 + 32 + 16 + 8;

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
        to_text(VOUCHER, self.0.expose())
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
        let bytes = from_text::<32>(VOUCHER, text).ok_or(InvalidVoucher)?;
        Ok(Self::from(Secret::init_with(|out: &mut [u8; 32]| out.copy_from_slice(&*bytes))))
    }
}

impl fmt::Debug for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("Voucher(..)")
    }
}

/// One purchase with a voucher: asking again with the same purchase buys nothing twice.
///
/// Keep its [text](Self::to_text) in a private file before the first request, until the pad is here: a client that dies
/// in between goes on with it. With the voucher alone it cannot, for that is spent.
///
/// # Security
/// The text holds the voucher: whoever reads it has the value, and the pad until its first use.
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

    /// The text to keep, with a checksum.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let Self { voucher, id, bytes } = self;
        let mut encoded = Zeroizing::new(Vec::with_capacity(PURCHASE_LEN));
        encoded.push(PURCHASE_VERSION);
        encoded.extend_from_slice(voucher.expose());
        encoded.extend_from_slice(id);
        encoded.extend_from_slice(&bytes.to_be_bytes());
        to_text(PURCHASE, &encoded)
    }

    /// The voucher that pays: with it the pad is [closed](crate::Client::close_pad), and what is left is on it again.
    #[must_use]
    pub const fn voucher(&self) -> &Voucher {
        &self.voucher
    }
}

impl FromStr for Purchase {
    type Err = InvalidPurchase;

    fn from_str(text: &str) -> Result<Self, InvalidPurchase> {
        let encoded = from_text::<PURCHASE_LEN>(PURCHASE, text).ok_or(InvalidPurchase)?;
        let mut reader = Reader::new(&*encoded);
        let mut read = || {
            reader.u8().ok().filter(|version| *version == PURCHASE_VERSION)?;
            let secret = Zeroizing::new(reader.array::<32>().ok()?);
            let id = reader.array::<16>().ok()?;
            Some((secret, id, reader.u64().ok()?))
        };
        let (secret, id, bytes) = read().ok_or(InvalidPurchase)?;
        let secret = Secret::init_with(|out: &mut [u8; 32]| out.copy_from_slice(&*secret));
        Ok(Self { voucher: secret.into(), id, bytes })
    }
}

/// Bech32m, without the limit of 90 characters that addresses have.
fn to_text(prefix: Hrp, bytes: &[u8]) -> Zeroizing<String> {
    // Room for every character at once: a text that grew would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(160));
    text.extend(bytes.iter().copied().bytes_to_fes().with_checksum::<Bech32m>(&prefix).chars());
    text
}

/// So many bytes under this prefix, and nothing else.
fn from_text<const N: usize>(prefix: Hrp, text: &str) -> Option<Zeroizing<[u8; N]>> {
    let checked = CheckedHrpstring::new::<Bech32m>(text).ok()?;
    let chars = checked.data_part_ascii_no_checksum().len();
    let whole = chars == N.checked_mul(8)?.div_ceil(5);
    if checked.hrp() != prefix || !whole || checked.validate_segwit_padding().is_err() {
        return None;
    }
    let mut bytes = Zeroizing::new([0; N]);
    for (to, mut from) in bytes.iter_mut().zip(checked.byte_iter()) {
        *to = from;
        from.zeroize();
    }
    Some(bytes)
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

/// The text is not a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "one value")]
pub struct InvalidPurchase;

impl fmt::Display for InvalidPurchase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a purchase: copy all of it, from symbolon-purchase1 to its last character")
    }
}

impl core::error::Error for InvalidPurchase {}

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
    fn a_purchase_is_kept_as_text() {
        let purchase = Purchase { voucher: Secret::from([7; 32]).into(), id: [9; 16], bytes: u64::MAX - 1 };
        let text = purchase.to_text();
        assert!(text.starts_with("symbolon-purchase1") && text.len() <= 160, "{}", text.len());
        let Purchase { voucher, id, bytes } = text.parse().unwrap();
        assert_eq!((voucher.expose(), id, bytes), (&[7; 32], [9; 16], u64::MAX - 1));
        for place in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[place] = if other[place] == b'q' { b'p' } else { b'q' };
            assert!(String::from_utf8(other).unwrap().parse::<Purchase>().is_err(), "at {place}");
        }
        for cut in 0..text.len() {
            assert!(text[..cut].parse::<Purchase>().is_err(), "cut at {cut}");
        }
        // A good checksum does not make up for another version, length or prefix.
        let version = |version| [&[version][..], &[7; 56]].concat();
        assert!(to_text(PURCHASE, &version(1)).parse::<Purchase>().is_ok());
        for wrong in [version(0), version(2), version(1)[..56].to_vec(), [version(1), vec![0]].concat()] {
            assert!(to_text(PURCHASE, &wrong).parse::<Purchase>().is_err());
        }
        assert!(to_text(VOUCHER, &version(1)).parse::<Purchase>().is_err());
        assert!(purchase.voucher().to_text().parse::<Purchase>().is_err());
        assert!(text.parse::<Voucher>().is_err());
        let printed = format!("{purchase:?}");
        assert!(printed.contains("Voucher(..)") && !printed.contains("7, 7"), "{printed}");
    }

    #[test]
    fn names_are_told_apart() {
        let voucher = Voucher::from(Secret::from([7; 32]));
        assert_ne!(voucher.transfer(b"a", b"b"), voucher.transfer(b"ab", b""));
        assert_ne!(voucher.transfer(b"a", b""), voucher.transfer(b"a", b"\0"));
        assert_eq!(format!("{voucher:?}"), "Voucher(..)");
    }
}
