//! Where a database is, as its URL says, and how a connection to it is made.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{ChannelBinding, Host, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::options::PostgresOptions;
use crate::{AttachError, InvalidUrl, StoreError};

type TlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// How long one host may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After so long without an acknowledgement a connection is dead, whatever it waits for.
const DEAD_AFTER: Duration = Duration::from_secs(20);

/// The URL of a PostgreSQL database: `postgres://user:password@host:port/database?sslrootcert=/path/ca.pem`.
///
/// Anything but a Unix socket or a loopback address is reached by TLS, with a certificate for the host's name under
/// `sslrootcert`; `sslmode=disable` must be said. Several hosts may be named, separated by commas: the one that takes
/// writes is used.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    config: Config,
    roots: Option<PathBuf>,
}

impl FromStr for PostgresUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut rest, mut roots, mut mode) = (Vec::new(), None, None);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslrootcert", path)) => roots = Some(PathBuf::from(path)),
                Some(("sslmode", value)) => mode = Some(value),
                _ => rest.push(parameter),
            }
        }
        let mut config: Config =
            format!("{place}?{}", rest.join("&")).parse().map_err(|_| InvalidUrl::NotPostgres)?;
        if config.get_hosts().is_empty() || config.get_dbname().is_none() {
            return Err(InvalidUrl::NotPostgres);
        }
        let tls = match mode {
            None => roots.is_some() || !config.get_hosts().iter().all(is_here),
            Some("disable") => false,
            // Unauthenticated TLS is no TLS.
            Some("require" | "verify-full") => true,
            Some(_) => return Err(InvalidUrl::NotPostgres),
        };
        if tls && roots.is_none() {
            return Err(InvalidUrl::NoRoots);
        }
        config
            .ssl_mode(if tls { SslMode::Require } else { SslMode::Disable })
            .channel_binding(if tls { ChannelBinding::Prefer } else { ChannelBinding::Disable })
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .application_name("symbolon")
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(DEAD_AFTER)
            .keepalives_idle(DEAD_AFTER);
        Ok(Self { config, roots })
    }
}

/// Without the password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        for (n, host) in self.config.get_hosts().iter().enumerate() {
            f.write_str(if n == 0 { "" } else { "," })?;
            match host {
                Host::Tcp(name) => f.write_str(name)?,
                Host::Unix(path) => write!(f, "{}", path.display())?,
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config: _, roots } = self;
        f.debug_struct("PostgresUrl").field("place", &self.to_string()).field("roots", roots).finish()
    }
}

/// On this machine, where nobody between can listen.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: core::net::IpAddr| address.is_loopback())
        }
    }
}

/// A database, and all that a connection to it takes.
#[derive(Clone)]
pub(super) struct Place {
    url: PostgresUrl,
    tls: MakeRustlsConnect,
    timeout: Duration,
}

impl Place {
    pub(super) fn new(url: PostgresUrl, options: &PostgresOptions) -> Result<Self, AttachError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = url.roots.as_deref().map_or_else(|| Ok(RootCertStore::empty()), read_roots)?;
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| StoreError::Io(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { url, tls: MakeRustlsConnect::new(tls), timeout: options.timeout })
    }

    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, TlsStream>), StoreError> {
        Ok(self.url.config.connect(self.tls.clone()).await?)
    }

    /// What every session is set to, whatever role and database say. Warnings must be heard: see
    /// [`Session::take_warning`](super::session::Session::take_warning).
    pub(super) fn settings(&self) -> String {
        let ms = self.timeout.as_millis();
        format!(
            "SET search_path = symbolon, pg_catalog, pg_temp; SET statement_timeout = {ms}; SET lock_timeout = {ms};
             SET idle_in_transaction_session_timeout = {ms}; SET client_min_messages = warning;
             SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off"
        )
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, tls: _, timeout } = self;
        f.debug_struct("Place").field("url", url).field("timeout", timeout).finish_non_exhaustive()
    }
}

fn read_roots(path: &Path) -> Result<RootCertStore, AttachError> {
    let unreadable =
        |error: &dyn fmt::Display| AttachError::Store(StoreError::Io(format!("{}: {error}", path.display())));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    match roots.is_empty() {
        true => Err(unreadable(&"there is no certificate in it")),
        false => Ok(roots),
    }
}
