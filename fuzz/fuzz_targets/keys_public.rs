#![no_main]

#[path = "../../crates/keys/tests/it/fuzz/keys_public.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
