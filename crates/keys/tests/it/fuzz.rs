//! The fuzz targets, each over its committed corpus (`fuzz/corpus`).

use std::path::Path;

mod keys_aead;
mod keys_id;
mod keys_identity;
mod keys_passphrase;
mod keys_public;

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
    replay("keys_aead", keys_aead::run);
    replay("keys_id", keys_id::run);
    replay("keys_identity", keys_identity::run);
    replay("keys_passphrase", keys_passphrase::run);
    replay("keys_public", keys_public::run);
}
