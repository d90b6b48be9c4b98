//! A forked process has its parent's memory, and so the state of its generators. A `BufferedRng` notices.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use symbolon_keys::BufferedRng;

unsafe extern "C" {
    fn fork() -> i32;
    fn pipe(ends: *mut i32) -> i32;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(status: i32) -> !;
}

fn draw(rng: &mut impl Rng) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// What `f` gives in a forked process.
fn in_child(f: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let mut ends = [0; 2];
    // SAFETY: two file descriptors are written; the child only draws and writes, and ends without running anything
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

#[test]
fn children_draw_other_bytes() {
    let mut rng = BufferedRng::new();
    draw(&mut rng);
    let child = in_child(|| draw(&mut rng));
    let second = in_child(|| draw(&mut rng));
    let grandchild = in_child(|| in_child(|| draw(&mut rng)));
    let parent = draw(&mut rng);
    let all = [child, second, grandchild, parent];
    for (i, a) in all.iter().enumerate() {
        assert_eq!(a.len(), 64);
        assert!(all[i + 1..].iter().all(|b| a != b), "{i} came twice");
    }
}

#[test]
fn a_generator_that_does_not_notice_repeats() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    draw(&mut rng);
    let child = in_child(|| draw(&mut rng));
    assert_eq!(child, draw(&mut rng), "or the test above could not fail");
}
