//! The fuzz target over its committed corpus, and what the protocol promises of every message.

use std::path::Path;

use proptest::prelude::*;

mod symbolon_protocol;

use symbolon_protocol::{run, samples};

#[test]
fn corpus_replays() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/symbolon_protocol");
    let mut files = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        run(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 40, "{files} files");
}

/// Nothing but the exact encoding is taken: cut, extended, or with any byte flipped it is refused, or another message.
#[test]
fn messages_are_canonical() {
    for sample in samples() {
        run(&sample);
        for len in 0..sample.len() {
            run(&sample[..len]);
        }
        run(&[&sample[..], &[0]].concat());
        for place in 0..sample.len() {
            for bit in 0..8 {
                let mut other = sample.clone();
                other[place] ^= 1 << bit;
                run(&other);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_canonical_message_or_none(data in prop::collection::vec(any::<u8>(), 0..200)) {
        run(&data);
        run(&[&[1][..], &data].concat());
    }
}
