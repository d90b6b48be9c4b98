//! The hot paths of `symbolon-agreement`: handshakes, transport messages, and whole sessions over loopback.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_lossless,
    clippy::indexing_slicing,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "a bench may panic, and has std"
)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use symbolon_agreement::net::{self, Connector, Listener};
use symbolon_agreement::noise::{HandshakeState, Protocol, Role, TransportState};
use symbolon_agreement::{Arrival, Initiator, Responder, Suite, Terms};
use symbolon_keys::hazmat::ChaChaPoly;
use symbolon_keys::{Backend, BufferedRng, NoisePublicKey, NoiseSecretKey, OsRng, Secret, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn key(backend: Backend) -> NoiseSecretKey {
    NoiseSecretKey::generate(backend, &mut OsRng)
}

/// Both ends of a handshake, on one thread, static keys at hand.
fn handshakes(c: &mut Criterion) {
    let mut group = c.benchmark_group("agreement/handshake-classical");
    for &backend in Backend::ALL {
        let protocol: Protocol = "Noise_XX_25519_ChaChaPoly_SHA256".parse().unwrap();
        let keys = [key(backend), key(backend)];
        group.bench_function(BenchmarkId::new(backend.name(), "XX"), |b| {
            b.iter(|| handshake(protocol, backend, &keys));
        });
        let (responder, mine) = (Responder::new(key(backend)).backend(backend), key(backend));
        group.bench_function(BenchmarkId::new(backend.name(), "XX-to-session"), |b| {
            let responder = responder.clone().suites(&[Suite::XX]);
            b.iter(|| exchange(&responder, &mine, backend, false));
        });
    }
    let statics = [0; 2].map(|_| snow_builder().generate_keypair().unwrap().private);
    group.bench_function(BenchmarkId::new("snow", "XX"), |b| b.iter(|| snow_handshake(&statics)));
    for (name, provider) in
        [("rustls-aws-lc", aws_lc_rs::default_provider()), ("rustls-ring", ring::default_provider())]
    {
        let group_of = provider.kx_groups.iter().find(|group| group.name() == rustls::NamedGroup::X25519);
        let tls = Tls::new(CryptoProvider { kx_groups: vec![*group_of.unwrap()], ..provider });
        group.bench_function(BenchmarkId::new(name, "X25519"), |b| b.iter(|| tls.handshake()));
    }
    group.finish();

    let mut group = c.benchmark_group("agreement/handshake-hybrid");
    for &backend in Backend::ALL {
        let protocol: Protocol = "Noise_XXhfs_25519+MLKEM768_ChaChaPoly_SHA256".parse().unwrap();
        let keys = [key(backend), key(backend)];
        group.bench_function(BenchmarkId::new(backend.name(), "XXhfs"), |b| {
            b.iter(|| handshake(protocol, backend, &keys));
        });
        let (responder, mine) = (Responder::new(key(backend)).backend(backend), key(backend));
        group.bench_function(BenchmarkId::new(backend.name(), "XXhfs-to-session"), |b| {
            b.iter(|| exchange(&responder, &mine, backend, true));
        });
    }
    let tls = Tls::new(hybrid_provider());
    group.bench_function(BenchmarkId::new("rustls-aws-lc", "X25519MLKEM768"), |b| b.iter(|| tls.handshake()));
    group.finish();
}

fn handshake(protocol: Protocol, backend: Backend, keys: &[NoiseSecretKey; 2]) -> [TransportState; 2] {
    let state = |role, key| {
        HandshakeState::builder(protocol, role).backend(backend).local_static(key).build().unwrap()
    };
    let (mut i, mut r) = (state(Role::Initiator, &keys[0]), state(Role::Responder, &keys[1]));
    while !i.is_complete() {
        let (from, to) = if i.is_my_turn() { (&mut i, &mut r) } else { (&mut r, &mut i) };
        let message = from.write_message(&[], &mut BufferedRng::new()).unwrap();
        to.read_message(&message).unwrap();
    }
    [i.into_transport().unwrap(), r.into_transport().unwrap()]
}

/// Hello, handshake, assignment, claim and path proof.
fn exchange(responder: &Responder, mine: &NoiseSecretKey, backend: Backend, hybrid: bool) {
    let (now, rng) = (UnixTime::from_secs(0), &mut OsRng);
    let builder = Initiator::xx(mine).expect(*responder.public_key()).backend(backend);
    let builder = if hybrid { builder } else { builder.classical() };
    let mut i = builder.start(rng).unwrap();
    let received = responder.receive(i.body(), None).unwrap();
    let (m2, mut ticket) = received.answer(Terms::new().port(1), now, rng).unwrap();
    let (mut claim, _) = i.receive(&m2).unwrap().claim().unwrap();
    let challenged = ticket.claim(claim.body(), Arrival::Port(1), now, rng).unwrap();
    let (proof, _) = claim.answer(&challenged.message).unwrap();
    ticket.prove(challenged.path, &proof, now).unwrap();
}

fn snow_builder<'a>() -> snow::Builder<'a> {
    snow::Builder::new("Noise_XX_25519_ChaChaPoly_SHA256".parse().unwrap())
}

fn snow_handshake(statics: &[Vec<u8>; 2]) -> [snow::TransportState; 2] {
    let mut i = snow_builder().local_private_key(&statics[0]).unwrap().build_initiator().unwrap();
    let mut r = snow_builder().local_private_key(&statics[1]).unwrap().build_responder().unwrap();
    let (mut message, mut payload) = ([0; 256], [0; 256]);
    while !i.is_handshake_finished() {
        let (from, to) = if i.is_my_turn() { (&mut i, &mut r) } else { (&mut r, &mut i) };
        let n = from.write_message(&[], &mut message).unwrap();
        to.read_message(&message[..n], &mut payload).unwrap();
    }
    [i.into_transport_mode().unwrap(), r.into_transport_mode().unwrap()]
}

/// One direction, in place where the peer can.
fn transport(c: &mut Criterion) {
    let mut group = c.benchmark_group("agreement/seal");
    for size in [64, 1024, 16 * 1024, 65_519] {
        group.throughput(Throughput::Bytes(size.try_into().unwrap()));
        for &backend in Backend::ALL {
            let protocol: Protocol = "Noise_XX_25519_ChaChaPoly_SHA256".parse().unwrap();
            let [i, _] = handshake(protocol, backend, &[key(backend), key(backend)]);
            let (mut sender, _, _) = i.into_parts();
            let mut data = vec![0; size];
            group.bench_function(BenchmarkId::new(backend.name(), size), |b| {
                b.iter(|| sender.encrypt_in_place(&[], &mut data).unwrap());
            });
            let raw = ChaChaPoly::new(backend, &Secret::from([7; 32]));
            group.bench_function(BenchmarkId::new(format!("raw-{backend}"), size), |b| {
                b.iter(|| raw.seal_in_place([0; 12], &[], &mut data).unwrap());
            });
        }
        let [mut snow, _] =
            snow_handshake(&[0; 2].map(|_| snow_builder().generate_keypair().unwrap().private));
        let (data, mut out) = (vec![0; size], vec![0; size + 16]);
        group.bench_function(BenchmarkId::new("snow", size), |b| {
            b.iter(|| snow.write_message(&data, &mut out).unwrap());
        });
    }
    group.finish();
}

/// Whole sessions over loopback: connect, handshake, one message each way, close. Ours opens two connections.
fn sessions(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut group = c.benchmark_group("agreement/session");
    for (hybrid, name) in [(false, "classical"), (true, "hybrid")] {
        let (addr, server) = runtime.block_on(serve());
        let mine = key(Backend::best());
        group.bench_function(BenchmarkId::new("symbolon", name), |b| {
            let session = async || {
                let builder = Initiator::xx(&mine).expect(server);
                let builder = if hybrid { builder } else { builder.classical() };
                let mut session = Connector::new(builder).connect(addr).await.unwrap();
                session.send(b"hello").await.unwrap();
                session.recv().await.unwrap();
            };
            b.iter(|| runtime.block_on(session()));
        });
        let provider = if hybrid { hybrid_provider() } else { classical_provider() };
        let tls = Tls::new(provider);
        let addr = runtime.block_on(tls.serve());
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&tls.client));
        group.bench_function(BenchmarkId::new("rustls-aws-lc", name), |b| {
            let session = async || {
                let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut stream = connector.connect(tls.name.clone(), stream).await.unwrap();
                stream.write_all(b"hello").await.unwrap();
                stream.read_exact(&mut [0; 5]).await.unwrap();
            };
            b.iter(|| runtime.block_on(session()));
        });
    }
    group.finish();
}

