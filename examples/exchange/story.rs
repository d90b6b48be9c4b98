//! How the story is told: for a person, or one JSON object a line.

use core::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Failure;
use crate::scene::Scene;

pub(crate) struct Story {
    json: bool,
    step: u32,
    since: Instant,
    times: Vec<(u32, Duration)>,
}

impl Story {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, step: 0, since: Instant::now(), times: Vec::new() }
    }

    /// Begins the next step.
    pub(crate) fn step(&mut self, title: &str) {
        self.lap();
        self.step = self.step.saturating_add(1);
        if !self.json {
            println!("\n{}. {title}", self.step);
        }
    }

    /// Tells what was seen, with the requirement that it shows.
    pub(crate) fn shows(&self, id: &str, what: &str, detail: Value) {
        self.tell(id, true, what, &detail);
    }

    /// Tells whether something holds; the story ends if it does not.
    pub(crate) fn check(&self, id: &str, holds: bool, what: &str, detail: Value) -> Result<(), Failure> {
        self.tell(id, holds, what, &detail);
        if holds { Ok(()) } else { Err(format!("does not hold: {what}").into()) }
    }

    fn tell(&self, id: &str, ok: bool, what: &str, detail: &Value) {
        if self.json {
            println!("{}", json!({ "step": self.step, "id": id, "ok": ok, "what": what, "detail": detail }));
            return;
        }
        let mark = if ok { ' ' } else { '!' };
        println!(" {mark} {id:<4} {what}");
        for (name, value) in detail.as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            println!("          {name}: {value}");
        }
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
        self.step("What it came to");
        let books = scene.operator.books().await?;
        let times: serde_json::Map<_, _> = self
            .times
            .iter()
            .map(|(step, time)| {
                (format!("step {step}"), format!("{:.1} ms", time.as_secs_f64() * 1000.0).into())
            })
            .collect();
        self.shows("X1", "time per step", Value::Object(times));
        let owed = books.cash.saturating_sub(books.revenue);
        self.shows(
            "L20",
            "the books balance: what came in is earned or owed",
            json!({
                "cash": books.cash.to_string(), "earned": books.revenue.to_string(), "owed": owed.to_string(),
                "journal entries": books.entries,
            }),
        );
        let detail = json!({
            "database": size_of(&scene.folder.join("exchange.db")),
            "server's halves of pads": size_of(&scene.folder.join("exchange/pads")),
            "all of it": size_of(&scene.folder),
            "resumed": scene.resumed,
        });
        self.shows("X1", "what is kept, in bytes", detail);
        Ok(())
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
