//! The public test kit of the age format (C2SP CCTV, `age`): every file, in every way to read.
//!
//! It is looked for in the directory `SYMBOLON_AGE_TESTKIT`, then in the npm package `cctv-age` (fetched with `npm
//! pack`), then in the crate `age` (found with `cargo metadata`, without the post-quantum files). Without any of them
//! the test prints `SKIPPED`, and fails if `SYMBOLON_REQUIRE_AGE=1`.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll};

use serde_json::Value;
use sha2::{Digest, Sha256};
use symbolon_envelope::{
    AgeIdentity, ArmorError, ArmorReader, Expect, Identity, Open, OpenError, PayloadError, ScryptKey,
};
use symbolon_keys::Backend;
use tokio::io::{AsyncRead, ReadBuf};

use crate::support::{missing, skipped};

const PACKAGE: &str = "cctv-age@0.2.0";
/// Files of the package; the crate of version 0.12 has those without post-quantum keys.
const FILES: usize = 143;
const FILES_IN_CRATE: usize = 123;

struct Case {
    name: String,
    expect: String,
    payload: Option<String>,
    identities: Vec<AgeIdentity>,
    passphrases: Vec<ScryptKey>,
    armored: bool,
    file: Vec<u8>,
}

impl Case {
    fn parse(name: &str, bytes: &[u8]) -> Self {
        let split = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let mut case = Self {
            name: name.to_string(),
            expect: String::new(),
            payload: None,
            identities: Vec::new(),
            passphrases: Vec::new(),
            armored: false,
            file: bytes[split + 2..].to_vec(),
        };
        for line in str::from_utf8(&bytes[..split]).unwrap().lines() {
            match line.split_once(": ").unwrap() {
                ("expect", what) => case.expect = what.to_string(),
                ("payload", digest) => case.payload = Some(digest.to_string()),
                ("identity", key) => case.identities.push(key.parse().unwrap()),
                ("passphrase", text) => case.passphrases.push(ScryptKey::new(text)),
                ("armored", "yes") => case.armored = true,
                ("compressed", "zlib") => {
                    case.file = miniz_oxide::inflate::decompress_to_vec_zlib(&case.file).unwrap();
                }
                ("file key" | "comment", _) => {}
                other => panic!("{name}: {other:?}"),
            }
        }
        case
    }

    fn keys(&self) -> Vec<&dyn Identity> {
        let mut keys: Vec<&dyn Identity> = Vec::new();
        self.identities.iter().for_each(|key| keys.push(key));
        self.passphrases.iter().for_each(|key| keys.push(key));
        keys
    }
}

#[derive(Debug, PartialEq)]
enum Failure {
    Armor(ArmorError),
    Open(OpenError),
}

/// What a way to read made of a file: whatever was released, and how it ended.
type Outcome = (Vec<u8>, Result<(), Failure>);