async fn serve() -> (SocketAddr, NoisePublicKey) {
    let key = key(Backend::best());
    let server = *key.public_key();
    // All clients come from one address here: its share is all there is.
    let policy = net::Policy::default().tickets(symbolon_agreement::TicketLimits::new(4096, 4096, 4096));
    let suites = [Suite::XX, Suite::XX_HYBRID];
    let listener = Listener::bind("127.0.0.1:0", key).suites(&suites).policy(policy).await.unwrap();
    let addr = listener.local_addr();
    tokio::spawn(async move {
        while let Some(mut session) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(Some(message)) = session.recv().await {
                    session.send(&message).await.ok();
                }
            });
        }
    });
    (addr, server)
}

/// TLS 1.3 with an Ed25519 certificate, verified in full; no resumption.
struct Tls {
    client: Arc<rustls::ClientConfig>,
    server: Arc<rustls::ServerConfig>,
    name: ServerName<'static>,
}

fn classical_provider() -> CryptoProvider {
    let provider = aws_lc_rs::default_provider();
    let group = provider.kx_groups.iter().find(|group| group.name() == rustls::NamedGroup::X25519);
    CryptoProvider { kx_groups: vec![*group.unwrap()], ..provider }
}

fn hybrid_provider() -> CryptoProvider {
    CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768], ..aws_lc_rs::default_provider() }
}

