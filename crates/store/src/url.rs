use core::str::FromStr;
use std::path::{Path, PathBuf};

use crate::InvalidUrl;

/// Where a store is: `sqlite:` and a path, relative or absolute.
///
/// ```
/// # use symbolon_store::{InvalidUrl, StoreUrl};
/// assert!("sqlite:./exchange.db".parse::<StoreUrl>().is_ok());
/// assert_eq!("redis:localhost".parse::<StoreUrl>(), Err(InvalidUrl::UnknownEngine));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// A file.
    Sqlite(PathBuf),
}

impl FromStr for StoreUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let (engine, place) = text.split_once(':').ok_or(InvalidUrl::NoEngine)?;
        match engine {
            "sqlite" if place.is_empty() => Err(InvalidUrl::NoPath),
            // Kept free: `//host`, parameters and fragments would mean something in a URL.
            "sqlite" if place.starts_with("//") || place.contains(['?', '#']) => Err(InvalidUrl::NotAPath),
            "sqlite" => Ok(Self::Sqlite(Path::new(place).to_path_buf())),
            _ => Err(InvalidUrl::UnknownEngine),
        }
    }
}
