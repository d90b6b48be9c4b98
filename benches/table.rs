//! The hot paths of `symbolon-table`: sealing and opening on a hit, looking up, and what a miss costs.
//!
//! `sum-of-parts` is what a message cannot do without, in the same run: the backend's AEAD under a fresh key, one
//! HKDF-SHA256 expansion of 64 bytes, and one draw of 40 random bytes. The other peers draw their nonces too.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "a bench may panic, and has std"
)]

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crypto_box::aead::Aead;
use rand_core::Rng;
use symbolon_keys::{
    Backend, Epoch, Id, OneTimeKey, OsRng, RootKey, Secret, SigningKey, TableSecretKey, UnixTime, label,
};
use symbolon_table::{
    Directory, DirectoryServer, Inbox, Mailbox, MemoryStore, PairRoot, Party, PublicKeys, Statement, Table,
};

const SIZES: [usize; 3] = [64, 1024, 16_384];

/// Runs a future that never has to wait: a hit.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a hit does not wait"),
    }
}

/// A directory that knows nobody: the tables here have their peers from snapshots.
struct Nobody;

impl Directory for Nobody {
    async fn lookup(
        &self,
        ids: &[Id],
    ) -> Result<Vec<Option<symbolon_table::Record>>, symbolon_table::StoreError> {
        Ok(vec![None; ids.len()])
    }

    async fn history(
        &self,
        _: &Id,
        _: Epoch,
    ) -> Result<Vec<symbolon_table::Record>, symbolon_table::StoreError> {
        Ok(Vec::new())
    }
}

fn peer(n: usize) -> Id {
    format!("user-{n:07}@example.org").parse().unwrap()
}

fn me(n: usize) -> Id {
    format!("me-{n}").parse().unwrap()
}

/// A table with so many peers, each with some root: put in as a snapshot (`docs/snapshot.md`), for agreeing on a
/// million secrets takes a while.
fn table(
    own: usize,
    peers: impl ExactSizeIterator<Item = (Id, [u8; 32])>,
    backend: Backend,
) -> Table<Nobody> {
    let (id, device_key, salt) = (me(own), RootKey::from(Secret::from([5; 32])), [6; 24]);
    let len = peers.len();
    let mut body = u32::try_from(len).unwrap().to_be_bytes().to_vec();
    for (peer, root) in peers {
        body.extend_from_slice(&u16::try_from(peer.as_bytes().len()).unwrap().to_be_bytes());
        body.extend_from_slice(peer.as_bytes());
        body.extend_from_slice(&[0; 16]);
        body.extend_from_slice(&root);
        body.extend_from_slice(&[0; 32]);
        body.extend_from_slice(&u64::MAX.to_be_bytes());
        body.extend_from_slice(&UnixTime::now().as_secs().to_be_bytes());
        body.push(0);
    }
    let keys: Secret<64> = device_key.derive(label::TABLE_SNAPSHOT, &[id.as_bytes(), &salt]).unwrap();
    let (key, commit) = keys.split::<32, 32>();
    let name = [&u16::try_from(id.as_bytes().len()).unwrap().to_be_bytes(), id.as_bytes()].concat();
    let mut snapshot = [&[1], name.as_slice(), &salt, commit.expose()].concat();
    let tag = OneTimeKey::new(backend, &key).seal_in_place(&snapshot, &mut body).unwrap();
    snapshot.extend_from_slice(&body);
    snapshot.extend_from_slice(&tag);

    let key = TableSecretKey::generate(backend, &mut OsRng);
    let mut policy = symbolon_table::Policy::default();
    policy.capacity = len * 2;
    let table = Table::builder(id, key, Nobody).policy(policy).backend(backend).build();
    assert_eq!(table.restore(&device_key, &snapshot), Ok(len));
    table
}

