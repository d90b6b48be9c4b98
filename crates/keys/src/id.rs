use core::fmt;
use core::str::FromStr;

/// The id of a user, a device or a server: 1 to [`Id::MAX_LEN`] characters of `a-z`, `0-9`, `.`, `_`, `-`, `+`, `@`,
/// the first a letter or digit.
///
/// So small an alphabet that every id has one spelling, and no two differ by case, script or composition only: an id
/// goes into derivations byte for byte. It is one cache line, and copied freely. Ordered as its bytes are.
///
/// ```
/// # use symbolon_keys::Id;
/// let id: Id = "alice@example.org".parse()?;
/// assert_eq!(id.to_string(), "alice@example.org");
/// assert!("Alice".parse::<Id>().is_err());
/// # Ok::<(), symbolon_keys::InvalidId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Zero after `len`, so that equality, order and hash follow the text.
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl Id {
    /// The most characters of an id.
    pub const MAX_LEN: usize = 63;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The id as it goes into derivations and messages.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Checks and takes the bytes of an id.
    ///
    /// # Errors
    /// [`InvalidId`] says what is wrong with them.
    pub fn from_bytes(text: &[u8]) -> Result<Self, InvalidId> {
        let first = *text.first().ok_or(InvalidId::Length)?;
        let len = u8::try_from(text.len()).map_err(|_| InvalidId::Length)?;
        let mut bytes = [0; Self::MAX_LEN];
        bytes.get_mut(..text.len()).ok_or(InvalidId::Length)?.copy_from_slice(text);
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !letter(first) || !text.iter().all(|&byte| letter(byte) || b"._-+@".contains(&byte)) {
            return Err(InvalidId::Character);
        }
        Ok(Self { bytes, len })
    }
}

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::from_bytes(text.as_bytes())
    }
}

impl TryFrom<&[u8]> for Id {
    type Error = InvalidId;

    fn try_from(text: &[u8]) -> Result<Self, InvalidId> {
        Self::from_bytes(text)
    }
}

impl AsRef<[u8]> for Id {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

/// Why some text is not an [`Id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidId {
    /// It is empty or longer than [`Id::MAX_LEN`].
    Length,
    /// It has a character outside `a-z 0-9 . _ - + @`, or does not begin with a letter or digit.
    Character,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "an id has 1 to {} characters", Id::MAX_LEN),
            Self::Character => {
                f.write_str("an id is made of a-z 0-9 . _ - + @ and begins with a letter or digit")
            }
        }
    }
}

impl core::error::Error for InvalidId {}
