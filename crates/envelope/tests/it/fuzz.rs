//! The fuzz targets, each over its committed corpus (`fuzz/corpus`), and the engine against a model.

use proptest::prelude::*;

mod envelope_armor;
mod envelope_engine;
mod envelope_header;
mod envelope_open;
mod envelope_stanza;
#[path = "../../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn corpora_replay() {
    replay("envelope_armor", envelope_armor::run);
    replay("envelope_engine", envelope_engine::run);
    replay("envelope_header", envelope_header::run);
    replay("envelope_open", envelope_open::run);
    replay("envelope_stanza", envelope_stanza::run);
}

proptest! {
    // proves E5, E13, E14
    #[test]
    fn only_who_may_can_open(steps in prop::collection::vec(any::<u8>(), 0..200)) {
        envelope_engine::run(&steps);
    }

    #[test]
    fn altered_stanzas_are_for_nobody(
        which in 0..5_usize, at in any::<u16>(), flip in 1..=255_u8, cut in 0..3_usize, more in 0..3_usize,
    ) {
        let mut stanza = envelope_stanza::KNOWN[which].to_vec();
        let len = stanza.len();
        stanza[usize::from(at) % len] ^= flip;
        stanza.truncate(len - cut);
        stanza.extend(vec![flip; more]);
        envelope_stanza::run(&stanza);
    }

    #[test]
    fn altered_envelopes_fail_alike_in_every_way(
        which in 0..4_u8, piece in 1..200_u8, at in any::<u16>(), flip in any::<u8>(), cut in any::<u16>(),
    ) {
        let mut file = envelope_open::sample(which);
        let len = file.len();
        file[usize::from(at) % len] ^= flip;
        file.truncate(len - usize::from(cut) % 40);
        envelope_open::run(&[&[piece][..], &file].concat());
    }
}
