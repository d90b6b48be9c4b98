//! What an operator sees of a server from outside: events on standard error, and metrics as text that Prometheus reads.

use core::fmt::{Debug, Write};
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use symbolon::keys::UnixTime;
use symbolon_examples::Failure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, span};

/// The upper ends of the buckets of a duration, in seconds: below what a memory answers, above what anybody waits.
const BUCKETS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 30.0];

/// A scraper comes alone; nobody else holds up more than this.
const SCRAPERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(5);

/// Every metric by its name and labels, as they are written down.
#[derive(Clone, Default)]
pub(super) struct Metrics(Arc<Mutex<BTreeMap<(String, String), Metric>>>);

enum Metric {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

#[derive(Default)]
struct Buckets {
    counts: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    sum: AtomicU64,
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let bucket = BUCKETS.iter().position(|end| value <= *end).and_then(|n| self.counts.get(n));
        bucket.map(|count| count.fetch_add(1, Ordering::Relaxed));
        self.count.fetch_add(1, Ordering::Relaxed);
        GaugeFn::increment(&self.sum, value);
    }
}

impl Metrics {
    /// Takes in everything that this process measures, and tells whoever asks at `address`.
    pub(super) async fn serve(address: SocketAddr) -> Result<(), Failure> {
        let metrics = Self::default();
        let listener = TcpListener::bind(address).await?;
        metrics::set_global_recorder(metrics.clone()).map_err(|_| "metrics are recorded already")?;
        println!("metrics at http://{}/metrics", listener.local_addr()?);
        tokio::spawn(async move {
            let places = Arc::new(Semaphore::new(SCRAPERS));
            loop {
                let stream = match listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        pause("metrics", &error).await;
                        continue;
                    }
                };
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let metrics = metrics.clone();
                tokio::spawn(async move {
                    let _ = timeout(PATIENCE, metrics.answer(stream)).await;
                    drop(place);
                });
            }
        });
        Ok(())
    }

    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut request = [0; 1024];
        let read = stream.read(&mut request).await?;
        let asked = request.get(..read).is_some_and(|request| request.starts_with(b"GET /metrics "));
        let (status, body) = if asked { ("200 OK", self.text()) } else { ("404 Not Found", String::new()) };
        let (kind, len) = ("text/plain; version=0.0.4", body.len());
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.shutdown().await
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let mut last = "";
        let metrics = self.lock();
        for ((name, labels), metric) in &*metrics {
            if last != name {
                // Writing to a string does not fail.
                let _ = writeln!(out, "# TYPE {name} {}", metric.kind());
                last = name;
            }
            let _ = metric.write(&mut out, name, labels);
        }
        out
    }

    fn find<T>(
        &self,
        key: &Key,
        new: impl FnOnce() -> Metric,
        old: impl FnOnce(&Metric) -> Option<Arc<T>>,
    ) -> Option<Arc<T>> {
        let labels: Vec<String> =
            key.labels().map(|label| format!("{}=\"{}\"", label.key(), label.value())).collect();
        let mut metrics = self.lock();
        old(metrics.entry((key.name().to_owned(), labels.join(","))).or_insert_with(new))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Metric>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metric {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    fn write(&self, out: &mut String, name: &str, labels: &str) -> core::fmt::Result {
        let number = |number: &AtomicU64| number.load(Ordering::Relaxed);
        match self {
            Self::Counter(count) => writeln!(out, "{name}{{{labels}}} {}", number(count)),
            Self::Gauge(value) => writeln!(out, "{name}{{{labels}}} {}", f64::from_bits(number(value))),
            Self::Histogram(buckets) => {
                let mut below = 0_u64;
                for (end, count) in BUCKETS.iter().zip(&buckets.counts) {
                    below = below.saturating_add(number(count));
                    writeln!(out, "{name}_bucket{{{labels},le=\"{end}\"}} {below}")?;
                }
                let count = number(&buckets.count);
                writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}")?;
                writeln!(out, "{name}_sum{{{labels}}} {}", f64::from_bits(number(&buckets.sum)))?;
                writeln!(out, "{name}_count{{{labels}}} {count}")
            }
        }
    }
}

impl Recorder for Metrics {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let found = self.find(
            key,
            || Metric::Counter(Arc::default()),
            |metric| match metric {
                Metric::Counter(count) => Some(Arc::clone(count)),
                _ => None,
            },
        );
        found.map_or_else(Counter::noop, Counter::from_arc)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let found = self.find(
            key,
            || Metric::Gauge(Arc::default()),
            |metric| match metric {
                Metric::Gauge(value) => Some(Arc::clone(value)),
                _ => None,
            },
        );
        found.map_or_else(Gauge::noop, Gauge::from_arc)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let found = self.find(
            key,
            || Metric::Histogram(Arc::default()),
            |metric| match metric {
                Metric::Histogram(buckets) => Some(Arc::clone(buckets)),
                _ => None,
            },
        );
        found.map_or_else(Histogram::noop, Histogram::from_arc)
    }
}

/// After a connection could not be accepted: for want of files, mostly, and they come back.
pub(super) async fn pause(whose: &str, error: &std::io::Error) {
    tracing::warn!(whose, %error, "not accepted");
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Events from this level on, one line each, on standard error.
pub(super) struct Log(pub(super) Level);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.0
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line =
            Line(format!("{} {} {}", UnixTime::now().as_secs(), metadata.level(), metadata.target()));
        event.record(&mut line);
        eprintln!("{}", line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
