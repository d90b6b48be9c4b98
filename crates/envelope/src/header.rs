/// The most bytes of a header.
pub const MAX_HEADER: usize = 65_536;