fn open<'a>(keys: &'a [&'a dyn Identity], backend: Backend) -> Open<'a> {
    Open::with(keys).expect(Expect::absent()).backend(backend)
}

fn as_slice(case: &Case, open: &Open<'_>) -> Outcome {
    let file = match case.armored.then(|| symbolon_envelope::dearmor(&case.file)).transpose() {
        Ok(file) => file.unwrap_or_else(|| case.file.clone()),
        Err(error) => return (Vec::new(), Err(Failure::Armor(error))),
    };
    match open.bytes(&file) {
        Ok(opened) => (opened.into_plaintext(), Ok(())),
        Err(error) => (Vec::new(), Err(Failure::Open(error))),
    }
}

fn in_pieces(case: &Case, open: &Open<'_>, size: usize) -> Outcome {
    let mut out = Vec::new();
    let outcome = (|| {
        let mut armor = ArmorReader::new();
        let mut stream = open.clone().begin();
        for piece in pieces(&case.file, size) {
            let mut bytes = Vec::new();
            let unarmored = armor.push(piece, &mut bytes).map_err(Failure::Armor);
            let bytes = if case.armored { unarmored.map(|()| &bytes[..])? } else { piece };
            stream.push(bytes, &mut out).map_err(Failure::Open)?;
        }
        if case.armored {
            armor.finish().map_err(Failure::Armor)?;
        }
        stream.finish(&mut out).map_err(Failure::Open)
    })();
    (out, outcome)
}

/// Pieces of `size` bytes. The files of 16 MiB are cut so finely only near their ends, unless
/// `SYMBOLON_TESTKIT_WHOLE` is set.
fn pieces(file: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    let (mut rest, whole) = (file, file.len());
    let fine = size > 1 || whole < 1 << 20 || std::env::var_os("SYMBOLON_TESTKIT_WHOLE").is_some();
    core::iter::from_fn(move || {
        let done = whole - rest.len();
        let near_an_end = done < 70_000 || rest.len() < 70_000;
        let len = if fine || near_an_end { size } else { 1000 };
        let (piece, more) = rest.split_at(len.min(rest.len()));
        rest = more;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Gives one piece a read.
struct Pieces<'a, I: Iterator<Item = &'a [u8]>>(core::iter::Peekable<I>);

impl<'a, I: Iterator<Item = &'a [u8]>> Read for Pieces<'a, I> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.0.peek_mut() else { return Ok(0) };
        let read = piece.read(out)?;
        if piece.is_empty() {
            self.0.next();
        }
        Ok(read)
    }
}

/// The file in pieces of `size` bytes, without its armor.
fn unarmored(case: &Case, size: usize) -> Box<dyn Read + '_> {
    let file = Pieces(pieces(&case.file, size).peekable());
    if case.armored { Box::new(symbolon_envelope::Dearmor::new(file)) } else { Box::new(file) }
}

fn failure(error: io::Error) -> Failure {
    let armor = ArmorError::from_io(&error).map(Failure::Armor);
    armor.unwrap_or_else(|| Failure::Open(OpenError::from_io(&error).unwrap()))
}

fn as_reader(case: &Case, open: &Open<'_>, size: usize) -> Outcome {
    let mut out = Vec::new();
    let outcome = open.reader(unarmored(case, size)).and_then(|mut opener| opener.read_to_end(&mut out));
    (out, outcome.map(|_| ()).map_err(failure))
}

/// An asynchronous reader that never waits.
struct Now<R>(R);

impl<R: Read + Unpin> AsyncRead for Now<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.0.read(out.initialize_unfilled())?;
        out.advance(read);
        Poll::Ready(Ok(()))
    }
}

fn asynchronous(case: &Case, open: &Open<'_>, size: usize) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut out = Vec::new();
    let outcome = runtime.block_on(async {
        use tokio::io::AsyncReadExt;
        let mut from = Now(unarmored(case, size));
        if size == usize::MAX {
            return open.copy_async(&mut from, &mut out).await.map(|_| ());
        }
        let mut reader = open.reader_async(from).await?;
        reader.read_to_end(&mut out).await.map(|_| ())
    });
    (out, outcome.map_err(failure))
}

/// From the middle: opening verifies the last chunk, so nothing is released of what does not end well.
fn by_seeking(case: &Case, open: &Open<'_>) -> Outcome {
    let mut out = Vec::new();
    let outcome = open.seekable(io::Cursor::new(&case.file)).and_then(|mut opener| {
        let half = opener.len() / 2;
        let mut tail = Vec::new();
        opener.seek(SeekFrom::End(-i64::try_from(half).unwrap()))?;
        opener.read_to_end(&mut tail)?;
        opener.seek(SeekFrom::Start(0))?;
        opener.read_to_end(&mut out)?;
        assert!(out.ends_with(&tail) && tail.len() as u64 == half && opener.len() == out.len() as u64);
        Ok(())
    });
    (out, outcome.map_err(|error| Failure::Open(OpenError::from_io(&error).unwrap())))
}

/// The kit's name for an outcome.
fn name(case: &Case, outcome: &Result<(), Failure>) -> &'static str {
    match outcome {
        Ok(()) => "success",
        Err(Failure::Armor(_)) => "armor failure",
        Err(Failure::Open(error)) => match error {
            OpenError::NoMatch => "no match",
            OpenError::HeaderMac => "HMAC failure",
            // The nonce belongs to the payload here, and to the header in the kit.
            OpenError::Payload(PayloadError::Truncated) if case.name.ends_with("_nonce") => "header failure",
            OpenError::Payload(_) => "payload failure",
            _ => "header failure",
        },
    }
}

