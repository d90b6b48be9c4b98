//! An exhaustive search of everything that reserving, witnessing, crashing, restoring, taking over and recovering can do
//! in any order on a small lane: no byte is ever used twice (L2).
//!
//! One machine can be copied at any time, half and ledger together, so
//! that nothing local can notice: a clone, or the past that comes back. Or the witness forgets everything. Messages to the witness, and its answers, are
//! lost at will. The decisions are the crate's own: [`Advice::of`] at the owner; the peer follows the two rules of C3w
//! that the suite for stores checks. Each search is also made with one rule left out, and must then find a reuse: so it
//! can.

use std::collections::{HashSet, VecDeque};

use symbolon_ledger::PadStatus;
use symbolon_ledger::witness::{Advice, Reserved};

const LANE: u8 = 3;
/// Enough for each of the rules to matter: with more of anything there are more worlds, and no new ways to fail.
const BATCHES: u8 = 3;
const GENERATIONS: u8 = 1;
const MACHINES: usize = 2;

/// The rules of which one can be left out.
#[derive(Clone, Copy, PartialEq)]
enum Without {
    Nothing,
    /// A reservation is used before it is acknowledged.
    Acknowledgement,
    /// Positions are compared, batch ids are not.
    BatchIds,
    /// A restart goes on with what the last process had reserved.
    Burning,
    /// A recovery takes the peer's word, and forgets what it knows itself.
    OwnReservation,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Last {
    generation: u8,
    from: u8,
    to: u8,
    batch: u8,
}

/// What a machine has on its disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Disk {
    last: Last,
    halted: bool,
}

/// What a machine has in memory.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Process {
    /// What is acknowledged and not used yet.
    window: (u8, u8),
    pending: bool,
    /// What the witness said last: generation, ceiling, batch.
    state: Option<(u8, u8, u8)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    disks: [Disk; MACHINES],
    processes: [Option<Process>; MACHINES],
    copied: bool,
    forgot: bool,
    peer: Last,
    used: u8,
    batches: u8,
    generations: u8,
}

/// Used twice.
struct Reuse;

fn reserved(last: Last) -> Reserved {
    Reserved {
        generation: [last.generation; 16].into(),
        lane: 0,
        from: last.from.into(),
        to: last.to.into(),
        batch: [last.batch; 16].into(),
    }
}

fn advice(last: Last, state: (u8, u8, u8), without: Without) -> Advice {
    let (generation, ceiling, mut batch) = state;
    if without == Without::BatchIds && ceiling == last.to {
        batch = last.batch;
    }
    // A process that has just begun: it does not know what was acknowledged.
    Advice::of(&reserved(last), false, ([generation; 16].into(), ceiling.into(), [batch; 16].into()))
}

impl World {
    fn new() -> Self {
        let last = Last { generation: 0, from: 0, to: 0, batch: 0 };
        Self {
            disks: [Disk { last, halted: false }; MACHINES],
            processes: [None, None],
            copied: false,
            forgot: false,
            peer: last,
            used: 0,
            batches: 0,
            generations: 0,
        }
    }

    fn state(&self) -> (u8, u8, u8) {
        (self.peer.generation, self.peer.to, self.peer.batch)
    }

    /// The peer judges a ceiling (C3w): the same again, or the next.
    fn attest(&mut self, last: Last) -> bool {
        let next =
            last.generation == self.peer.generation && last.from == self.peer.to && last.to > last.from;
        if last != self.peer && !next {
            return false;
        }
        self.peer = last;
        true
    }

    fn next(&self, without: Without) -> Result<Vec<Self>, Reuse> {
        let mut all = Vec::new();
        for m in 0..if self.copied { MACHINES } else { 1 } {
            self.disk_steps(m, &mut all);
            if let Some(process) = &self.processes[m] {
                self.use_steps(m, process, &mut all)?;
                self.witness_steps(m, process, without, &mut all);
            } else {
                let mut start = self.clone();
                let last = start.disks[m].last;
                let window =
                    if without == Without::Burning { (last.from, last.to) } else { (last.to, last.to) };
                start.processes[m] = Some(Process { window, pending: false, state: None });
                all.push(start);
            }
            self.recover_steps(m, without, &mut all);
        }
        Ok(all)
    }

    /// Crash; copy; or the peer goes back to its beginning. Both at once is what nobody can notice.
    fn disk_steps(&self, m: usize, all: &mut Vec<Self>) {
        if self.processes[m].is_some() {
            let mut crash = self.clone();
            crash.processes[m] = None;
            all.push(crash);
        }
        if !self.copied && !self.forgot {
            let mut forget = self.clone();
            (forget.forgot, forget.peer) = (true, Self::new().peer);
            all.push(forget);
            let mut copy = self.clone();
            copy.copied = true;
            copy.disks[1] = copy.disks[0];
            all.push(copy);
        }
    }

