#![no_main]

#[path = "../../crates/keys/tests/it/fuzz/keys_passphrase.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
