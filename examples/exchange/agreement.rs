//! Steps 1 and 2: agreement, ports, profiles; and those who try to be somebody else.

use core::time::Duration;

use serde_json::json;
use symbolon::Client;
use symbolon::agreement::net::{self, Assigned};
use symbolon::keys::{Backend, Identity, OsRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Failure;
use crate::scene::{Scene, fails};
use crate::story::Story;

/// What the operator stored for each user, and what a user presents.
const PROFILE: &[u8] = b"born 1970-01-01, mother's maiden name Turing";

pub(crate) async fn two_users_connect(scene: &Scene, story: &mut Story) -> Result<(Client, Client), Failure> {
    story.step("A server listens, two users connect, and each is sent to a port of its own")?;
    let well_known = scene.server.port();
    let assigned = net::begin(scene.server, &scene.alice.identity.noise_key(), scene.server_key).await?;
    let port = assigned.assignment().port().map_or(well_known, u16::from);
    story.check(
        "A1",
        well_known != 0,
        "the server answers on its well-known port",
        json!({
            "address": scene.server.to_string(), "key": scene.server_key.to_string(),
            "resumed": scene.place.resumed,
        }),
    )?;
    story.check(
        "A2",
        port != well_known,
        "the answer to the first contact carries a port drawn for it, encrypted",
        json!({ "well-known": well_known, "assigned": port, "valid for s": assigned.assignment().ttl().as_secs() }),
    )?;
    // The first user has not come yet, and another is served.
    let meanwhile = net::begin(scene.server, &scene.bob.identity.noise_key(), scene.server_key).await?;
    let theirs = meanwhile.connect().await?;
    let their_hash = *theirs.handshake_hash();
    let bob = Client::over(theirs);
    let salt_of_bob = bob.key_parameters(scene.bob.id).await?.derivation.salt;
    story.check(
        "A3",
        bob.port() != well_known,
        "the well-known port serves the second user meanwhile",
        json!({ "second user on": bob.port() }),
    )?;
    let session = assigned.connect().await?;
    let suite = session.context().suite().to_string();
    let hash = *session.handshake_hash();
    let alice = Client::over(session);
    story.check(
        "A3",
        alice.port() == port,
        "the first user is on the assigned port",
        json!({ "port": port }),
    )?;
    understood(scene, (&alice, hash), (&bob, their_hash), salt_of_bob, &suite, story).await?;
    let other = Identity::generate(Backend::best(), &mut OsRng);
    let refused =
        fails(Client::connect(scene.server, &scene.alice.identity, *other.public().noise_key())).await;
    story.check(
        "A8",
        refused.is_some(),
        "a server whose key is not the pinned one is left before anything is said",
        json!({ "error": refused }),
    )?;
    Ok((alice, bob))
}

/// What goes over a session is encrypted under the keys that both ends derived: an answer shows that they are the same.
async fn understood(
    scene: &Scene,
    (alice, hash): (&Client, [u8; 32]),
    (bob, their_hash): (&Client, [u8; 32]),
    salt_of_bob: [u8; 16],
    suite: &str,
    story: &mut Story,
) -> Result<(), Failure> {
    let nobody = alice.record("nobody".parse()?).await?;
    let nobody_either = bob.record("nobody".parse()?).await?;
    story.check(
        "A4",
        hash != their_hash && nobody.is_none() && nobody_either.is_none(),
        "both ends of each session computed the same final value: another in every session, and each is understood",
        json!({ "suite": suite, "handshake hash": hex(&hash), "second user's": hex(&their_hash) }),
    )?;
    let salt = alice.key_parameters(scene.alice.id).await?.derivation.salt;
    story.check(
        "A5",
        salt != salt_of_bob,
        "both derived the same traffic keys from it: each request got its own answer",
        json!({ "alice's salt": hex(&salt), "bob's salt": hex(&salt_of_bob) }),
    )?;
    let again = bob.key_parameters(scene.alice.id).await?.derivation.salt;
    story.check(
        "A6",
        again == salt,
        "the server processes encrypted data and answers: over another session the same",
        json!({ "alice's salt, asked by bob": hex(&again) }),
    )
}

pub(crate) async fn profiles_and_thieves(
    scene: &Scene,
    alice: &Client,
    story: &mut Story,
) -> Result<(), Failure> {
    story.step("A profile is compared; strangers and thieves at the assigned port get nothing")?;
    for user in [&scene.alice, &scene.mallory] {
        scene.operator.enrol_profile(user.id, &[user.id.as_str().as_bytes(), PROFILE].concat()).await?;
    }
    alice.register(scene.alice.id, &scene.alice.identity).await?;
    alice.login(scene.alice.id).await?;
    let refused = fails(alice.verify_profile(&[b"alice", PROFILE].concat())).await;
    story.check(
        "A7",
        refused.is_none(),
        "the first user's profile is the stored one",
        json!({ "user": "alice", "error": refused }),
    )?;

    let mallory = scene.connect(&scene.mallory).await?;
    let as_alice = fails(mallory.login(scene.alice.id)).await;
    mallory.register(scene.mallory.id, &scene.mallory.identity).await?;
    mallory.login(scene.mallory.id).await?;
    let wrong = fails(mallory.verify_profile(&[b"alice", PROFILE].concat())).await;
    let ended = fails(mallory.record(scene.alice.id)).await;
    story.check(
        "A7",
        as_alice.is_some() && wrong.is_some() && ended.is_some(),
        "a third party is not let in as the first user, and a wrong profile ends the session",
        json!({ "as alice": as_alice, "wrong profile": wrong, "after that": ended }),
    )?;

    let assigned = net::begin(scene.server, &scene.alice.identity.noise_key(), scene.server_key).await?;
    let rubbish = strike(&assigned, &[0x55; 64]).await?;
    let claim = assigned.claim_message();
    let stolen = strike(&assigned, &claim).await?;
    let owner = Client::claim(assigned).await?;
    let served = owner.record(scene.alice.id).await?.is_some();
    let replayed = fails(replay(&claim, owner.port(), scene)).await;
    story.check(
        "A9",
        served && rubbish.data == 0 && stolen.data == 0 && replayed.is_some(),
        "a stranger's rubbish came first, then a thief with the stolen claim: neither got a session, the owner did; \
         afterwards the claim is worth nothing",
        json!({
            "stranger": rubbish.to_string(), "thief": stolen.to_string(), "owner on": owner.port(),
            "claim replayed after the owner": replayed,
        }),
    )?;
    owner.close().await?;
    Ok(())
}

/// What somebody got who should get nothing.
struct Strike {
    /// Bytes of a challenge, which is worth nothing without the keys.
    challenge: usize,
    /// Bytes after a wrong proof.
    data: usize,
}

impl core::fmt::Display for Strike {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "got a challenge of {} bytes, and {} bytes after it", self.challenge, self.data)
    }
}

