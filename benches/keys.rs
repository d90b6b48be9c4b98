//! The hot paths of `symbolon-keys`, each backend beside the primitives that it is made of: what lies between is the
//! cost of our types.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "a bench may panic, and has std"
)]

use std::hint::black_box;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::kem::{DecapsulationKey, ML_KEM_768};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use aws_lc_rs::{agreement, hkdf};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use symbolon_keys::hazmat::{ChaChaPoly, KemSecretKey, encapsulate};
use symbolon_keys::{
    Backend, BufferedRng, Identity, Label, NoiseSecretKey, OneTimeKey, OsRng, RootKey, Secret, SigningKey,
};

const LABEL: Label = Label::new("example.org/bench/v1");
const KEY: [u8; 32] = [7; 32];
const SIZES: [usize; 4] = [64, 1024, 16_384, 65_536];

/// Sealing under a prepared key, and, as `once`, with the key made for one message.
fn aead(c: &mut Criterion) {
    let mut group = c.benchmark_group("keys/aead");
    for size in SIZES {
        let mut data = vec![1; size];
        group.throughput(Throughput::Bytes(size.try_into().unwrap()));
        for &backend in Backend::ALL {
            let key = ChaChaPoly::new(backend, &Secret::from(KEY));
            group.bench_function(BenchmarkId::new(backend.name(), size), |b| {
                b.iter(|| key.seal_in_place([0; 12], b"aad", black_box(&mut data)));
            });
            group.bench_function(BenchmarkId::new(format!("{backend}-once"), size), |b| {
                let secret = Secret::from(KEY);
                b.iter(|| OneTimeKey::new(backend, &secret).seal_in_place(b"aad", black_box(&mut data)));
            });
        }
        let raw = ChaCha20Poly1305::new(&KEY.into());
        group.bench_function(BenchmarkId::new("chacha20poly1305", size), |b| {
            b.iter(|| raw.encrypt_inout_detached(&[0; 12].into(), b"aad", black_box(&mut *data).into()));
        });
        let raw = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &KEY).unwrap());
        group.bench_function(BenchmarkId::new("aws-lc-rs", size), |b| {
            b.iter(|| {
                let nonce = Nonce::assume_unique_for_key([0; 12]);
                raw.seal_in_place_separate_tag(nonce, Aad::from(b"aad"), black_box(&mut data)).unwrap()
            });
        });
    }
    group.finish();
}

fn x25519(c: &mut Criterion) {
    let mut group = c.benchmark_group("keys/x25519");
    let peer = *NoiseSecretKey::generate(Backend::Portable, &mut OsRng).public_key();
    for &backend in Backend::ALL {
        let key = NoiseSecretKey::from_secret(backend, Secret::from(KEY));
        group.bench_function(BenchmarkId::new(backend.name(), 32), |b| {
            b.iter(|| key.diffie_hellman(black_box(&peer)).unwrap());
        });
    }
    let raw = x25519_dalek::StaticSecret::from(KEY);
    let public = x25519_dalek::PublicKey::from(*peer.as_bytes());
    group.bench_function(BenchmarkId::new("x25519-dalek", 32), |b| {
        b.iter(|| raw.diffie_hellman(black_box(&public)))
    });
    let raw = agreement::PrivateKey::from_private_key(&agreement::X25519, &KEY).unwrap();
    group.bench_function(BenchmarkId::new("aws-lc-rs", 32), |b| {
        b.iter(|| {
            let public = agreement::UnparsedPublicKey::new(&agreement::X25519, black_box(peer.as_bytes()));
            agreement::agree(&raw, public, (), |shared| Ok(shared[0])).unwrap()
        });
    });
    group.finish();

    let mut group = c.benchmark_group("keys/x25519-generate");
    for &backend in Backend::ALL {
        group.bench_function(BenchmarkId::new(backend.name(), 32), |b| {
            let mut rng = BufferedRng::new();
            b.iter(|| NoiseSecretKey::generate(backend, &mut rng));
        });
    }
    group.finish();
}

