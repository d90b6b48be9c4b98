//! See `tests/memory.rs`.
