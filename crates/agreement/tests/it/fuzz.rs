//! The fuzz targets, each over its committed corpus (`fuzz/corpus`), and over random bytes.

use rand_core::Rng;
use symbolon_keys::BufferedRng;

mod agreement_parsers;
mod agreement_records;
mod agreement_responder;
#[path = "../../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn corpora_replay() {
    replay("agreement_parsers", agreement_parsers::run);
    replay("agreement_records", agreement_records::run);
    replay("agreement_responder", agreement_responder::run);
}

#[test]
fn any_bytes_are_taken_or_refused() {
    let mut rng = BufferedRng::new();
    for len in 0..50 {
        let mut data = vec![0; len * 4];
        rng.fill_bytes(&mut data);
        for run in [agreement_parsers::run, agreement_records::run, agreement_responder::run] {
            run(&data);
        }
    }
}
