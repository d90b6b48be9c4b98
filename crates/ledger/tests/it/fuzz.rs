//! The fuzz targets, each over its committed corpus (`fuzz/corpus`), and what wrote the first of it.

mod ledger_batches;
mod ledger_bundle;
mod ledger_frame;
mod ledger_messages;
mod ledger_pad_file;
mod ledger_qkd;
#[path = "../../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn corpora_replay() {
    replay("ledger_batches", ledger_batches::run);
    replay("ledger_bundle", ledger_bundle::run);
    replay("ledger_frame", ledger_frame::run);
    replay("ledger_messages", ledger_messages::run);
    replay("ledger_pad_file", ledger_pad_file::run);
    replay("ledger_qkd", ledger_qkd::run);
}