/// Two tables that hold each other.
fn pair(backend: Backend) -> (Table<Nobody>, Table<Nobody>) {
    (table(0, [(me(1), [7; 32])].into_iter(), backend), table(1, [(me(0), [7; 32])].into_iter(), backend))
}

fn sum_of_parts(backend: Backend, root: &RootKey, out: &mut Vec<u8>, plaintext: &[u8]) {
    let mut random = [0; 40];
    OsRng.fill_bytes(&mut random);
    let keys = message_keys(root, &random);
    out.clear();
    out.extend_from_slice(plaintext);
    let key: [u8; 32] = *keys.expose().first_chunk().unwrap();
    if backend == Backend::Portable {
        let cipher = chacha20poly1305::ChaCha20Poly1305::new(&key.into());
        let tag = cipher.encrypt_inout_detached(&[0; 12].into(), &random, out.as_mut_slice().into()).unwrap();
        black_box(tag);
    } else {
        let cipher = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).unwrap());
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        black_box(cipher.seal_in_place_separate_tag(nonce, Aad::from(random), out).unwrap().as_ref());
    }
}

/// What opening cannot do without: the same expansion, and the AEAD over a copy of the ciphertext.
fn parts_of_opening(backend: Backend, root: &RootKey, random: &[u8; 40], sealed: &[u8], out: &mut Vec<u8>) {
    let keys = message_keys(root, random);
    let key: [u8; 32] = *keys.expose().first_chunk().unwrap();
    out.clear();
    out.extend_from_slice(sealed);
    if backend == Backend::Portable {
        let cipher = chacha20poly1305::ChaCha20Poly1305::new(&key.into());
        let at = out.len() - 16;
        let (body, tag) = out.split_at_mut(at);
        let tag = (&*tag).try_into().unwrap();
        cipher.decrypt_inout_detached(&[0; 12].into(), random, body.into(), tag).unwrap();
    } else {
        let cipher = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).unwrap());
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        black_box(cipher.open_in_place(nonce, Aad::from(random), out).unwrap());
    }
}

fn message_keys(root: &RootKey, random: &[u8; 40]) -> Secret<64> {
    root.derive(label::TABLE_MESSAGE, &[b"me-0", b"me-1", &random[..16], &random[16..]]).unwrap()
}

fn salsa_box() -> crypto_box::SalsaBox {
    let secret = crypto_box::SecretKey::from([1; 32]);
    crypto_box::SalsaBox::new(&crypto_box::SecretKey::from([2; 32]).public_key(), &secret)
}

fn seal(c: &mut Criterion) {
    let mut group = c.benchmark_group("table/seal");
    for size in SIZES {
        let plaintext = vec![1; size];
        group.throughput(Throughput::Bytes(size.try_into().unwrap()));
        for &backend in Backend::ALL {
            let (alice, _bob) = pair(backend);
            let bob = me(1);
            group.bench_function(BenchmarkId::new(format!("symbolon-{backend}"), size), |b| {
                b.iter(|| ready(alice.seal(&bob, black_box(&plaintext))).unwrap());
            });
            let (root, mut out) = (RootKey::from(Secret::from([7; 32])), Vec::with_capacity(size));
            group.bench_function(BenchmarkId::new(format!("sum-of-parts-{backend}"), size), |b| {
                b.iter(|| sum_of_parts(backend, &root, &mut out, black_box(&plaintext)));
            });
        }
        let salsa = salsa_box();
        group.bench_function(BenchmarkId::new("crypto_box", size), |b| {
            b.iter(|| {
                let mut nonce = [0; 24];
                OsRng.fill_bytes(&mut nonce);
                salsa.encrypt(&nonce.into(), black_box(plaintext.as_slice())).unwrap()
            });
        });
        let raw = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).unwrap());
        group.bench_function(BenchmarkId::new("aws-lc-rs-aead-only", size), |b| {
            b.iter(|| {
                let mut out = Vec::with_capacity(size + 16);
                out.extend_from_slice(black_box(&plaintext));
                let nonce = Nonce::assume_unique_for_key([0; 12]);
                raw.seal_in_place_append_tag(nonce, Aad::empty(), &mut out).unwrap();
                out
            });
        });
    }
    group.finish();
}