/// Connects to the assigned port without the keys, says `message`, and answers any challenge with zeros.
async fn strike(assigned: &Assigned, message: &[u8]) -> Result<Strike, Failure> {
    let mut stream = TcpStream::connect(assigned.address()).await?;
    stream.write_all(message).await?;
    let challenge = answer(&mut stream).await;
    // A proof is `07`, a length of 16, and 16 bytes.
    let mut proof = [0; 19];
    proof[..3].copy_from_slice(&[7, 0, 16]);
    let _ = stream.write_all(&proof).await;
    Ok(Strike { challenge, data: answer(&mut stream).await })
}

/// The claim once more, after the owner used it up.
async fn replay(claim: &[u8], port: u16, scene: &Scene) -> Result<(), String> {
    let replayed = async {
        let mut stream = TcpStream::connect((scene.server.ip(), port)).await?;
        stream.write_all(claim).await?;
        Ok::<_, std::io::Error>(answer(&mut stream).await)
    };
    match replayed.await {
        Ok(0) => Err("no answer".into()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Bytes that come before the other end closes or falls silent.
async fn answer(stream: &mut TcpStream) -> usize {
    let mut buffer = [0; 256];
    match timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
        Ok(Ok(n)) => n,
        Ok(Err(_)) | Err(_) => 0,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
