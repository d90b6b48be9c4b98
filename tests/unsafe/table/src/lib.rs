//! See `tests/table.rs`.
