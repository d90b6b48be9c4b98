//! The fuzz targets, each over its committed corpus (`fuzz/corpus`), and what wrote the first of it.

use std::fs;
use std::path::{Path, PathBuf};

mod ledger_batches;
mod ledger_bundle;
mod ledger_frame;
mod ledger_messages;
mod ledger_pad_file;
mod ledger_qkd;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// Feeds every file of a corpus to its target.
fn replay(target: &str, run: fn(&[u8])) {
    let files: Vec<_> = fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{target}: {} files", files.len());
    for file in files {
        run(&fs::read(file).unwrap());
    }
    run(b"");
}

#[test]
fn corpora_replay() {
    replay("ledger_batches", ledger_batches::run);
    replay("ledger_bundle", ledger_bundle::run);
    replay("ledger_frame", ledger_frame::run);
    replay("ledger_messages", ledger_messages::run);
    replay("ledger_pad_file", ledger_pad_file::run);
    replay("ledger_qkd", ledger_qkd::run);
}
