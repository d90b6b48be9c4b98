//! Fixtures that the benches share.
