//! The crate `age` on the paths of `benches/envelope.rs`, under ids that stand beside ours.

use std::hint::black_box;
use std::io::{self, Write};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn streams(c: &mut Criterion) {
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public();
    let encrypt = |plain: &[u8], to: &mut dyn Write| {
        let recipients = std::iter::once(&recipient as &dyn age::Recipient);
        let mut writer = age::Encryptor::with_recipients(recipients).unwrap().wrap_output(to).unwrap();
        writer.write_all(plain).unwrap();
        writer.finish().unwrap();
    };
    let large = std::env::var_os("SYMBOLON_BENCH_LARGE").map(|_| 1 << 30);
    for size in [100, 1 << 20, 64 << 20].into_iter().chain(large) {
        let data = vec![7; size];
        let mut sealed = Vec::new();
        encrypt(&data, &mut sealed);
        let mut group = c.benchmark_group("envelope/seal");
        group.throughput(Throughput::Bytes(size.try_into().unwrap())).sample_size(10);
        group.bench_function(BenchmarkId::new("age-crate", size), |b| {
            b.iter(|| encrypt(black_box(&data), &mut io::sink()));
        });
        group.finish();
        let mut group = c.benchmark_group("envelope/open");
        group.throughput(Throughput::Bytes(size.try_into().unwrap())).sample_size(10);
        group.bench_function(BenchmarkId::new("age-crate", size), |b| {
            b.iter(|| {
                let decryptor = age::Decryptor::new(black_box(&sealed[..])).unwrap();
                let identities = std::iter::once(&identity as &dyn age::Identity);
                io::copy(&mut decryptor.decrypt(identities).unwrap(), &mut io::sink()).unwrap()
            });
        });
        group.finish();
    }
}

criterion_group!(all, streams);
criterion_main!(all);
