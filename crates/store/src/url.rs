#[cfg(feature = "postgres")]
use alloc::boxed::Box;
use core::str::FromStr;
#[cfg(feature = "sqlite")]
use std::path::{Path, PathBuf};

use crate::InvalidUrl;
#[cfg(feature = "postgres")]
use crate::PostgresUrl;

/// Where a store is: `sqlite:` and a path, relative or absolute, or `postgres://user@host/database` (feature
/// `postgres`; see `PostgresUrl`).
///
/// ```
/// # use symbolon_store::{InvalidUrl, StoreUrl};
/// # #[cfg(feature = "sqlite")]
/// assert!("sqlite:./exchange.db".parse::<StoreUrl>().is_ok());
/// assert_eq!("redis:localhost".parse::<StoreUrl>(), Err(InvalidUrl::UnknownEngine));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// A file.
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server.
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresUrl>),
}

impl FromStr for StoreUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let (engine, place) = text.split_once(':').ok_or(InvalidUrl::NoEngine)?;
        match engine {
            #[cfg(feature = "sqlite")]
            "sqlite" => sqlite(place),
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => Ok(Self::Postgres(Box::new(text.parse()?))),
            _ => {
                let _ = place;
                Err(InvalidUrl::UnknownEngine)
            }
        }
    }
}

#[cfg(feature = "sqlite")]
fn sqlite(place: &str) -> Result<StoreUrl, InvalidUrl> {
    match place {
        "" => Err(InvalidUrl::NoPath),
        // Kept free: `//host`, parameters and fragments would mean something in a URL.
        _ if place.starts_with("//") || place.contains(['?', '#']) => Err(InvalidUrl::NotAPath),
        _ => Ok(StoreUrl::Sqlite(Path::new(place).to_path_buf())),
    }
}