fn mlkem(c: &mut Criterion) {
    let mut generate = c.benchmark_group("keys/mlkem768-generate");
    for &backend in Backend::ALL {
        let mut rng = BufferedRng::new();
        generate.bench_function(BenchmarkId::new(backend.name(), 1184), |b| {
            b.iter(|| KemSecretKey::generate(backend, &mut rng));
        });
    }
    generate.bench_function(BenchmarkId::new("aws-lc-rs", 1184), |b| {
        b.iter(|| DecapsulationKey::generate(&ML_KEM_768).unwrap());
    });
    generate.finish();

    let mut rng = BufferedRng::new();
    let raw = DecapsulationKey::generate(&ML_KEM_768).unwrap();
    let raw_public = raw.encapsulation_key().unwrap();
    let seed = Secret::generate(&mut rng);
    let public = KemSecretKey::from_seed(Backend::Portable, &seed).public_key().unwrap();
    let mut group = c.benchmark_group("keys/mlkem768-encapsulate");
    for &backend in Backend::ALL {
        group.bench_function(BenchmarkId::new(backend.name(), 1088), |b| {
            b.iter(|| encapsulate(backend, black_box(&public), &mut rng).unwrap());
        });
    }
    group.bench_function(BenchmarkId::new("aws-lc-rs", 1088), |b| {
        b.iter(|| raw_public.encapsulate().unwrap())
    });
    group.finish();

    let mut group = c.benchmark_group("keys/mlkem768-decapsulate");
    let (ciphertext, _) = encapsulate(Backend::Portable, &public, &mut rng).unwrap();
    for &backend in Backend::ALL {
        let key = KemSecretKey::from_seed(backend, &seed);
        group.bench_function(BenchmarkId::new(backend.name(), 1088), |b| {
            b.iter(|| key.decapsulate(black_box(&ciphertext)).unwrap());
        });
    }
    group.bench_function(BenchmarkId::new("aws-lc-rs", 1088), |b| {
        b.iter(|| raw.decapsulate(black_box(&ciphertext[..]).into()).unwrap());
    });
    group.finish();
}

fn derive(c: &mut Criterion) {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }

    let mut group = c.benchmark_group("keys/derive");
    let fields: [&[u8]; 4] = [b"alice", b"bob", &[1; 16], &[2; 24]];
    let root = RootKey::from(Secret::from(KEY));
    group.bench_function(BenchmarkId::new("symbolon", 64), |b| {
        b.iter(|| root.derive::<64>(LABEL, black_box(&fields)).unwrap());
    });
    // Without framing: the fields as they are, which is what a derivation must not do.
    let raw = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &KEY);
    group.bench_function(BenchmarkId::new("aws-lc-rs", 64), |b| {
        b.iter(|| {
            let mut out = [0; 64];
            raw.expand(black_box(&fields), Len(64)).unwrap().fill(&mut out).unwrap();
            out
        });
    });
    group.finish();
}

fn ed25519(c: &mut Criterion) {
    let message = [1; 256];
    let key = SigningKey::from_seed(&Secret::from(KEY));
    let raw = Ed25519KeyPair::from_seed_unchecked(&KEY).unwrap();
    let mut group = c.benchmark_group("keys/ed25519-sign");
    group.bench_function(BenchmarkId::new("symbolon", 256), |b| {
        b.iter(|| key.sign(LABEL, &[black_box(&message)]).unwrap());
    });
    group.bench_function(BenchmarkId::new("aws-lc-rs", 256), |b| b.iter(|| raw.sign(black_box(&message))));
    group.finish();

    let mut group = c.benchmark_group("keys/ed25519-verify");
    let (public, signature) = (key.verifying_key(), key.sign(LABEL, &[&message]).unwrap());
    group.bench_function(BenchmarkId::new("symbolon", 256), |b| {
        b.iter(|| public.verify(LABEL, &[black_box(&message)], &signature).unwrap());
    });
    let signature = raw.sign(&message);
    let public = UnparsedPublicKey::new(&ED25519, raw.public_key().as_ref());
    group.bench_function(BenchmarkId::new("aws-lc-rs", 256), |b| {
        b.iter(|| public.verify(black_box(&message), signature.as_ref()).unwrap());
    });
    group.finish();
}

fn random(c: &mut Criterion) {
    random_of::<24>(c);
    random_of::<32>(c);
    random_of::<1024>(c);
}

fn random_of<const N: usize>(c: &mut Criterion) {
    let mut group = c.benchmark_group("keys/random");
    let mut rng = BufferedRng::new();
    group.bench_function(BenchmarkId::new("buffered", N), |b| b.iter(|| Secret::<N>::generate(&mut rng)));
    group.bench_function(BenchmarkId::new("os", N), |b| b.iter(|| Secret::<N>::generate(&mut OsRng)));
    group.bench_function(BenchmarkId::new("aws-lc-rs", N), |b| {
        b.iter(|| Secret::<N>::try_init_with(|out| aws_lc_rs::rand::fill(out)).unwrap());
    });
    group.finish();
}

fn identity(c: &mut Criterion) {
    let mut group = c.benchmark_group("keys/identity-from-seed");
    for &backend in Backend::ALL {
        group.bench_function(BenchmarkId::new(backend.name(), 32), |b| {
            b.iter(|| Identity::from_seed(backend, Secret::from(KEY)));
        });
    }
    group.finish();
}

criterion_group!(all, aead, x25519, mlkem, derive, ed25519, random, identity);
criterion_main!(all);
