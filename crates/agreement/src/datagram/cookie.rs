use core::net::{IpAddr, SocketAddr};

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use symbolon_keys::wire::{Malformed, Reader};
use symbolon_keys::{MacKey, Rejected, RootKey, Secret, UnixTime, label};

/// How long one key makes cookies, in seconds; they are accepted for that long and at most once more.
const SLOT: u64 = 120;

/// Proof that whoever shows it received a datagram at its address, within the last minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie([u8; 16]);

impl Cookie {
    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for Cookie {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Makes and checks cookies (C6). It remembers nothing: a flood costs it a hash for each datagram and no memory.
///
/// A cookie is for one address, one port and one first message; so it cannot be collected and used elsewhere.
#[derive(Debug)]
pub struct CookieJar {
    boot_root: RootKey,
}

impl CookieJar {
    /// With a new secret: cookies of an earlier start are worth nothing.
    pub fn new<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self { boot_root: RootKey::generate(rng) }
    }

    /// With a secret that several servers of one address share, or of a vector.
    #[must_use]
    pub fn with_secret(boot_root: Secret<32>) -> Self {
        Self { boot_root: RootKey::from(boot_root) }
    }

    /// The cookie for a first message (`hello || m1`) that came from `source`.
    ///
    /// # Errors
    /// [`Rejected`] never, unless the derivation fails.
    pub fn bake(&self, source: SocketAddr, first: &First<'_>, now: UnixTime) -> Result<Cookie, Rejected> {
        let key = self.key(slot(now))?;
        let (family, address, port) = parts(source);
        let tag = key.tag(&[&[family], address.as_ref(), &port, &first.hash()]);
        tag.first_chunk().copied().map(Cookie).ok_or(Rejected)
    }

    /// Checks a cookie, in constant time: of this two minutes, or of the last.
    ///
    /// # Errors
    /// [`Rejected`] if it is not for this address, this message, or this time.
    pub fn check(
        &self,
        source: SocketAddr,
        first: &First<'_>,
        cookie: Cookie,
        now: UnixTime,
    ) -> Result<(), Rejected> {
        let (family, address, port) = parts(source);
        let hash = first.hash();
        let parts: [&[u8]; 4] = [&[family], address.as_ref(), &port, &hash];
        let slot = slot(now);
        self.key(slot)?.verify(&parts, &cookie.0).or_else(|rejected| match slot.checked_sub(1) {
            Some(before) => self.key(before)?.verify(&parts, &cookie.0),
            None => Err(rejected),
        })
    }

    fn key(&self, slot: u64) -> Result<MacKey, Rejected> {
        let key = self.boot_root.derive(label::COOKIE, &[&slot.to_be_bytes()]).map_err(|_| Rejected)?;
        Ok(MacKey::from(key))
    }
}

const fn slot(now: UnixTime) -> u64 {
    now.as_secs() / SLOT
}

/// Family, address and port; an IPv4 address mapped into IPv6 is one of IPv4.
fn parts(source: SocketAddr) -> (u8, Octets, [u8; 2]) {
    let (family, octets) = match source.ip().to_canonical() {
        IpAddr::V4(v4) => (4, Octets::V4(v4.octets())),
        IpAddr::V6(v6) => (6, Octets::V6(v6.octets())),
    };
    (family, octets, source.port().to_be_bytes())
}

enum Octets {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::V4(octets) => octets,
            Self::V6(octets) => octets,
        }
    }
}

/// A first message as cookies see it: `hello || m1`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct First<'a> {
    hello: &'a [u8],
    m1: &'a [u8],
}

impl<'a> First<'a> {
    /// Splits the body of a first message, `hello || u16 n || m1 [|| cookie]`.
    pub(super) fn parse(body: &'a [u8]) -> Result<(Self, Option<Cookie>), Malformed> {
        let mut r = Reader::new(body);
        let mut head = r.clone();
        let hello_len =
            head.array::<4>().map(|head| usize::from(head[3]).saturating_mul(2).saturating_add(4))?;
        let (hello, m1) = (r.take(hello_len)?, r.lp()?);
        let rest = r.rest();
        let cookie = match rest.len() {
            0 => None,
            _ => Some(Cookie(rest.try_into().map_err(|_| Malformed)?)),
        };
        Ok((Self { hello, m1 }, cookie))
    }

    /// From its two parts.
    #[must_use]
    pub const fn new(hello: &'a [u8], m1: &'a [u8]) -> Self {
        Self { hello, m1 }
    }

    /// `SHA-256(hello || m1)`.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(self.hello).chain_update(self.m1).finalize().into()
    }
}
