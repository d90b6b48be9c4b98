//! See `tests/fork.rs`.
