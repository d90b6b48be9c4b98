//! The fuzz targets, each over its committed corpus (`fuzz/corpus`), and the table against a model.

use proptest::prelude::*;

#[path = "../../../../fuzz/replay.rs"]
mod replay;
mod table_approval;
mod table_events;
mod table_message;
mod table_record;

use replay::replay;

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
