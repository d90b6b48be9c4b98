#![no_main]

#[path = "../../crates/symbolon/tests/it/fuzz/symbolon_protocol.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
