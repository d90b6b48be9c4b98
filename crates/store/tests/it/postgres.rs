//! PostgreSQL: the suites of the domain crates behind `AnyStore`, and what only several processes and a server show.

mod attach;
mod conformance;
mod kills;
mod lane;
mod processes;
mod server;
