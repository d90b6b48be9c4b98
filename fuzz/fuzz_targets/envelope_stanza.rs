#![no_main]

#[path = "../../crates/envelope/tests/it/fuzz/envelope_stanza.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
