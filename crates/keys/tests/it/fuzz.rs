//! The fuzz targets, each over its committed corpus (`fuzz/corpus`).

mod keys_aead;
mod keys_id;
mod keys_identity;
mod keys_passphrase;
mod keys_public;
#[path = "../../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn corpora_replay() {
    replay("keys_aead", keys_aead::run);
    replay("keys_id", keys_id::run);
    replay("keys_identity", keys_identity::run);
    replay("keys_passphrase", keys_passphrase::run);
    replay("keys_public", keys_public::run);
}
