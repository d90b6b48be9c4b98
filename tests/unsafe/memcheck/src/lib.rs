//! What a program says to the valgrind that runs it (its manual, "the client request mechanism"), to mark secrets as
//! uninitialised memory: whatever branches on one of them, or reads memory at a place that depends on one, is an error
//! that memcheck counts.

use core::arch::asm;

/// A request to valgrind; nothing happens elsewhere.
fn request(code: u64, address: u64, len: u64) -> u64 {
    let arguments = [code, address, len, 0, 0, 0];
    let mut result = 0_u64;
    // SAFETY: the rotations of `rdi` add up to a whole turn, and `rbx` is exchanged with itself.
    unsafe {
        asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            inout("rdx") result, in("rax") &arguments, in("rdi") 0_u64, options(nostack)
        );
    }
    result
}

const MEMCHECK: u64 = (b'M' as u64) << 24 | (b'C' as u64) << 16;

fn mark<T: ?Sized>(code: u64, value: &T) {
    request(MEMCHECK + code, (&raw const *value).cast::<u8>() as u64, size_of_val(value) as u64);
}

/// Ends the program unless valgrind runs it: nothing would be found.
pub fn require_valgrind() {
    if request(0x1001, 0, 0) == 0 {
        eprintln!("not under valgrind: nothing would be found");
        std::process::exit(2);
    }
}

/// How many errors there have been.
pub fn errors() -> u64 {
    request(0x1201, 0, 0)
}

pub fn make_secret<T: ?Sized>(value: &T) {
    mark(1, value);
}

/// What goes over the wire, or comes out for everybody to see.
pub fn make_public<T: ?Sized>(value: &T) {
    mark(2, value);
}
