//! Pattern names and what they stand for: the tables of Noise 7.4, 7.5 and 18.1, and the modifiers `pskN` and `hfs`.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// One step of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    E,
    S,
    Ee,
    Es,
    Se,
    Ss,
    Psk,
    /// `hfs`: an ephemeral key for encapsulation.
    E1,
    /// `hfs`: the ciphertext to it.
    Ekem1,
}

/// A row of the tables: who is known beforehand, and the tokens of each message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) name: &'static str,
    /// The responder knows the initiator's static key beforehand (`-> s`).
    pub(crate) knows_initiator: bool,
    /// The initiator knows the responder's static key beforehand (`<- s`).
    pub(crate) knows_responder: bool,
    messages: &'static [&'static [Token]],
}

macro_rules! patterns {
    (@pre -) => { (false, false) };
    (@pre i) => { (true, false) };
    (@pre r) => { (false, true) };
    (@pre ir) => { (true, true) };
    ($($name:ident $pre:tt $([$($token:ident)+])+;)+) => {
        const PATTERNS: &[Pattern] = &[$(Pattern {
            name: stringify!($name),
            knows_initiator: patterns!(@pre $pre).0,
            knows_responder: patterns!(@pre $pre).1,
            messages: &[$(&[$(Token::$token),+]),+],
        }),+];
    };
}

patterns! {
    // One-way (7.4)
    N  r  [E Es];
    K  ir [E Es Ss];
    X  r  [E Es S Ss];
    // Interactive (7.5)
    NN -  [E] [E Ee];
    NK r  [E Es] [E Ee];
    NX -  [E] [E Ee S Es];
    XN -  [E] [E Ee] [S Se];
    XK r  [E Es] [E Ee] [S Se];
    XX -  [E] [E Ee S Es] [S Se];
    KN i  [E] [E Ee Se];
    KK ir [E Es Ss] [E Ee Se];
    KX i  [E] [E Ee Se S Es];
    IN -  [E S] [E Ee Se];
    IK r  [E Es S Ss] [E Ee Se];
    IX -  [E S] [E Ee Se S Es];
    // Deferred (18.1)
    NK1  r  [E] [E Ee Es];
    NX1  -  [E] [E Ee S] [Es];
    X1N  -  [E] [E Ee] [S] [Se];
    X1K  r  [E Es] [E Ee] [S] [Se];
    XK1  r  [E] [E Ee Es] [S Se];
    X1K1 r  [E] [E Ee Es] [S] [Se];
    X1X  -  [E] [E Ee S Es] [S] [Se];
    XX1  -  [E] [E Ee S] [Es S Se];
    X1X1 -  [E] [E Ee S] [Es S] [Se];
    K1N  i  [E] [E Ee] [Se];
    K1K  ir [E Es] [E Ee] [Se];
    KK1  ir [E] [E Ee Se Es];
    K1K1 ir [E] [E Ee Es] [Se];
    K1X  i  [E] [E Ee S Es] [Se];
    KX1  i  [E] [E Ee Se S] [Es];
    K1X1 i  [E] [E Ee S] [Se Es];
    I1N  -  [E S] [E Ee] [Se];
    I1K  r  [E Es S] [E Ee] [Se];
    IK1  r  [E S] [E Ee Se Es];
    I1K1 r  [E S] [E Ee Es] [Se];
    I1X  -  [E S] [E Ee S Es] [Se];
    IX1  -  [E S] [E Ee Se S] [Es];
    I1X1 -  [E S] [E Ee S] [Se Es];
}

impl Pattern {
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        PATTERNS.iter().find(|pattern| pattern.name == name)
    }
}

/// A Noise protocol: pattern, modifiers and functions. Parsed from its name, strictly.
///
/// The functions are X25519 (with ML-KEM-768 if `hfs`), ChaCha20-Poly1305 and SHA-256.
///
/// ```
/// # use symbolon_agreement::noise::Protocol;
/// let protocol: Protocol = "Noise_XXhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256".parse()?;
/// assert_eq!(protocol.to_string(), "Noise_XXhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256");
/// assert!("Noise_XXpsk3+hfs_25519+MLKEM768_ChaChaPoly_SHA256".parse::<Protocol>().is_err()); // order
/// # Ok::<(), symbolon_agreement::noise::ParseProtocolError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    pattern: &'static Pattern,
    hfs: bool,
    /// Bit `n` for `pskn`.
    psks: u8,
}

impl Protocol {
    pub(crate) const fn new(pattern: &'static Pattern, hfs: bool, psk: Option<u8>) -> Self {
        let psks = match psk {
            Some(place) => 1_u8.wrapping_shl(place as u32),
            None => 0,
        };
        Self { pattern, hfs, psks }
    }