    fn use_steps(&self, m: usize, process: &Process, all: &mut Vec<Self>) -> Result<(), Reuse> {
        let (start, end) = process.window;
        if start < end {
            if self.used & 1 << start != 0 {
                return Err(Reuse);
            }
            let mut used = self.clone();
            used.used |= 1 << start;
            used.processes[m].as_mut().unwrap().window = (start + 1, end);
            all.push(used);
        }
        Ok(())
    }

    /// One step of `secure`, as the driver does it.
    fn witness_steps(&self, m: usize, process: &Process, without: Without, all: &mut Vec<Self>) {
        let disk = self.disks[m];
        if disk.halted {
            return;
        }
        let mut connected = self.clone();
        connected.processes[m].as_mut().unwrap().state = Some(self.state());
        all.push(connected);
        let Some(state) = process.state else { return };
        match advice(disk.last, state, without) {
            Advice::Halt(_) => {
                let mut halted = self.clone();
                halted.disks[m].halted = true;
                halted.processes[m] = None;
                all.push(halted);
            }
            Advice::SendAgain => {
                // The answer arrives, or is lost (and the peer has it even so).
                let mut asked = self.clone();
                let acknowledged = asked.attest(disk.last);
                let mut deaf = asked.clone();
                deaf.processes[m].as_mut().unwrap().state = None;
                all.push(deaf);
                let last = disk.last;
                let heard = if acknowledged { (last.generation, last.to, last.batch) } else { asked.state() };
                asked.processes[m].as_mut().unwrap().state = Some(heard);
                all.push(asked);
            }
            Advice::GoOn if process.pending => {
                let mut granted = self.clone();
                let process = granted.processes[m].as_mut().unwrap();
                (process.window, process.pending) = ((process.window.0, disk.last.to), false);
                if process.window.0 < disk.last.from
                    && self.processes[m].as_ref().unwrap().window.1 < disk.last.from
                {
                    process.window.0 = disk.last.from;
                }
                all.push(granted);
            }
            Advice::GoOn => {
                for len in [1, 2] {
                    let to = disk.last.to + len;
                    if to > LANE || self.batches == BATCHES {
                        continue;
                    }
                    let mut reserve = self.clone();
                    reserve.batches += 1;
                    let last = Last { from: disk.last.to, to, batch: reserve.batches, ..disk.last };
                    reserve.disks[m].last = last;
                    let process = reserve.processes[m].as_mut().unwrap();
                    process.pending = true;
                    if without == Without::Acknowledgement {
                        (process.window, process.pending) = ((process.window.0, to), false);
                    }
                    all.push(reserve);
                }
            }
        }
    }

    /// The operator's call, cut off after its commit, after the peer's, or not at all.
    fn recover_steps(&self, m: usize, without: Without, all: &mut Vec<Self>) {
        if self.generations == GENERATIONS {
            return;
        }
        let mut new = self.clone();
        new.generations += 1;
        let mine = self.disks[m].last;
        let ceiling = self.peer.to;
        let to = if without == Without::OwnReservation { ceiling } else { mine.to.max(ceiling) };
        let mut batch = self.peer.batch;
        if to > ceiling {
            new.batches += 1;
            batch = new.batches + 100;
        }
        let last = Last { generation: new.generations, from: ceiling, to, batch };
        new.disks[m] = Disk { last, halted: false };
        new.processes[m] = None;
        all.push(new.clone());
        new.peer.generation = last.generation;
        all.push(new);
    }
}

/// How many worlds there are, or that one of them used something twice.
fn search(without: Without) -> Result<usize, Reuse> {
    let mut seen = HashSet::from([World::new()]);
    let mut queue = VecDeque::from([World::new()]);
    while let Some(world) = queue.pop_front() {
        for next in world.next(without)? {
            if seen.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    Ok(seen.len())
}

// proves L2
#[test]
fn no_order_of_events_uses_a_byte_twice() {
    let Ok(worlds) = search(Without::Nothing) else { panic!("PAD BYTES USED TWICE") };
    println!("{worlds} worlds");
    assert!(worlds > 10_000);
}

#[test]
fn the_search_finds_what_a_missing_rule_leads_to() {
    for (without, what) in [
        (Without::Acknowledgement, "use before the acknowledgement"),
        (Without::BatchIds, "batch ids not compared"),
        (Without::Burning, "a restart that burns nothing"),
        (Without::OwnReservation, "a recovery below the own reservation"),
    ] {
        assert!(search(without).is_err(), "unseen: {what}");
    }
}

#[test]
fn a_halted_lane_says_why() {
    let last = Last { generation: 0, from: 2, to: 4, batch: 3 };
    let of = |state| advice(last, state, Without::Nothing);
    assert_eq!(of((0, 5, 9)), Advice::Halt(PadStatus::RollbackSuspected));
    assert_eq!(of((0, 1, 1)), Advice::Halt(PadStatus::WitnessRolledBack));
}
