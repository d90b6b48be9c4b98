use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use symbolon_keys::wire::{Malformed, Reader, put_lp};
use symbolon_keys::{Id, UnixTime};

use crate::screen::{Page, Screen};

/// The most bytes of a reference: as in a credit transfer.
pub const MAX_REFERENCE: usize = 140;

/// The most bytes of a free text: what a person reads before pressing a button.
pub const MAX_TEXT: usize = 2048;

/// The most decimal places of a currency's minor unit.
pub const MAX_DECIMALS: u8 = 18;

/// Version 1 of the format (`docs/approval.md`).
const VERSION: u8 = 1;

symbolon_keys::random_id! {
    /// Names a document that asks for approval; random, drawn by whoever asks. An approval of it counts once.
    pub struct ApprovalId;
}

/// Three to eight of `A-Z` and `0-9`: a currency or another unit of account.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency {
    /// Zero after the text.
    bytes: [u8; 8],
    len: usize,
}

impl Currency {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|text| str::from_utf8(text).ok()).unwrap_or_default()
    }
}

impl core::str::FromStr for Currency {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut bytes = [0; 8];
        let allowed = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if text.len() < 3 || !allowed {
            return Err(Malformed);
        }
        bytes.get_mut(..text.len()).ok_or(Malformed)?.copy_from_slice(text.as_bytes());
        Ok(Self { bytes, len: text.len() })
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Currency({})", self.as_str())
    }
}

/// What a person is asked to approve: an order to pay.
///
/// It has one encoding, and that is what is shown, signed and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// Names it; an approval of it counts once.
    pub id: ApprovalId,
    /// How much, in minor units.
    pub amount: u128,
    /// Of what.
    pub currency: Currency,
    /// Decimal places of the minor unit: 2 where 1234 means 12.34.
    pub decimals: u8,
    /// To whom.
    pub payee: Id,
    /// What the payee needs to match it; at most [`MAX_REFERENCE`] bytes.
    pub reference: String,
    /// What it is about; at most [`MAX_TEXT`] bytes.
    pub text: String,
    /// From when an approval of it is void.
    pub expires: UnixTime,
}

impl Document {
    /// An order to pay `amount` minor units with no reference and no text.
    #[must_use]
    pub const fn new(
        id: ApprovalId,
        amount: u128,
        (currency, decimals): (Currency, u8),
        payee: Id,
        expires: UnixTime,
    ) -> Self {
        Self { id, amount, currency, decimals, payee, reference: String::new(), text: String::new(), expires }
    }

    /// The one encoding.
    ///
    /// # Errors
    /// [`Malformed`] if a field exceeds its limit.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Malformed> {
        self.check()?;
        let mut out = Vec::with_capacity(128);
        out.push(VERSION);
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.amount.to_be_bytes());
        put_lp(&mut out, self.currency.as_str().as_bytes()).map_err(|_| Malformed)?;
        out.push(self.decimals);
        put_lp(&mut out, self.payee.as_bytes()).map_err(|_| Malformed)?;
        put_lp(&mut out, self.reference.as_bytes()).map_err(|_| Malformed)?;
        put_lp(&mut out, self.text.as_bytes()).map_err(|_| Malformed)?;
        out.extend_from_slice(&self.expires.as_secs().to_be_bytes());
        Ok(out)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are not one's encoding.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.expect(&[VERSION])?;
        let document = Self {
            id: r.array()?.into(),
            amount: r.u128()?,
            currency: text(&mut r)?.parse()?,
            decimals: r.u8()?,
            payee: Id::from_bytes(r.lp()?).map_err(|_| Malformed)?,
            reference: text(&mut r)?.to_string(),
            text: text(&mut r)?.to_string(),
            expires: UnixTime::from_secs(r.u64()?),
        };
        r.finish()?;
        document.check()?;
        Ok(document)
    }

    fn check(&self) -> Result<(), Malformed> {
        let fits = self.decimals <= MAX_DECIMALS
            && self.reference.len() <= MAX_REFERENCE
            && self.text.len() <= MAX_TEXT;
        if fits { Ok(()) } else { Err(Malformed) }
    }

    /// The document page by page for a screen of this size: whatever is signed is on some page, and nothing else.
    ///
    /// Amount and payee come first. Control characters, invisible ones and those that change the direction of writing
    /// are shown by number (`docs/approval.md`).
    #[must_use]
    pub fn render(&self, screen: Screen) -> Vec<Page> {
        let fields = [
            ("Pay", format!("{} {}", decimal(self.amount, self.decimals), self.currency.as_str())),
            ("To", self.payee.to_string()),
            ("Reference", self.reference.clone()),
            ("Text", self.text.clone()),
            ("Until", utc(self.expires)),
            ("Order", self.id.to_string()),
        ];
        screen.pages(&fields)
    }
}

fn text<'a>(r: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    str::from_utf8(r.lp()?).map_err(|_| Malformed)
}

/// 123456 with two decimals is "1234.56".
fn decimal(amount: u128, decimals: u8) -> String {
    let places = usize::from(decimals);
    let digits = format!("{amount:0width$}", width = places.saturating_add(1));
    match digits.split_at_checked(digits.len().saturating_sub(places)) {
        Some((whole, part)) if !part.is_empty() => format!("{whole}.{part}"),
        _ => digits,
    }
}

/// The time as `2026-11-20 09:30:00 UTC`; far beyond any calendar as a number of seconds.
fn utc(time: UnixTime) -> String {
    const DAY: u64 = 24 * 60 * 60;
    /// The end of the year 9999.
    const LAST: u64 = 253_402_300_799;
    let seconds = time.as_secs();
    if seconds > LAST {
        return format!("{seconds} s after 1970");
    }
    let (mut days, rest) = (seconds / DAY, seconds % DAY);
    let mut year = 1970_u64;
    let (year, leap) = loop {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let length = if leap { 366 } else { 365 };
        match days.checked_sub(length) {
            Some(left) => days = left,
            None => break (year, leap),
        }
        year = year.saturating_add(1);
    };
    let mut month = 1_u64;
    for length in [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        match days.checked_sub(length) {
            Some(left) => days = left,
            None => break,
        }
        month = month.saturating_add(1);
    }
    let day = days.saturating_add(1);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}