    pub(crate) const fn pattern(self) -> &'static Pattern {
        self.pattern
    }

    /// Whether `hfs` adds ML-KEM-768.
    #[must_use]
    pub const fn is_hybrid(self) -> bool {
        self.hfs
    }

    /// How many pre-shared keys it mixes in.
    #[must_use]
    pub const fn psks(self) -> usize {
        self.psks.count_ones() as usize
    }

    /// How many messages the handshake has.
    #[must_use]
    pub const fn messages(self) -> usize {
        self.pattern.messages.len()
    }

    /// Whether only the initiator sends: patterns N, K and X.
    #[must_use]
    pub const fn is_one_way(self) -> bool {
        self.messages() == 1
    }

    /// The tokens of message `index` with the modifiers applied, in the order in which they are processed.
    pub(crate) fn tokens(self, index: usize) -> Option<Vec<Token>> {
        let mut tokens = self.pattern.messages.get(index)?.to_vec();
        if self.hfs {
            insert_hfs(&mut tokens, index == 0);
        }
        if index == 0 && self.has_psk(0) {
            tokens.insert(0, Token::Psk);
        }
        if self.has_psk(index.saturating_add(1)) {
            tokens.push(Token::Psk);
        }
        Some(tokens)
    }

    const fn has_psk(self, place: usize) -> bool {
        place < 8 && self.psks & (1 << place) != 0
    }
}

/// `noise_hfs` 5, the rule (its table contradicts it twice): `e1` follows the first `e`, or the first Diffie-Hellman
/// in the same message; `ekem1` follows the first `ee`.
fn insert_hfs(tokens: &mut Vec<Token>, first: bool) {
    let is_dh = |token: &Token| matches!(token, Token::Ee | Token::Es | Token::Se | Token::Ss);
    let (token, place) = if first {
        (Token::E1, tokens.iter().position(is_dh).or_else(|| tokens.iter().position(|t| *t == Token::E)))
    } else {
        (Token::Ekem1, tokens.iter().position(|t| *t == Token::Ee))
    };
    if let Some(place) = place {
        tokens.insert(place.saturating_add(1), token);
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Noise_{}", self.pattern.name)?;
        let mut joint = "";
        if self.hfs {
            f.write_str("hfs")?;
            joint = "+";
        }
        for place in (0..8).filter(|&place| self.has_psk(place)) {
            write!(f, "{joint}psk{place}")?;
            joint = "+";
        }
        f.write_str(if self.hfs { "_25519+MLKEM768" } else { "_25519" })?;
        f.write_str("_ChaChaPoly_SHA256")
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Protocol {
    type Err = ParseProtocolError;

    fn from_str(name: &str) -> Result<Self, ParseProtocolError> {
        let mut sections = name.split('_');
        let mut section = || sections.next().ok_or(ParseProtocolError::Form);
        let (noise, pattern, dh, cipher, hash) = (section()?, section()?, section()?, section()?, section()?);
        if noise != "Noise" || sections.next().is_some() {
            return Err(ParseProtocolError::Form);
        }
        if cipher != "ChaChaPoly" || hash != "SHA256" {
            return Err(ParseProtocolError::Functions);
        }
        let kem = match dh {
            "25519" => false,
            "25519+MLKEM768" => true,
            _ => return Err(ParseProtocolError::Functions),
        };
        let cut = pattern.find(|c: char| c.is_ascii_lowercase()).unwrap_or(pattern.len());
        let (base, modifiers) = pattern.split_at_checked(cut).ok_or(ParseProtocolError::Pattern)?;
        let pattern = Pattern::find(base).ok_or(ParseProtocolError::Pattern)?;
        let mut protocol = Self { pattern, hfs: false, psks: 0 };
        for modifier in modifiers.split('+').filter(|_| !modifiers.is_empty()) {
            protocol.add(modifier)?;
        }
        // A key encapsulation without the modifier that uses it, or the other way round, means nothing.
        if protocol.hfs == kem { Ok(protocol) } else { Err(ParseProtocolError::Modifiers) }
    }
}

impl Protocol {
    /// Modifiers come in alphabetical order, each once (Noise 8.1): every protocol has one name.
    fn add(&mut self, modifier: &str) -> Result<(), ParseProtocolError> {
        if modifier == "hfs" {
            // One-way patterns have no `ee` for it.
            if self.hfs || self.psks != 0 || self.is_one_way() {
                return Err(ParseProtocolError::Modifiers);
            }
            self.hfs = true;
            return Ok(());
        }
        let place = match modifier.strip_prefix("psk").map(str::as_bytes) {
            Some([digit @ b'0'..=b'7']) => digit.wrapping_sub(b'0'),
            _ => return Err(ParseProtocolError::Modifiers),
        };
        let bit = 1_u8.wrapping_shl(u32::from(place));
        if usize::from(place) > self.messages() || self.psks >= bit {
            return Err(ParseProtocolError::Modifiers);
        }
        self.psks |= bit;
        Ok(())
    }
}

/// Why some text names no protocol of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseProtocolError {
    /// It is not `Noise_PATTERN_DH_CIPHER_HASH`.
    Form,
    /// The pattern is not in the tables.
    Pattern,
    /// A modifier is unknown, repeated, out of order, or does not fit the pattern or the functions.
    Modifiers,
    /// The functions are not `25519` or `25519+MLKEM768`, `ChaChaPoly`, `SHA256`.
    Functions,
}

impl fmt::Display for ParseProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "a protocol name has the form Noise_PATTERN_DH_CIPHER_HASH",
            Self::Pattern => "the pattern is none of Noise 7.4, 7.5 or 18.1",
            Self::Modifiers => {
                "modifiers are hfs (with +MLKEM768) and pskN, in alphabetical order, each once"
            }
            Self::Functions => "the functions are 25519 or 25519+MLKEM768, ChaChaPoly and SHA256",
        })
    }
}

impl core::error::Error for ParseProtocolError {}
