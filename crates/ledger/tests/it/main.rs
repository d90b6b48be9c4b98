//! Integration tests of `symbolon-ledger`.

mod stores;
