//! How the story is told: for a person, or one JSON object a line.

use core::time::Duration;
use std::io::{self, Write};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Failure;
use crate::scene::{Audit, Scene};

pub(crate) struct Story {
    json: bool,
    out: Box<dyn Write + Send>,
    step: u32,
    since: Instant,
    times: Vec<(u32, Duration)>,
}

impl Story {
    pub(crate) fn new(json: bool) -> Self {
        Self::to(json, io::stdout())
    }

    pub(crate) fn to(json: bool, out: impl Write + Send + 'static) -> Self {
        Self { json, out: Box::new(out), step: 0, since: Instant::now(), times: Vec::new() }
    }

    /// Begins the next step.
    pub(crate) fn step(&mut self, title: &str) -> Result<(), Failure> {
        self.lap();
        self.step = self.step.saturating_add(1);
        if self.json {
            return Ok(());
        }
        let line = format!("\n{}. {title}", self.step);
        self.line(&line)
    }

    /// Tells what was seen, with the requirement that it shows.
    pub(crate) fn shows(&mut self, id: &str, what: &str, detail: Value) -> Result<(), Failure> {
        self.tell(id, true, what, &detail)
    }

    /// Tells whether something holds; the story ends if it does not.
    pub(crate) fn check(&mut self, id: &str, holds: bool, what: &str, detail: Value) -> Result<(), Failure> {
        self.tell(id, holds, what, &detail)?;
        if holds { Ok(()) } else { Err(format!("does not hold: {what}").into()) }
    }

    fn tell(&mut self, id: &str, ok: bool, what: &str, detail: &Value) -> Result<(), Failure> {
        if self.json {
            let line = json!({ "step": self.step, "id": id, "ok": ok, "what": what, "detail": detail });
            return self.line(&line.to_string());
        }
        let mark = if ok { ' ' } else { '!' };
        self.line(&format!(" {mark} {id:<4} {what}"))?;
        for (name, value) in detail.as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            self.line(&format!("          {name}: {value}"))?;
        }
        Ok(())
    }

    /// Whoever listened may have left: that ends the story like any other failure.
    fn line(&mut self, line: &str) -> Result<(), Failure> {
        let told = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        told.map_err(|error| format!("nobody listens: {error}").into())
    }

    fn lap(&mut self) {
        let now = Instant::now();
        if self.step > 0 {
            self.times.push((self.step, now.saturating_duration_since(self.since)));
        }
        self.since = now;
    }

    /// The last step: what it came to.
    pub(crate) async fn summary(&mut self, scene: &Scene) -> Result<(), Failure> {
        self.step("What it came to")?;
        let times: serde_json::Map<_, _> = self
            .times
            .iter()
            .map(|(step, time)| {
                (format!("step {step}"), format!("{:.1} ms", time.as_secs_f64() * 1000.0).into())
            })
            .collect();
        self.shows("X1", "time per step", Value::Object(times))?;
        let Audit { cash, revenue, owed, lost, entries } = Audit::of(&scene.operator, &scene.ledger).await?;
        self.check(
            "L20",
            lost <= scene.lost,
            "the books balance: what came in is earned, or lies in the accounts of pads and vouchers",
            json!({
                "cash": cash.to_string(), "earned": revenue.to_string(), "owed": owed.to_string(),
                "lost with vouchers of interrupted runs": lost.to_string(), "journal entries": entries,
            }),
        )?;
        let folder = &scene.place.folder;
        let detail = json!({
            "database": size_of(&folder.join("exchange.db")),
            "server's halves of pads": size_of(&folder.join("exchange/pads")),
            "all of it": size_of(folder),
            "resumed": scene.place.resumed,
        });
        self.shows("X1", "what is kept, in bytes", detail)
    }
}

/// Bytes of a file, or of everything in a folder.
fn size_of(path: &std::path::Path) -> u64 {
    let Ok(metadata) = path.metadata() else { return 0 };
    if metadata.is_file() {
        return metadata.len();
    }
    let entries = path.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| size_of(&entry.path())).sum()
}
