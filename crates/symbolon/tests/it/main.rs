//! Integration tests of the facade: real sockets, a real database, and everything that can go wrong in between.

mod documents;
mod hostile;
mod mail;
mod pads;
mod restart;
mod world;
