//! Integration tests of `symbolon-table`.

mod stores;