fn check(case: &Case, way: &str, (released, outcome): &Outcome) {
    let Case { name: file, expect, payload, .. } = case;
    assert_eq!(name(case, outcome), expect, "{file}, {way}: {outcome:?}");
    let whole = !["slice", "seek"].contains(&way) || outcome.is_ok();
    match payload {
        Some(digest) if whole => assert_eq!(&hex::encode(Sha256::digest(released)), digest, "{file}, {way}"),
        Some(_) => assert!(released.is_empty(), "{file}, {way}"),
        None => assert!(released.is_empty(), "{file}, {way}: nothing may be released"),
    }
}

#[test]
fn every_file_in_every_way() {
    let Some((cases, count)) = load() else {
        return missing("the test kit of age", "SYMBOLON_REQUIRE_AGE");
    };
    assert_eq!(cases.len(), count);
    let mut runs = 0;
    for (case, backend) in cases.iter().flat_map(|case| Backend::ALL.iter().map(move |b| (case, *b))) {
        let keys = case.keys();
        let open = open(&keys, backend);
        check(case, "slice", &as_slice(case, &open));
        check(case, "whole", &in_pieces(case, &open, usize::MAX));
        check(case, "byte by byte", &in_pieces(case, &open, 1));
        check(case, "pieces of 65,553", &in_pieces(case, &open, 65_553));
        check(case, "reader", &as_reader(case, &open, usize::MAX));
        check(case, "slow reader", &as_reader(case, &open, 1));
        check(case, "two threads", &as_reader(case, &open.clone().threads(2), 70_000));
        check(case, "async", &asynchronous(case, &open, usize::MAX));
        check(case, "async, byte by byte", &asynchronous(case, &open, 1));
        check(case, "async, pieces of 65,553", &asynchronous(case, &open, 65_553));
        if !case.armored {
            check(case, "seek", &by_seeking(case, &open));
        }
        runs += 1;
    }
    assert_eq!(runs, count * Backend::ALL.len());
}

fn load() -> Option<(Vec<Case>, usize)> {
    if let Some(folder) = std::env::var_os("SYMBOLON_AGE_TESTKIT") {
        let cases = from_folder(Path::new(&folder));
        return Some((cases, FILES));
    }
    if let Some(script) = from_npm() {
        return Some((from_script(&script), FILES));
    }
    skipped("the package of the kit is not to be had; the crate `age` has it without post-quantum keys");
    Some((from_folder(&from_crate()?), FILES_IN_CRATE))
}

fn from_folder(folder: &Path) -> Vec<Case> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    files.map(|path| Case::parse(&name(&path), &fs::read(&path).unwrap())).collect()
}

/// The package carries the files as `var <name>_default = __toBinary("<base64>");`.
fn from_script(script: &str) -> Vec<Case> {
    use base64ct::{Base64, Encoding};
    let files = script.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("var ")?.split_once("_default = __toBinary(\"")?;
        Some((name, rest.strip_suffix("\");")?))
    });
    files.map(|(name, text)| Case::parse(name, &Base64::decode_vec(text).unwrap())).collect()
}

fn from_npm() -> Option<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("age-testkit");
    let script = folder.join("package/index.js");
    if !script.exists() {
        fs::create_dir_all(&folder).ok()?;
        let run = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).current_dir(&folder).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
        };
        let file = run("npm", &["pack", "--silent", PACKAGE])?;
        run("tar", &["-xzf", file.lines().last()?])?;
    }
    fs::read_to_string(script).ok()
}

fn from_crate() -> Option<PathBuf> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/peers/Cargo.toml");
    let args = ["metadata", "--format-version", "1", "--locked", "--manifest-path", manifest];
    let output = Command::new(env!("CARGO")).args(args).output().ok()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).ok()?;
    let age = metadata["packages"].as_array()?.iter().find(|package| package["name"] == "age")?;
    let folder = Path::new(age["manifest_path"].as_str()?).parent()?.join("tests/testdata/testkit");
    folder.is_dir().then_some(folder)
}
