//! PostgreSQL: the suites of the domain crates behind `AnyStore`, and what only several processes and a server show.

mod conformance;
mod server;
