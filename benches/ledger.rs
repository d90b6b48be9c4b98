//! The hot paths of `symbolon-ledger`, each beside what it is made of.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::std_instead_of_core,
    reason = "a bench may panic, and has std"
)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use polyval::Polyval;
use polyval::universal_hash::UniversalHash;
use rand_core::Rng;
use symbolon_keys::{Backend, BufferedRng, OneTimeKey, RootKey, Secret, UnixTime};
use symbolon_ledger::frame::{Chunk, Frame, LaneCipher, LaneId, bucket};
use symbolon_ledger::{
    AccountId, Amount, Batch, GeneratorSource, Issue, LedgerStore, MemoryMaterial, MemoryStore, Op, Pad,
    PadMode, Policy, Provision, Side, Transfer, TransferId,
};
use tokio::runtime::{Builder, Runtime};

const SIZES: [usize; 4] = [60, 1020, 16_380, 65_532];

fn cipher(mode: PadMode, backend: Backend) -> LaneCipher {
    let lane = LaneId { pad: [1; 16].into(), generation: [2; 16].into(), mode, lane: 0 };
    LaneCipher::new(lane, RootKey::from(Secret::from([7; 32])), backend)
}

/// A frame in the cache: `pad-only`, and `over-aead` on each backend, beside copying, XOR, POLYVAL and the inner AEAD.
fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger/seal");
    for size in SIZES {
        let message = vec![1; size];
        let padded = bucket(size).unwrap();
        let mut pad = vec![0x5a; padded + 48];
        let mut out = Vec::with_capacity(padded + 200);
        group.throughput(Throughput::Bytes(size.try_into().unwrap()));
        let only = cipher(PadMode::PadOnly, Backend::Portable);
        group.bench_function(BenchmarkId::new("pad-only", size), |b| {
            b.iter(|| {
                only.seal(Chunk::new(0, &mut pad[..padded + 32]), &[0; 32], black_box(&message), &mut out)
            });
        });
        for &backend in Backend::ALL {
            let over = cipher(PadMode::PadOverAead, backend);
            let mut rng = BufferedRng::new();
            group.bench_function(BenchmarkId::new(format!("over-aead-{backend}"), size), |b| {
                b.iter(|| {
                    let mut random = [0; 32];
                    rng.fill_bytes(&mut random);
                    over.seal(Chunk::new(0, &mut pad[..padded + 48]), &random, black_box(&message), &mut out)
                });
            });
            let key = Secret::from([9; 32]);
            let mut data = vec![1; padded];
            group.bench_function(BenchmarkId::new(format!("aead-alone-{backend}"), size), |b| {
                b.iter(|| OneTimeKey::new(backend, &key).seal_in_place(b"", black_box(&mut data)));
            });
        }
        peers(&mut group, size, padded);
    }
    group.finish();
}

type Group<'c> = criterion::BenchmarkGroup<'c, criterion::measurement::WallTime>;

fn peers(group: &mut Group<'_>, size: usize, padded: usize) {
    let (data, key, mut out) = (vec![1_u8; padded], vec![2_u8; padded], vec![0; padded]);
    group.bench_function(BenchmarkId::new("memcpy-alone", size), |b| {
        b.iter(|| black_box(&mut out).copy_from_slice(black_box(&data)));
    });
    group.bench_function(BenchmarkId::new("xor-alone", size), |b| {
        b.iter(|| {
            for ((out, data), key) in black_box(&mut out).iter_mut().zip(&data).zip(&key) {
                *out = data ^ key;
            }
        });
    });
    group.bench_function(BenchmarkId::new("polyval-alone", size), |b| {
        b.iter(|| {
            let mut hash = Polyval::new((&[3; 16]).into());
            hash.update_padded(black_box(&data));
            hash.finalize()
        });
    });
}

fn opened(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger/open");
    for size in SIZES {
        let padded = bucket(size).unwrap();
        group.throughput(Throughput::Bytes(size.try_into().unwrap()));
        for mode in [PadMode::PadOnly, PadMode::PadOverAead] {
            let cipher = cipher(mode, Backend::best());
            let cost = padded + if mode == PadMode::PadOnly { 32 } else { 48 };
            let mut bytes = Vec::new();
            cipher.seal(Chunk::new(0, &mut vec![0x5a; cost]), &[0; 32], &vec![1; size], &mut bytes).unwrap();
            let frame = Frame::parse(&bytes).unwrap();
            let mut pad = vec![0x5a; cost];
            group.bench_function(BenchmarkId::new(format!("{mode:?}"), size), |b| {
                b.iter(|| {
                    pad.fill(0x5a);
                    cipher.open(black_box(&frame), Chunk::new(0, &mut pad)).unwrap()
                });
            });
        }
    }
    group.finish();
}

/// A whole pad over memory: reservations, the handle's checks, and the frame.
fn handle(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let mut group = c.benchmark_group("ledger/pad-seal");
    group.throughput(Throughput::Elements(1));
    for mode in [PadMode::PadOnly, PadMode::PadOverAead] {
        let mut pad = runtime.block_on(fresh(mode));
        group.bench_function(BenchmarkId::new(format!("{mode:?}"), 60), |b| {
            b.iter(|| {
                if pad.remaining().send < 4096 {
                    pad = runtime.block_on(fresh(mode));
                }
                runtime.block_on(pad.seal(&[1; 60]).commit()).unwrap()
            });
        });
    }
    group.finish();
}

async fn fresh(mode: PadMode) -> Pad<MemoryStore, symbolon_ledger::material::MemoryHalf> {
    let (store, a, b) = (MemoryStore::new(), MemoryMaterial::new(), MemoryMaterial::new());
    let issue = Issue::new(64 << 20).mode(mode).split(63, 1).unwitnessed();
    let id = issue.run(GeneratorSource::os(), &mut b.sink(), &mut a.sink()).unwrap();
    Pad::provision(&store, &a, Provision::new(id)).await.unwrap();
    let policy = Policy::default().reserve(1 << 20).destroy_every(u64::MAX);
    Pad::attach_with(&store, &a, id, policy).await.unwrap()
}

/// What a transfer costs in memory, by how many accounts there are.
fn transfers(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let mut group = c.benchmark_group("ledger/transfer");
    group.throughput(Throughput::Elements(1));
    for accounts in [1000, 1_000_000] {
        let (store, mut n) = (books(&runtime, accounts), 0_u128);
        group.bench_function(BenchmarkId::new("memory", accounts), |b| {
            b.iter(|| {
                n += 1;
                let id = TransferId::from(n.to_be_bytes());
                let to = account(1 + n.wrapping_mul(0x9e37_79b9) % (accounts - 1));
                let paid = Transfer::post(id, account(0), to, Amount::new(1));
                runtime
                    .block_on(store.commit(Batch::new(UnixTime::default()).with(Op::Transfer(paid))))
                    .unwrap()
            });
        });
    }
    group.finish();
}

fn account(n: u128) -> AccountId {
    AccountId::from(n.to_be_bytes())
}

fn books(runtime: &Runtime, accounts: u128) -> MemoryStore {
    let store = MemoryStore::new();
    for first in (0..accounts).step_by(1000) {
        let open = (first..accounts.min(first + 1000)).map(|n| Op::OpenAccount {
            id: account(n),
            side: if n == 0 { Side::Debit } else { Side::Credit },
        });
        let batch = open.fold(Batch::new(UnixTime::default()), Batch::with);
        runtime.block_on(store.commit(batch)).unwrap();
    }
    store
}

criterion_group!(all, frames, opened, handle, transfers);
criterion_main!(all);
