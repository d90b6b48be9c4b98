#![no_main]

#[path = "../../crates/agreement/tests/it/fuzz/agreement_records.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
