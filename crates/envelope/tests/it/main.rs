//! Tests of `symbolon-envelope` through its public interface.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod stores;
