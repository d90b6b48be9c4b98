//! What `cargo test` does with a corpus; part of each crate's tests by its path.

use std::path::Path;

/// Feeds every file of a corpus to its target, and nothing at all.
pub(crate) fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{target}: {} files", files.len());
    for file in files {
        run(&std::fs::read(file).unwrap());
    }
    run(b"");
}
