use alloc::string::String;
use alloc::vec::Vec;

use symbolon_keys::Secret;
use symbolon_keys::wire::{Malformed, Reader, put_lp};
use zeroize::Zeroizing;

use super::BundleError;
use crate::AccountId;
use crate::material::{PadHeader, PadKeys};

/// How to reach the server of a pad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    address: String,
    server: Vec<u8>,
    account: AccountId,
    notes: String,
}

impl Connection {
    /// The longest address: a host name and a port.
    pub const MAX_ADDRESS: usize = 255;
    /// The longest server key: any public key of today.
    pub const MAX_SERVER: usize = 4096;
    /// The longest notes: a page for people.
    pub const MAX_NOTES: usize = 4096;

    /// The server's address, its public key as its protocol writes it, and the account that holds the pad's value.
    ///
    /// # Errors
    /// [`BundleError::TooLong`] if one of them is.
    pub fn new(address: &str, server: Vec<u8>, account: AccountId) -> Result<Self, BundleError> {
        let fits = address.len() <= Self::MAX_ADDRESS && server.len() <= Self::MAX_SERVER;
        let made = Self { address: address.into(), server, account, notes: String::new() };
        if fits { Ok(made) } else { Err(BundleError::TooLong) }
    }

    /// With something for people to read, such as how to use it.
    ///
    /// # Errors
    /// [`BundleError::TooLong`] if it is.
    pub fn notes(mut self, notes: &str) -> Result<Self, BundleError> {
        if notes.len() > Self::MAX_NOTES {
            return Err(BundleError::TooLong);
        }
        self.notes = notes.into();
        Ok(self)
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The server's public key, as its protocol writes it.
    #[must_use]
    pub fn server(&self) -> &[u8] {
        &self.server
    }

    /// The account that holds the pad's value.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// Something for people to read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.notes
    }
}

/// What a bundle holds besides the pad itself.
#[derive(Debug)]
pub(super) struct Content {
    key: Secret<32>,
    header: PadHeader,
    keys: PadKeys,
    connection: Connection,
}

impl Content {
    pub(super) const fn key(&self) -> &Secret<32> {
        &self.key
    }

    pub(super) const fn header(&self) -> &PadHeader {
        &self.header
    }

    pub(super) const fn keys(&self) -> &PadKeys {
        &self.keys
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The bytes of a content, and the content itself.
    pub(super) fn make(
        key: &Secret<32>,
        header: &PadHeader,
        keys: &PadKeys,
        connection: &Connection,
    ) -> Result<(Zeroizing<Vec<u8>>, Self), BundleError> {
        let Connection { address, server, account, notes } = connection;
        let mut out = Zeroizing::new(Vec::with_capacity(super::MAX_CONTENT));
        out.extend_from_slice(key.expose());
        out.extend_from_slice(&header.to_bytes(keys));
        out.extend_from_slice(account.as_bytes());
        for field in [address.as_bytes(), server, notes.as_bytes()] {
            put_lp(&mut out, field).map_err(|_| BundleError::TooLong)?;
        }
        let content = Self::parse(&out)?;
        Ok((out, content))
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        Self::read(bytes).map_err(|_| BundleError::Malformed("its content"))
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let key = Secret::from(r.array::<32>()?);
        let (header, keys) = PadHeader::parse(r.take(PadHeader::LEN)?)?;
        let account = r.array()?.into();
        let text = |bytes: &[u8]| str::from_utf8(bytes).map(String::from).map_err(|_| Malformed);
        let address = text(r.lp()?)?;
        let server = r.lp()?.to_vec();
        let notes = text(r.lp()?)?;
        r.finish()?;
        let connection = Connection::new(&address, server, account).map_err(|_| Malformed)?;
        let connection = connection.notes(&notes).map_err(|_| Malformed)?;
        Ok(Self { key, header, keys, connection })
    }
}
