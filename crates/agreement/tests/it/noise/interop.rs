//! Live with snow, in both roles, for every pattern and placement of keys that both have; `hfs` through snow's
//! resolver, with our ML-KEM under the only name that snow has for a KEM.

use ml_kem::kem::{Decapsulate, Encapsulate, KeyExport, TryKeyInit};
use ml_kem::{DecapsulationKey768, EncapsulationKey768};
use rand_core::Rng;
use snow::params::{CipherChoice, DHChoice, HashChoice, KemChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Kem, Random};
use symbolon_agreement::noise::{HandshakeState, Protocol, Role};
use symbolon_keys::{Backend, NoisePublicKey, NoiseSecretKey, OsRng, Psk, Secret};

const PATTERNS: [(&str, usize); 12] = [
    ("NN", 2),
    ("NK", 2),
    ("NX", 2),
    ("XN", 3),
    ("XK", 3),
    ("XX", 3),
    ("KN", 2),
    ("KK", 2),
    ("KX", 2),
    ("IN", 2),
    ("IK", 2),
    ("IX", 2),
];

struct Snow {
    protocol: String,
    hybrid: bool,
}

struct Case {
    /// Pattern and modifiers.
    pattern: String,
    hybrid: bool,
    we_initiate: bool,
    backend: Backend,
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

fn run(case: &Case) {
    let Case { pattern, hybrid, we_initiate, backend } = case;
    let base = pattern.split(|c: char| c.is_ascii_lowercase()).next().unwrap();
    let psk_places: Vec<u8> = pattern.split("psk").skip(1).map(|rest| rest.as_bytes()[0] - b'0').collect();
    let psks: Vec<[u8; 32]> = psk_places.iter().map(|_| random()).collect();
    let ours = NoiseSecretKey::generate(*backend, &mut OsRng);
    let theirs = NoiseSecretKey::generate(Backend::Portable, &mut OsRng);
    let [i, r]: [u8; 2] = match base.as_bytes() {
        [i, r] => [*i, *r],
        // One-way patterns are named by their initiator; their responder is always known.
        [i] => [*i, b'K'],
        _ => panic!("{base}"),
    };
    let (we_are_known, they_are_known) =
        if *we_initiate { (i == b'K', r == b'K') } else { (r == b'K', i == b'K') };
    let (our_letter, their_letter) = if *we_initiate { (i, r) } else { (r, i) };

    // Ours.
    let dh = if *hybrid { "25519+MLKEM768" } else { "25519" };
    let protocol: Protocol = format!("Noise_{pattern}_{dh}_ChaChaPoly_SHA256").parse().unwrap();
    let snows =
        format!("Noise_{pattern}_{}_ChaChaPoly_SHA256", if *hybrid { "25519+Kyber1024" } else { "25519" });
    let role = if *we_initiate { Role::Initiator } else { Role::Responder };
    let mut builder =
        HandshakeState::builder(protocol, role).backend(*backend).prologue(b"prologue").hazmat_name(&snows);
    if our_letter != b'N' {
        builder = builder.local_static(&ours);
    }
    if they_are_known {
        builder = builder.remote_static(*theirs.public_key());
    }
    for psk in &psks {
        builder = builder.psk(Psk::from(Secret::from(*psk)));
    }
    let mut us = builder.build().unwrap();

    // Theirs.
    let snow = Snow { protocol: snows, hybrid: *hybrid };
    let mut them =
        snow.build(*we_initiate, &theirs, we_are_known.then_some(ours.public_key()), &psk_places, &psks);

    let mut buffer = vec![0; 65_535];
    while !us.is_complete() {
        if us.is_my_turn() {
            let message = us.write_message(b"ours", &mut OsRng).unwrap();
            let n = them.read_message(&message, &mut buffer).unwrap();
            assert_eq!(&buffer[..n], b"ours");
        } else {
            let n = them.write_message(b"theirs", &mut buffer).unwrap();
            assert_eq!(us.read_message(&buffer[..n]).unwrap(), b"theirs");
        }
    }
    assert_eq!(us.handshake_hash(), them.get_handshake_hash(), "{pattern}");
    assert_eq!(us.remote_static().is_some(), their_letter != b'N');
    let (mut us, mut them) = (us.into_transport().unwrap(), them.into_transport_mode().unwrap());
    let one_way = protocol.is_one_way();
    for _ in 0..3 {
        if *we_initiate || !one_way {
            let n = them.read_message(&us.write_message(b"to them").unwrap(), &mut buffer).unwrap();
            assert_eq!(&buffer[..n], b"to them");
        }
        if !*we_initiate || !one_way {
            let n = them.write_message(b"to us", &mut buffer).unwrap();
            assert_eq!(us.read_message(&buffer[..n]).unwrap(), b"to us");
        }
    }
}

fn run_everywhere(pattern: &str, hybrid: bool) -> usize {
    for we_initiate in [true, false] {
        for &backend in Backend::ALL {
            run(&Case { pattern: pattern.to_owned(), hybrid, we_initiate, backend });
        }
    }
    1
}

#[test]
fn classical() {
    // proves A4, A8, A10
    let mut count = 0;
    for (pattern, messages) in PATTERNS.into_iter().chain([("N", 1), ("K", 1), ("X", 1)]) {
        count += run_everywhere(pattern, false);
        for place in 0..=messages {
            count += run_everywhere(&format!("{pattern}psk{place}"), false);
        }
    }
    count += run_everywhere("XXpsk0+psk3", false);
    count += run_everywhere("NNpsk0+psk1+psk2", false);
    assert_eq!(count, 62);
}

#[test]
fn hybrid() {
    // proves A10
    let mut count = 0;
    for (pattern, messages) in PATTERNS {
        count += run_everywhere(&format!("{pattern}hfs"), true);
        for place in 0..=messages {
            count += run_everywhere(&format!("{pattern}hfs+psk{place}"), true);
        }
    }
    assert_eq!(count, 51);
}

impl Snow {
    fn build(
        &self,
        we_initiate: bool,
        key: &NoiseSecretKey,
        remote: Option<&NoisePublicKey>,
        places: &[u8],
        psks: &[[u8; 32]],
    ) -> snow::HandshakeState {
        let parameters = self.protocol.parse().unwrap();
        let mut builder = if self.hybrid {
            snow::Builder::with_resolver(parameters, Box::new(Resolver))
        } else {
            snow::Builder::new(parameters)
        };
        builder = builder.prologue(b"prologue").unwrap().local_private_key(key.expose().expose()).unwrap();
        if let Some(remote) = remote {
            builder = builder.remote_public_key(remote.as_bytes()).unwrap();
        }
        for (place, psk) in places.iter().zip(psks) {
            builder = builder.psk(*place, psk).unwrap();
        }
        if we_initiate { builder.build_responder() } else { builder.build_initiator() }.unwrap()
    }
}

struct Resolver;

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        DefaultResolver.resolve_rng()
    }
    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }
    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }
    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
    fn resolve_kem(&self, _: &KemChoice) -> Option<Box<dyn Kem>> {
        Some(Box::<MlKem>::default())
    }
}

