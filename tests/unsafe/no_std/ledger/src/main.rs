//! The core of `symbolon-ledger` without std: a frame parses, a reservation is made and taken, amounts add up.
#![no_std]
#![no_main]

extern crate no_std_rt;

use symbolon_ledger::frame::{Frame, request_id};
use symbolon_ledger::lane::{Reservation, SendLane};
use symbolon_ledger::{Amount, PadMode};

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    i32::from(run().is_none())
}

fn run() -> Option<()> {
    // Version 1, mode 2, lane 0, offset 0: a body of 64 bytes, and 16 of the tag.
    let mut bytes = [0; 48 + 64 + 16];
    (bytes[0], bytes[1], bytes[47]) = (1, 2, 64);
    let frame = Frame::parse(&bytes).ok()?;
    (frame.range() == &(0..96) && frame.request_id() == request_id(&bytes)).then_some(())?;
    Frame::parse(&bytes[..100]).is_err().then_some(())?;
    let lane = SendLane::new(1 << 20, 0);
    let _: Reservation = lane.reservation(96, PadMode::default().max_batch()).ok()??;
    (PadMode::default().max_batch() > 0 && Amount::new(3) < Amount::new(5)).then_some(())
}
