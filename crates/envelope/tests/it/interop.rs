//! Both ways against the program `age`, if it is installed: otherwise the test prints `SKIPPED`, and fails if
//! `SYMBOLON_REQUIRE_AGE=1`.
//!
//! Passphrases need a terminal there, which the program `script` gives it. `SYMBOLON_AGE_LARGE` adds a size in bytes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use symbolon_envelope::{
    AgeIdentity, Armor, CHUNK, Dearmor, Expect, HybridSecretKey, Open, ScryptKey, Seal, armor, dearmor, open,
    seal,
};
use symbolon_keys::{AgeSecretKey, Backend, OsRng};

use crate::support::{bytes, missing, skipped};

fn run(program: &str, folder: &Path, args: &[&str]) -> bool {
    let output = Command::new(program).args(args).current_dir(folder).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn the_age_program_reads_ours_and_we_read_its() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    if !run("age", folder, &["--version"]) {
        return missing("the program `age`", "SYMBOLON_REQUIRE_AGE");
    }
    let classical = AgeIdentity::Classical(Box::new(AgeSecretKey::generate(Backend::best(), &mut OsRng)));
    let hybrid = HybridSecretKey::generate(Backend::best(), &mut OsRng).unwrap();
    let mut tried = 0;
    for identity in [classical, AgeIdentity::Hybrid(Box::new(hybrid))] {
        fs::write(folder.join("key"), identity.to_secret_string().as_bytes()).unwrap();
        fs::write(folder.join("empty"), b"").unwrap();
        let recipient = identity.recipient().to_string();
        if !run("age", folder, &["-r", &recipient, "-o", "probe", "empty"]) {
            skipped("this `age` does not know post-quantum recipients");
            continue;
        }
        let large = std::env::var("SYMBOLON_AGE_LARGE").ok().map(|len| len.parse().unwrap());
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 1_000_000].into_iter().chain(large) {
            both_ways(folder, &identity, &recipient, size, false);
            both_ways(folder, &identity, &recipient, size, true);
        }
        tried += 1;
    }
    assert!(tried > 0);
}

/// Runs a command on a terminal, and types lines into it.
fn typing(folder: &Path, command: &str, lines: &str) -> bool {
    let mut script = Command::new("script");
    script.args(["-qec", command, "/dev/null"]).current_dir(folder);
    let Ok(mut child) = script.stdin(Stdio::piped()).stdout(Stdio::null()).spawn() else { return false };
    child.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn the_age_program_and_ours_take_the_same_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    if !run("age", folder, &["--version"]) {
        return missing("the program `age`", "SYMBOLON_REQUIRE_AGE");
    }
    if !typing(folder, "true", "") {
        return skipped("passphrases: the program `script` is not to be had");
    }
    let (key, plain) = (ScryptKey::new("correct horse"), bytes(CHUNK + 1));
    fs::write(folder.join("plain"), &plain).unwrap();
    assert!(typing(folder, "age -p -a -o theirs plain", "correct horse\ncorrect horse\n"));
    let theirs = dearmor(&fs::read(folder.join("theirs")).unwrap()).unwrap();
    assert!(open(&key, Expect::absent(), &theirs).unwrap().plaintext() == plain);

    let ours = seal(&[&key], &plain).unwrap();
    for ours in [ours.clone(), armor(&ours).into_bytes()] {
        fs::write(folder.join("ours"), ours).unwrap();
        let _ = fs::remove_file(folder.join("opened"));
        assert!(typing(folder, "age -d -o opened ours", "correct horse\n"));
        assert!(fs::read(folder.join("opened")).unwrap() == plain);
    }
}

fn both_ways(folder: &Path, identity: &AgeIdentity, recipient: &str, size: usize, armored: bool) {
    let path = |name: &str| folder.join(name);
    let plain = bytes(size);
    fs::write(path("plain"), &plain).unwrap();

    let ours = identity.recipient();
    let recipients: [&dyn symbolon_envelope::Recipient; 1] = [&ours];
    let seal = Seal::to(&recipients).threads(2);
    let file = fs::File::create(path("ours")).unwrap();
    if armored {
        let mut sealer = seal.writer(Armor::new(file)).unwrap();
        sealer.copy_from(&mut &plain[..]).unwrap();
        sealer.finish().unwrap().finish().unwrap();
    } else {
        let mut sealer = seal.writer(file).unwrap();
        sealer.copy_from(&mut &plain[..]).unwrap();
        sealer.finish().unwrap();
    }
    let _ = fs::remove_file(path("opened"));
    assert!(run("age", folder, &["-d", "-i", "key", "-o", "opened", "ours"]), "{size}, armored: {armored}");
    // For an empty plaintext `age` makes no file.
    assert!(fs::read(path("opened")).unwrap_or_default() == plain);

    let armor = if armored { "--armor" } else { "--encrypt" };
    assert!(run("age", folder, &[armor, "-r", recipient, "-o", "theirs", "plain"]));
    let identities: [&dyn symbolon_envelope::Identity; 1] = [identity];
    let open = Open::with(&identities).threads(2);
    let theirs = fs::File::open(path("theirs")).unwrap();
    let mut out = Vec::with_capacity(size);
    if armored {
        open.reader(Dearmor::new(theirs)).unwrap().copy_to(&mut out).unwrap();
    } else {
        open.reader(theirs).unwrap().copy_to(&mut out).unwrap();
    }
    assert!(out == plain, "{size}, armored: {armored}");
}
