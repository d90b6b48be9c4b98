//! The fuzz targets, each over its committed corpus (`fuzz/corpus`), and over random bytes.

use std::path::Path;

use rand_core::Rng;
use symbolon_keys::BufferedRng;

mod agreement_parsers;
mod agreement_records;
mod agreement_responder;

/// Feeds every file of a corpus to its target, and a few random inputs.
fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{target}: {} files", files.len());
    for file in files {
        run(&std::fs::read(file).unwrap());
    }
    let mut rng = BufferedRng::new();
    for len in 0..50 {
        let mut data = vec![0; len * 4];
        rng.fill_bytes(&mut data);
        run(&data);
    }
}

#[test]
fn corpora_replay() {
    replay("agreement_parsers", agreement_parsers::run);
    replay("agreement_records", agreement_records::run);
    replay("agreement_responder", agreement_responder::run);
}
