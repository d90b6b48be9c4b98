//! Runs something in a forked process.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;

unsafe extern "C" {
    fn fork() -> i32;
    fn pipe(ends: *mut i32) -> i32;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(status: i32) -> !;
}

/// What `f` gives in a forked process.
pub fn in_child(f: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let mut ends = [0; 2];
    // SAFETY: two file descriptors are written; the child only runs `f` and writes, and ends without running anything
    // of its parent's.
    unsafe {
        assert_eq!(pipe(ends.as_mut_ptr()), 0);
        let mut write = File::from_raw_fd(ends[1]);
        let mut read = File::from_raw_fd(ends[0]);
        let child = fork();
        assert!(child >= 0);
        if child == 0 {
            let written = write.write_all(&f());
            _exit(i32::from(written.is_err()));
        }
        drop(write);
        let mut out = Vec::new();
        read.read_to_end(&mut out).unwrap();
        let mut status = 0;
        assert_eq!(waitpid(child, &mut status, 0), child);
        assert_eq!(status, 0);
        out
    }
}
