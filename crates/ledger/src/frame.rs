/// The longest frame: header with salt, a body of 1 MiB, tag.
pub const MAX_FRAME: usize = 72 + (1 << 20) + 16;
