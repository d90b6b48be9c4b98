//! The fuzz targets, each over its committed corpus (`fuzz/corpus`), and the table against a model.

use std::path::Path;

use proptest::prelude::*;

mod table_approval;
mod table_events;
mod table_message;
mod table_record;

/// Feeds every file of a corpus to its target.
fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{target}: {} files", files.len());
    for file in files {
        run(&std::fs::read(file).unwrap());
    }
    run(b"");
}

#[test]
fn corpora_replay() {
    replay("table_approval", table_approval::run);
    replay("table_events", table_events::run);
    replay("table_message", table_message::run);
    replay("table_record", table_record::run);
}

proptest! {
    #[test]
    fn the_table_does_what_a_map_with_time_does(events in prop::collection::vec(any::<u8>(), 0..160)) {
        table_events::run(&events);
    }
}
