#![no_main]

#[path = "../../crates/keys/tests/it/fuzz/keys_id.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
