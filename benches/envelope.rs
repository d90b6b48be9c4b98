//! The hot paths of `symbolon-envelope`, beside loops over the bare primitives of each backend.
//!
//! The crate `age` cannot share our lock file; it is measured in `benches/peers`. The program `age` is measured here as
//! a whole process, if it is installed. `SYMBOLON_BENCH_LARGE=1` adds streams of 1 GiB.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "a bench may panic, and has std"
)]

use std::hint::black_box;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::process::{Command, Stdio};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use symbolon_envelope::{
    AgeIdentity, CHUNK, Context, Expect, Header, Identity, Open, Recipient, RecordId, Rewrap, Seal,
    ServerKeys, UserKey,
};
use symbolon_keys::{AgeSecretKey, Backend, BufferedRng, OsRng};

const KEY: [u8; 32] = [7; 32];

fn context() -> Context {
    Context::new("example".parse().unwrap(), RecordId::from([7; 16]), "alice".parse().unwrap()).at(1)
}

fn large() -> Option<usize> {
    std::env::var_os("SYMBOLON_BENCH_LARGE").map(|_| 1 << 30)
}

/// The bare primitive over chunks of 64 KiB: what a stream cannot be faster than.
fn bare(group: &mut BenchmarkGroup<'_, WallTime>, data: &[u8]) {
    let size = data.len();
    let mut chunk = vec![0; CHUNK];
    let portable = ChaCha20Poly1305::new(&KEY.into());
    group.bench_function(BenchmarkId::new("bare-portable", size), |b| {
        b.iter(|| {
            for piece in data.chunks(CHUNK) {
                let room = &mut chunk[..piece.len()];
                room.copy_from_slice(piece);
                let _ =
                    black_box(portable.encrypt_inout_detached(&[0; 12].into(), b"", room.into()).unwrap());
            }
        });
    });
    let fast = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &KEY).unwrap());
    group.bench_function(BenchmarkId::new("bare-aws-lc", size), |b| {
        b.iter(|| {
            for piece in data.chunks(CHUNK) {
                let room = &mut chunk[..piece.len()];
                room.copy_from_slice(piece);
                let nonce = Nonce::assume_unique_for_key([0; 12]);
                let _ = black_box(fast.seal_in_place_separate_tag(nonce, Aad::empty(), room).unwrap());
            }
        });
    });
}

/// The program `age`, from a file into nothing.
fn program(group: &mut BenchmarkGroup<'_, WallTime>, data: &[u8], seal: bool) {
    let folder = tempfile::tempdir().unwrap();
    let identity = AgeIdentity::Classical(Box::new(AgeSecretKey::generate(Backend::best(), &mut OsRng)));
    let recipient = identity.recipient().to_string();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("key"), identity.to_secret_string().as_bytes()).unwrap();
    std::fs::write(path("plain"), data).unwrap();
    let ours = identity.recipient();
    Seal::to(&[&ours]).file(&path("plain"), &path("sealed")).unwrap();
    let run = || {
        let mut command = Command::new("age");
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let args =
            if seal { ["-r", &recipient, "plain"].to_vec() } else { ["-d", "-i", "key", "sealed"].to_vec() };
        command.args(args).status().is_ok_and(|status| status.success())
    };
    if !run() {
        return eprintln!("SKIPPED: the program `age` is not installed");
    }
    group.bench_function(BenchmarkId::new("age-program", data.len()), |b| b.iter(run));
}