#[derive(Default)]
struct MlKem {
    secret: Option<DecapsulationKey768>,
    public: Vec<u8>,
}

impl Kem for MlKem {
    fn name(&self) -> &'static str {
        "Kyber1024"
    }
    fn pub_len(&self) -> usize {
        1184
    }
    fn ciphertext_len(&self) -> usize {
        1088
    }
    fn shared_secret_len(&self) -> usize {
        32
    }
    fn generate(&mut self, _: &mut dyn Random) {
        let mut seed = [0; 64];
        OsRng.fill_bytes(&mut seed);
        let secret = DecapsulationKey768::from_seed(seed.into());
        self.public = secret.encapsulation_key().to_bytes().to_vec();
        self.secret = Some(secret);
    }
    fn pubkey(&self) -> &[u8] {
        &self.public
    }
    fn encapsulate(
        &self,
        public: &[u8],
        shared: &mut [u8],
        out: &mut [u8],
    ) -> Result<(usize, usize), snow::Error> {
        let key = EncapsulationKey768::new_from_slice(public).map_err(|_| snow::Error::Kem)?;
        let (ciphertext, secret) = key.encapsulate_with_rng(&mut OsRng);
        shared.copy_from_slice(&secret);
        out.copy_from_slice(&ciphertext);
        Ok((32, 1088))
    }
    fn decapsulate(&self, ciphertext: &[u8], shared: &mut [u8]) -> Result<usize, snow::Error> {
        let secret = self.secret.as_ref().ok_or(snow::Error::Kem)?;
        shared.copy_from_slice(&secret.decapsulate_slice(ciphertext).map_err(|_| snow::Error::Kem)?);
        Ok(32)
    }
}
