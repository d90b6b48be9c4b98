//! Every entry of cacophony's and snow's files for our functions, on every backend; the libp2p vector for `hfs`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use symbolon_agreement::hazmat::FixedRng;
use symbolon_agreement::noise::{HandshakeState, Protocol, Role, TransportState};
use symbolon_keys::{Backend, NoisePublicKey, NoiseSecretKey, Psk, Secret};

/// The files come inside the `snow` package; cargo knows where it unpacked it.
fn snow_vectors() -> PathBuf {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let snow = packages.iter().find(|package| package["name"] == "snow").unwrap();
    Path::new(snow["manifest_path"].as_str().unwrap()).parent().unwrap().join("tests/vectors")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap_or_default()).unwrap()
}

fn bytes32(value: &Value) -> Option<[u8; 32]> {
    value.as_str().map(|text| hex::decode(text).unwrap().try_into().unwrap())
}

struct End {
    state: Option<HandshakeState<'static>>,
    rng: FixedRng,
    transport: Option<TransportState>,
}

impl End {
    fn new(vector: &Value, backend: Backend, protocol: Protocol, role: Role, side: &str) -> Self {
        let field = |name: &str| &vector[format!("{side}_{name}")];
        let prologue: &'static [u8] = bytes(field("prologue")).leak();
        let mut builder = HandshakeState::builder(protocol, role).backend(backend).prologue(prologue);
        if let Some(s) = bytes32(field("static")) {
            builder = builder.local_static(Arc::new(NoiseSecretKey::from_secret(backend, s.into())));
        }
        if let Some(rs) = bytes32(field("remote_static")) {
            builder = builder.remote_static(NoisePublicKey::from_bytes(rs).unwrap());
        }
        for psk in field("psks").as_array().into_iter().flatten() {
            builder = builder.psk(Psk::from(Secret::from(bytes32(psk).unwrap())));
        }
        let rng = FixedRng::new(bytes(field("ephemeral")));
        Self { state: Some(builder.build().unwrap()), rng, transport: None }
    }

    fn write(&mut self, payload: &[u8]) -> Vec<u8> {
        match &mut self.state {
            Some(state) => state.write_message(payload, &mut self.rng).unwrap(),
            None => self.transport.as_mut().unwrap().write_message(payload).unwrap(),
        }
    }

    fn read(&mut self, message: &[u8]) -> Vec<u8> {
        match &mut self.state {
            Some(state) => state.read_message(message).unwrap(),
            None => self.transport.as_mut().unwrap().read_message(message).unwrap(),
        }
    }

    fn advance(&mut self, hash: Option<[u8; 32]>) {
        if self.state.as_ref().is_some_and(HandshakeState::is_complete) {
            let state = self.state.take().unwrap();
            assert!(hash.is_none_or(|hash| hash == *state.handshake_hash()));
            self.transport = Some(state.into_transport().unwrap());
        }
    }
}

fn run(vector: &Value, protocol: Protocol, backend: Backend) {
    let mut i = End::new(vector, backend, protocol, Role::Initiator, "init");
    let mut r = End::new(vector, backend, protocol, Role::Responder, "resp");
    for (index, message) in vector["messages"].as_array().unwrap().iter().enumerate() {
        let (payload, ciphertext) = (bytes(&message["payload"]), bytes(&message["ciphertext"]));
        let from_initiator = protocol.is_one_way() || index % 2 == 0;
        let (from, to) = if from_initiator { (&mut i, &mut r) } else { (&mut r, &mut i) };
        assert_eq!(from.write(&payload), ciphertext, "{protocol} message {index}");
        assert_eq!(to.read(&ciphertext), payload, "{protocol} message {index}");
        let hash = bytes32(&vector["handshake_hash"]);
        i.advance(hash);
        r.advance(hash);
    }
    assert!(i.transport.is_some() && r.transport.is_some(), "{protocol}: the vector ends too early");
}

/// How many vectors of fundamental patterns, and of deferred ones, a file has for our functions.
fn run_file(file: &str) -> (usize, usize) {
    let text = std::fs::read(snow_vectors().join(file)).unwrap();
    let vectors: Value = serde_json::from_slice(&text).unwrap();
    let (mut fundamental, mut deferred) = (0, 0);
    for vector in vectors["vectors"].as_array().unwrap() {
        let name = vector["protocol_name"].as_str().unwrap();
        if !name.ends_with("_25519_ChaChaPoly_SHA256") {
            continue;
        }
        // Before the modifiers: `X1K1psk0` is deferred, `XXpsk3` is not.
        let pattern = name.split('_').nth(1).unwrap();
        let base = pattern.split(|c: char| c.is_ascii_lowercase()).next().unwrap();
        *(if base.contains('1') { &mut deferred } else { &mut fundamental }) += 1;
        for &backend in Backend::ALL {
            run(vector, name.parse().unwrap(), backend);
        }
    }
    (fundamental, deferred)
}

#[test]
fn cacophony() {
    // proves A4, A5
    assert_eq!(run_file("cacophony.txt"), (36, 23));
}

#[test]
fn snow() {
    assert_eq!(run_file("snow.txt"), (28, 23));
}

/// The working draft "Noise PQ" of libp2p, its first vector: the only one published for `hfs` with ML-KEM-768.
#[test]
fn libp2p_xxhfs() {
    // proves A10
    let protocol: Protocol = "Noise_XXhfs_25519+MLKEM768_ChaChaPoly_SHA256".parse().unwrap();
    let state = |role, key| {
        let s = Arc::new(NoiseSecretKey::from_secret(Backend::Portable, Secret::from([key; 32])));
        HandshakeState::builder(protocol, role).backend(Backend::Portable).local_static(s).build().unwrap()
    };
    let (mut i, mut r) = (state(Role::Initiator, 0x11), state(Role::Responder, 0x12));
    let mut i_rng = FixedRng::new([[0x13; 32], [0x15; 32], [0x15; 32]].concat());
    let mut r_rng = FixedRng::new([[0x14; 32], [0x16; 32]].concat());
    let m1 = i.write_message(b"", &mut i_rng).unwrap();
    r.read_message(&m1).unwrap();
    let m2 = r.write_message(b"", &mut r_rng).unwrap();
    i.read_message(&m2).unwrap();
    let m3 = i.write_message(b"", &mut i_rng).unwrap();
    r.read_message(&m3).unwrap();
    assert_eq!((m1.len(), m2.len(), m3.len()), (1216, 1200, 64));
    assert_eq!(
        hex::encode(i.handshake_hash()),
        "b5a3c9854777aa5dad0a633c769bcc6662713f20f14e0371e4bfd253e1869eef"
    );
    // The traffic keys of the vector, through what they encrypt.
    for (state, key) in [
        (i, "0a825d67cbf14170dcccf6f5c54d50f46a9a23541122654f5bec41ef0a5657e5"),
        (r, "f8546817671a440fd8df45b26fd6b45ebbf39e4207455ca12bc6d56ac0b35ebc"),
    ] {
        let key = hex::decode(key).unwrap().try_into().unwrap();
        assert_eq!(state.into_transport().unwrap().write_message(b"").unwrap(), seal_empty(&key));
    }
}

fn seal_empty(key: &[u8; 32]) -> Vec<u8> {
    symbolon_keys::hazmat::ChaChaPoly::new(Backend::Portable, &Secret::from(*key))
        .seal_in_place([0; 12], b"", &mut [])
        .unwrap()
        .to_vec()
}