fn streams(c: &mut Criterion) {
    let user = UserKey::generate(&mut OsRng);
    let up = user.up();
    let (recipients, identities): ([&dyn Recipient; 1], [&dyn Identity; 1]) = ([&up], [&up]);
    for size in [1 << 20, 64 << 20].into_iter().chain(large()) {
        let data = vec![7; size];
        let mut group = c.benchmark_group("envelope/seal");
        group.throughput(Throughput::Bytes(size.try_into().unwrap())).sample_size(10);
        for (&backend, threads) in
            Backend::ALL.iter().flat_map(|backend| [1, 2].map(|threads| (backend, threads)))
        {
            let seal = Seal::to(&recipients).backend(backend).threads(threads);
            group.bench_function(BenchmarkId::new(format!("{backend}-{threads}"), size), |b| {
                b.iter(|| {
                    let mut sealer = seal.writer(io::sink()).unwrap();
                    sealer.copy_from(&mut black_box(&data[..])).unwrap();
                    sealer.finish().unwrap();
                });
            });
        }
        bare(&mut group, &data);
        program(&mut group, &data, true);
        group.finish();

        let mut group = c.benchmark_group("envelope/open");
        group.throughput(Throughput::Bytes(size.try_into().unwrap())).sample_size(10);
        let sealed = Seal::to(&recipients).bytes(&data).unwrap();
        for (&backend, threads) in
            Backend::ALL.iter().flat_map(|backend| [1, 2].map(|threads| (backend, threads)))
        {
            let open = Open::with(&identities).backend(backend).threads(threads);
            group.bench_function(BenchmarkId::new(format!("{backend}-{threads}"), size), |b| {
                b.iter(|| open.reader(black_box(&sealed[..])).unwrap().copy_to(&mut io::sink()).unwrap());
            });
        }
        program(&mut group, &data, false);
        group.finish();
    }
}

/// A record of a hundred bytes under a shared key, with a context: sealed and opened.
fn small(c: &mut Criterion) {
    let user = UserKey::generate(&mut OsRng);
    let (up, context) = (user.up(), context());
    let (recipients, identities): ([&dyn Recipient; 1], [&dyn Identity; 1]) = ([&up], [&up]);
    let mut group = c.benchmark_group("envelope/small");
    let mut rng = BufferedRng::new();
    for &backend in Backend::ALL {
        for with_context in [false, true] {
            let seal = Seal::to(&recipients).backend(backend);
            let (seal, expect) = match with_context {
                true => (seal.context(&context), Expect::exactly(&context)),
                false => (seal, Expect::absent()),
            };
            let open = Open::with(&identities).backend(backend).expect(expect);
            let name = if with_context { format!("{backend}-context") } else { backend.to_string() };
            group.bench_function(BenchmarkId::new(name, 100), |b| {
                b.iter(|| {
                    let sealed = seal.bytes_with(black_box(&[7; 100]), &mut rng).unwrap();
                    open.bytes(&sealed).unwrap()
                });
            });
        }
    }
    group.finish();
}

/// A header from a user's key to a server's: the payload plays no part, whatever its size.
fn rewrap(c: &mut Criterion) {
    let (user, server) = (UserKey::generate(&mut OsRng), ServerKeys::generate(&mut OsRng));
    let (up, current, context) = (user.up(), server.current(), context());
    let mut group = c.benchmark_group("envelope/rewrap");
    let mut rng = BufferedRng::new();
    for size in [1 << 10, 1 << 20, 64 << 20] {
        let sealed = Seal::to(&[&up]).context(&context).bytes(&vec![7; size]).unwrap();
        let header = Header::parse(&sealed).unwrap().0;
        for &backend in Backend::ALL {
            let rewrap = Rewrap::from(&up).to(&current).expect(Expect::exactly(&context)).backend(backend);
            group.bench_function(BenchmarkId::new(format!("{backend}-detached"), size), |b| {
                b.iter(|| rewrap.detached_with(black_box(header.as_bytes()), &mut rng).unwrap());
            });
        }
    }
    group.finish();
}

/// A hundred bytes from the middle of 64 MiB.
fn seek(c: &mut Criterion) {
    let user = UserKey::generate(&mut OsRng);
    let up = user.up();
    let size = 64 << 20;
    let sealed = Seal::to(&[&up]).bytes(&vec![7; size]).unwrap();
    let mut group = c.benchmark_group("envelope/seek");
    for &backend in Backend::ALL {
        let identities: [&dyn Identity; 1] = [&up];
        let mut opener = Open::with(&identities).backend(backend).seekable(Cursor::new(&sealed[..])).unwrap();
        let mut at = 0;
        group.bench_function(BenchmarkId::new(backend.name(), size), |b| {
            b.iter(|| {
                at = (at + 1_000_003) % (size as u64 - 100);
                opener.seek(SeekFrom::Start(at)).unwrap();
                let mut out = [0; 100];
                opener.read_exact(&mut out).unwrap();
                out
            });
        });
    }
    group.finish();
}

criterion_group!(all, streams, small, rewrap, seek);
criterion_main!(all);
