#![no_main]

#[path = "../../crates/ledger/tests/it/fuzz/ledger_qkd.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
