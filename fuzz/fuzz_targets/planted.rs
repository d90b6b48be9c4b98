#![no_main]
//! Fails on every input: `.ci/fuzz.sh` runs it to see that it would notice.

libfuzzer_sys::fuzz_target!(|data: &[u8]| assert!(data.len() > usize::MAX / 2, "planted"));
