//! libsodium's `crypto_box_easy_afternm` on the paths of `benches/table.rs`, under ids that stand beside ours. The crate
//! `crypto_box` is in both runs, to compare them by. Each draws its nonce from the operating system, and allocates its
//! output.

use std::hint::black_box;
use std::ptr::from_mut;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crypto_box::aead::Aead;
use crypto_box::aead::rand_core::{OsRng, RngCore};

const NONCE_LEN: usize = libsodium_sys::crypto_box_NONCEBYTES as usize;
const TAG_LEN: usize = libsodium_sys::crypto_box_MACBYTES as usize;

/// `crypto_box` with the shared key computed before: what a table entry is to it.
struct Sodium([u8; libsodium_sys::crypto_box_BEFORENMBYTES as usize]);

impl Sodium {
    fn new() -> Self {
        let (mut public, mut secret, mut shared) = ([0; 32], [0; 32], [0; 32]);
        // SAFETY: `sodium_init` may be called any number of times; each array has the length that is documented for it.
        unsafe {
            assert!(libsodium_sys::sodium_init() >= 0);
            assert_eq!(libsodium_sys::crypto_box_keypair(public.as_mut_ptr(), secret.as_mut_ptr()), 0);
            let done =
                libsodium_sys::crypto_box_beforenm(shared.as_mut_ptr(), public.as_ptr(), secret.as_ptr());
            assert_eq!(done, 0);
        }
        Self(shared)
    }

    /// Nonce and box.
    fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let mut out = vec![0; NONCE_LEN + plaintext.len() + TAG_LEN];
        let (nonce, sealed) = out.split_at_mut(NONCE_LEN);
        // SAFETY: `sealed` is longer than the plaintext by the tag; nonce and key have the lengths that are asked for.
        let done = unsafe {
            libsodium_sys::randombytes_buf(from_mut(nonce).cast(), NONCE_LEN);
            libsodium_sys::crypto_box_easy_afternm(
                sealed.as_mut_ptr(),
                plaintext.as_ptr(),
                plaintext.len() as u64,
                nonce.as_ptr(),
                self.0.as_ptr(),
            )
        };
        assert_eq!(done, 0);
        out
    }

    fn open(&self, message: &[u8]) -> Vec<u8> {
        let (nonce, sealed) = message.split_at(NONCE_LEN);
        let mut out = vec![0; sealed.len() - TAG_LEN];
        // SAFETY: `out` is shorter than the box by the tag; nonce and key have the lengths that are asked for.
        let done = unsafe {
            libsodium_sys::crypto_box_open_easy_afternm(
                out.as_mut_ptr(),
                sealed.as_ptr(),
                sealed.len() as u64,
                nonce.as_ptr(),
                self.0.as_ptr(),
            )
        };
        assert_eq!(done, 0);
        out
    }
}

fn salsa_box() -> crypto_box::SalsaBox {
    let secret = crypto_box::SecretKey::from([1; 32]);
    crypto_box::SalsaBox::new(&crypto_box::SecretKey::from([2; 32]).public_key(), &secret)
}

fn boxes(c: &mut Criterion) {
    let (sodium, salsa) = (Sodium::new(), salsa_box());
    for size in [64, 1024, 16_384] {
        let plaintext = vec![1; size];
        let mut group = c.benchmark_group("table/seal");
        group.throughput(Throughput::Bytes(size.try_into().unwrap()));
        group.bench_function(BenchmarkId::new("libsodium", size), |b| {
            b.iter(|| sodium.seal(black_box(&plaintext)));
        });
        group.bench_function(BenchmarkId::new("crypto_box", size), |b| {
            b.iter(|| {
                let mut nonce = [0; NONCE_LEN];
                OsRng.fill_bytes(&mut nonce);
                salsa.encrypt(&nonce.into(), black_box(plaintext.as_slice())).unwrap()
            });
        });
        group.finish();

        let boxed = sodium.seal(&plaintext);
        assert_eq!(sodium.open(&boxed), plaintext);
        let sealed = salsa.encrypt(&[3; NONCE_LEN].into(), plaintext.as_slice()).unwrap();
        let mut group = c.benchmark_group("table/open");
        group.throughput(Throughput::Bytes(size.try_into().unwrap()));
        group.bench_function(BenchmarkId::new("libsodium", size), |b| {
            b.iter(|| sodium.open(black_box(&boxed)));
        });
        group.bench_function(BenchmarkId::new("crypto_box", size), |b| {
            b.iter(|| salsa.decrypt(&[3; NONCE_LEN].into(), black_box(sealed.as_slice())).unwrap());
        });
        group.finish();
    }
}

criterion_group!(all, boxes);
criterion_main!(all);
