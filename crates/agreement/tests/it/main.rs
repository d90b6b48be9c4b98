//! Tests of `symbolon-agreement` against vectors, other implementations, and attackers.

mod net;
mod noise;