fn open(c: &mut Criterion) {
    let mut group = c.benchmark_group("table/open");
    for size in SIZES {
        let plaintext = vec![1; size];
        group.throughput(Throughput::Bytes(size.try_into().unwrap()));
        for &backend in Backend::ALL {
            let (alice, bob) = pair(backend);
            let message = ready(alice.seal(&me(1), &plaintext)).unwrap();
            group.bench_function(BenchmarkId::new(format!("symbolon-{backend}"), size), |b| {
                b.iter(|| ready(bob.open(black_box(&message))).unwrap().accept_replays());
            });
            let (root, random) = (RootKey::from(Secret::from([7; 32])), [9; 40]);
            let key = Secret::from(*message_keys(&root, &random).expose().first_chunk().unwrap());
            let mut sealed = plaintext.clone();
            let tag = OneTimeKey::new(backend, &key).seal_in_place(&random, &mut sealed).unwrap();
            sealed.extend_from_slice(&tag);
            let mut out = Vec::with_capacity(sealed.len());
            group.bench_function(BenchmarkId::new(format!("sum-of-parts-{backend}"), size), |b| {
                b.iter(|| parts_of_opening(backend, &root, &random, black_box(&sealed), &mut out));
            });
        }
        let salsa = salsa_box();
        let boxed = salsa.encrypt(&[3; 24].into(), plaintext.as_slice()).unwrap();
        group.bench_function(BenchmarkId::new("crypto_box", size), |b| {
            b.iter(|| salsa.decrypt(&[3; 24].into(), black_box(boxed.as_slice())).unwrap());
        });
    }
    group.finish();
}

/// 64 bytes to and from one peer among so many: the cost does not grow with the table.
fn among(c: &mut Criterion) {
    let mut group = c.benchmark_group("table/among");
    for others in [1, 1_000, 100_000] {
        let full = |own: usize, other: usize| {
            let all: Vec<_> = (1..others).map(|n| (peer(n), [1; 32])).chain([(me(other), [7; 32])]).collect();
            table(own, all.into_iter(), Backend::best())
        };
        let (alice, bob) = (full(0, 1), full(1, 0));
        let message = ready(alice.seal(&me(1), &[1; 64])).unwrap();
        let to = me(1);
        group.bench_function(BenchmarkId::new("seal", others), |b| {
            b.iter(|| ready(alice.seal(&to, black_box(&[1; 64]))).unwrap());
        });
        group.bench_function(BenchmarkId::new("open", others), |b| {
            b.iter(|| ready(bob.open(black_box(&message))).unwrap().accept_replays());
        });
    }
    group.finish();
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("table/lookup");
    for size in [1_000, 100_000, 1_000_000] {
        let all = || (0..size).map(|n| (peer(n), [1; 32]));
        // A fixed stride through all of them, so that large tables miss the processor's caches.
        let ids: Vec<Id> = (0..size).map(|n| peer(n * 7919 % size)).collect();
        let table = table(0, all(), Backend::best());
        let mut next = ids.iter().cycle();
        group.bench_function(BenchmarkId::new("symbolon", size), |b| {
            b.iter(|| table.head(black_box(next.next().unwrap())).unwrap());
        });
        drop(table);
        let map: HashMap<Id, [u8; 32]> = all().collect();
        let mut next = ids.iter().cycle();
        group.bench_function(BenchmarkId::new("std-hashmap", size), |b| {
            b.iter(|| *map.get(black_box(next.next().unwrap())).unwrap());
        });
    }
    for &backend in Backend::ALL {
        let (key, other) =
            (TableSecretKey::generate(backend, &mut OsRng), TableSecretKey::generate(backend, &mut OsRng));
        let party =
            |n, key: &TableSecretKey| Party { id: me(n), epoch: Epoch::FIRST, key: *key.public_key() };
        let (own, peer) = (party(0, &key), party(1, &other));
        group.bench_function(BenchmarkId::new(format!("recompute-{backend}"), 1), |b| {
            b.iter(|| PairRoot::agree(&key, &own, black_box(&peer)).unwrap());
        });
    }
    group.finish();
}

