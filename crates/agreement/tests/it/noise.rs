//! The raw handshake: published vectors, live interoperability with snow, hostile messages.

mod hostile;
mod interop;
mod names;
mod vectors;
