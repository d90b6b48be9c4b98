//! See `tests/wiping.rs`.
