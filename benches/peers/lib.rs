//! The benches are beside this file; this library is empty.