impl Tls {
    fn new(provider: CryptoProvider) -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate =
            rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let certificate: CertificateDer<'static> = certificate.der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(provider);
        let mut client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = rustls::client::Resumption::disabled();
        let mut server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        server.send_tls13_tickets = 0;
        let name = ServerName::try_from("localhost").unwrap();
        Self { client: Arc::new(client), server: Arc::new(server), name }
    }

    fn handshake(&self) {
        let mut client = rustls::ClientConnection::new(Arc::clone(&self.client), self.name.clone()).unwrap();
        let mut server = rustls::ServerConnection::new(Arc::clone(&self.server)).unwrap();
        let mut buffer = Vec::with_capacity(4096);
        while client.is_handshaking() || server.is_handshaking() {
            buffer.clear();
            while client.wants_write() {
                client.write_tls(&mut buffer).unwrap();
            }
            let mut bytes: &[u8] = &buffer;
            while !bytes.is_empty() {
                server.read_tls(&mut bytes).unwrap();
                server.process_new_packets().unwrap();
            }
            buffer.clear();
            while server.wants_write() {
                server.write_tls(&mut buffer).unwrap();
            }
            let mut bytes: &[u8] = &buffer;
            while !bytes.is_empty() {
                client.read_tls(&mut bytes).unwrap();
                client.process_new_packets().unwrap();
            }
        }
    }

    async fn serve(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&self.server));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    stream.set_nodelay(true)?;
                    let mut stream = acceptor.accept(stream).await?;
                    let mut message = [0; 5];
                    while stream.read_exact(&mut message).await.is_ok() {
                        stream.write_all(&message).await?;
                    }
                    io::Result::Ok(())
                });
            }
        });
        addr
    }
}

criterion_group!(all, handshakes, transport, sessions);
criterion_main!(all);
