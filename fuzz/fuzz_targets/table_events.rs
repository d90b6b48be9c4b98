#![no_main]

#[path = "../../crates/table/tests/it/fuzz/table_events.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