/// Many threads on one table: the time that all of them take for one message each.
#[expect(clippy::disallowed_methods, reason = "threads start together, outside the measured time")]
fn threads(c: &mut Criterion) {
    let mut group = c.benchmark_group("table/seal-threads");
    let table = table(0, (0..1_000).map(|n| (peer(n), [1; 32])), Backend::best());
    for threads in [1, 2, 4] {
        group.throughput(Throughput::Elements(threads.try_into().unwrap()));
        group.bench_function(BenchmarkId::new("symbolon", threads), |b| {
            b.iter_custom(|rounds| {
                let start = Barrier::new(threads);
                let run = |first: usize| {
                    start.wait();
                    let begun = Instant::now();
                    for round in 0..rounds {
                        let id = peer((first + usize::try_from(round).unwrap()) % 1_000);
                        black_box(ready(table.seal(&id, &[1; 64])).unwrap());
                    }
                    begun.elapsed()
                };
                std::thread::scope(|scope| {
                    let running: Vec<_> = (0..threads).map(|n| scope.spawn(move || run(n * 37))).collect();
                    running.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or(Duration::ZERO)
                })
            });
        });
    }
    group.finish();
}

/// What is not on the hot path: registering, meeting a peer, and a letter's way through the mailbox.
fn slow(c: &mut Criterion) {
    let now = UnixTime::now();
    let user = |n: usize| {
        let (key, signing) =
            (TableSecretKey::generate(Backend::best(), &mut OsRng), SigningKey::generate(&mut OsRng));
        let keys = PublicKeys::new(*key.public_key(), signing.verifying_key());
        let until = UnixTime::from_secs(now.as_secs() + 1_000_000);
        (Statement::new(me(n), keys, now, until).first(&signing).unwrap(), key, signing)
    };
    let server = DirectoryServer::new(MemoryStore::new());
    let register = |n: usize| {
        let (record, key, signing) = user(n);
        let challenge = ready(server.begin(&me(n), now)).unwrap();
        let answer = challenge.answer(record, &key, &signing).unwrap();
        ready(server.register(&answer, now)).unwrap();
        answer
    };
    let [first, _] = [0, 1].map(register);
    c.bench_function("table/register/symbolon/1", |b| {
        // Again and again the same: each time all checks are made, and the answer is that it is registered.
        b.iter(|| ready(server.register(black_box(&first), now)).unwrap());
    });
    let table = Table::new(me(0), user(0).1, server);
    c.bench_function("table/miss/symbolon/64", |b| {
        b.iter(|| {
            table.forget(&me(1));
            ready(table.seal(&me(1), &[1; 64])).unwrap()
        });
    });

    let (alice, bob) = pair(Backend::best());
    let (mailbox, inbox) = (Mailbox::new(MemoryStore::new()), Inbox::new(MemoryStore::new()));
    c.bench_function("table/exchange/symbolon/64", |b| {
        b.iter(|| {
            let message = ready(alice.seal(&me(1), &[1; 64])).unwrap();
            ready(mailbox.deposit(&me(0), message, now)).unwrap();
            let (letters, _) = ready(mailbox.poll(&me(1), None, 1)).unwrap();
            let received =
                ready(inbox.accept(ready(bob.open(letters[0].letter.message())).unwrap())).unwrap();
            ready(mailbox.acknowledge(&me(1), &[letters[0].sequence])).unwrap();
            received
        });
    });
}

criterion_group!(all, seal, open, among, lookup, threads, slow);
criterion_main!(all);
