//! Integration tests of `symbolon-keys`.

mod derivation;
