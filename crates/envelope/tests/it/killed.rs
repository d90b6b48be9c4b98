//! A process that re-wraps a file in place is killed at every step, or runs out of room: the file is as before or as after,
//! whole in either case.
//!
//! `SYMBOLON_KILLS` sets how many kills at random instants there are. With `strace` there is one before each system call
//! that changes anything; without it that part prints `SKIPPED`.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use symbolon_envelope::{Expect, OpenError, Rewrap, Seal, UserKey, open};
use symbolon_keys::Secret;

use crate::support::{bytes, skipped};

/// Where the child finds the file; without it, `child` does nothing.
const FOLDER: &str = "SYMBOLON_KILLED_FOLDER";
/// Whether it goes on until it is killed.
const FOREVER: &str = "SYMBOLON_KILLED_FOREVER";
const LEN: usize = 400_000;
/// System calls that change a file, a name, or what is durable.
const CALLS: [&str; 6] = ["/^openat$", "/^write$", "/^ioctl$", "/^copy_file_range$", "/^fsync$", "/^rename"];

fn keys() -> [UserKey; 2] {
    [1, 2].map(|n| UserKey::from(Secret::from([n; 32])))
}

fn sealed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let sealed = Seal::to(&[&keys()[0].local()]).bytes(&bytes(LEN)).unwrap();
    fs::write(folder.path().join("sealed"), sealed).unwrap();
    folder
}

/// From whichever key it is under, to the other.
fn rewrap(folder: &Path) -> std::io::Result<()> {
    let (path, [one, two]) = (folder.join("sealed"), keys());
    match Rewrap::from(&one.local()).to(&two.local()).file(&path, &path) {
        Err(error) if OpenError::from_io(&error) == Some(OpenError::NoMatch) => {
            Rewrap::from(&two.local()).to(&one.local()).file(&path, &path)
        }
        outcome => outcome,
    }
}

#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    rewrap(Path::new(&folder)).unwrap();
    while std::env::var_os(FOREVER).is_some() {
        rewrap(Path::new(&folder)).unwrap();
    }
}

/// This program as the child, with these words before it.
fn command(folder: &Path, before: &[&str]) -> Command {
    let program = std::env::current_exe().unwrap();
    let words = before.iter().map(Path::new).chain([program.as_path()]);
    let words: Vec<_> = words.chain(["killed::child", "--exact"].map(Path::new)).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env(FOLDER, folder).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn run(folder: &Path, before: &[&str]) -> Option<ExitStatus> {
    command(folder, before).status().ok()
}

/// Which of the two keys opens it; exactly one does.
fn check(folder: &Path) -> usize {
    let sealed = fs::read(folder.join("sealed")).unwrap();
    let opened = keys().map(|key| open(&key.local(), Expect::absent(), &sealed));
    let whole = opened.map(|opened| opened.is_ok_and(|opened| opened.plaintext() == bytes(LEN)));
    assert_ne!(whole[0], whole[1], "neither before nor after");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name();
        let name = name.to_str().unwrap();
        assert!(name == "sealed" || name.starts_with(".sealed."), "{name}");
    }
    usize::from(whole[1])
}

#[test]
fn before_every_system_call() {
    let folder = sealed();
    let folder = folder.path();
    if !run(folder, &["strace", "-qq", "-f", "-o", "/dev/null"]).is_some_and(|status| status.success()) {
        return skipped("a kill before every system call: strace is not to be had");
    }
    let mut killed = 0;
    for call in CALLS {
        for n in 1..300 {
            let before = check(folder);
            let inject = format!("inject={call}:signal=KILL:when={n}");
            let trace = format!("trace={call}");
            let words = ["strace", "-qq", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            if run(folder, &words).unwrap().success() {
                assert_ne!(check(folder), before, "it was done");
                break;
            }
            check(folder);
            killed += 1;
        }
    }
    // Header, payload, its end, file, name, folder.
    assert!(killed >= 6, "{killed}");
}

#[test]
fn at_random_instants() {
    let folder = sealed();
    let folder = folder.path();
    let kills = std::env::var("SYMBOLON_KILLS").map_or(6, |kills| kills.parse().unwrap());
    for n in 0..kills {
        let mut child = command(folder, &[]).env(FOREVER, "1").spawn().unwrap();
        thread::sleep(Duration::from_millis(20 + n * 37 % 60));
        child.kill().unwrap();
        child.wait().unwrap();
        check(folder);
    }
}

/// The limit on the size of files stands for a disk that is full at any place: with the signal that comes with it, the
/// process dies in the middle of a write; without, it is told.
#[cfg(unix)]
#[test]
fn without_room() {
    let folder = sealed();
    let folder = folder.path();
    let temporary = || fs::read_dir(folder).unwrap().count() - 1;
    for blocks in [0, 1, 2, 100, 300] {
        for (signal, left) in [("trap '' XFSZ; ", 0), ("", 1)] {
            let before = temporary();
            let limited = format!("{signal}ulimit -c 0; ulimit -f {blocks}; exec \"$0\" \"$@\"");
            let status = run(folder, &["sh", "-c", &limited]).unwrap();
            assert!(!status.success(), "{blocks} blocks are not enough");
            assert_eq!(check(folder), 0, "as before");
            assert_eq!(temporary() - before, left, "what is told of it clears up");
        }
    }
    assert!(run(folder, &[]).unwrap().success());
    assert_eq!(check(folder), 1);
}
