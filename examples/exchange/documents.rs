//! Step 6: a document, stored for its owner and re-wrapped for somebody else.

use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};
use symbolon::Client;
use symbolon::envelope::{Context, Header, Record, RecordId, Stanza, UserKey, UserParameters};
use symbolon::keys::{Epoch, OsRng, Secret};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Failure;
use crate::agreement::hex;
use crate::scene::{Scene, User};
use crate::story::Story;

/// The size of the document that is made if none is given.
const GENERATED: usize = 8 << 20;

pub(crate) async fn document_for_the_second_user(
    scene: &Scene,
    given: Option<&Path>,
    alice: &Client,
    bob: &Client,
    story: &mut Story,
) -> Result<(), Failure> {
    story.step("A document under a passphrase's key is stored under the server's, and re-wrapped for the second user");
    if !scene.resumed {
        for user in [&scene.alice, &scene.bob] {
            enrol(scene, user).await?;
        }
    }
    let mine = key_of(scene, &scene.alice, alice).await?;
    let theirs = key_of(scene, &scene.bob, bob).await?;
    story.shows(
        "E8",
        "each user's key comes from the passphrase alone, with a salt that the server keeps: on any machine the same",
        json!({ "users": ["alice", "bob"] }),
    );
    story.shows(
        "E9",
        "the keys passed to the server once, at enrolment, by hand; over the wire they never go",
        json!({ "what goes over the wire": "salt and costs" }),
    );
    let kept = scene.operator.user_key(scene.alice.id).await?.ok_or("the user's key is not kept")?;
    story.check(
        "E1",
        !kept.wrapped.windows(32).any(|bytes| bytes == mine.expose()),
        "the server has a database of its users' shared keys, each wrapped under its own",
        json!({ "user": kept.user.to_string(), "wrapped bytes": kept.wrapped.len(), "server key": kept.server_key }),
    )?;

    let (path, temporary) = match given {
        Some(path) => (path.to_path_buf(), false),
        None => (generate(&scene.folder.join("document"))?, true),
    };
    let (len, digest) = digest(&path).await?;
    let record = RecordId::generate(&mut OsRng);
    let context = Context::new(scene.operator.realm(), record, scene.alice.id);
    let sequence = alice.put(&mine, &context, None, File::open(&path).await?).await?;
    story.shows(
        "E3",
        "the server received it under the user's key, and verified all of it",
        json!({ "bytes": len, "sha256": hex(&digest) }),
    );
    story.shows(
        "E4",
        "it is in the database under the private server key",
        json!({ "record": record.to_string(), "sequence": sequence }),
    );
    let at_rest = scene.operator.record(record).await?.ok_or("the record is not there")?;
    let (header, _) = Header::parse(&at_rest.header)?;
    let stanzas: Vec<&str> = header.stanzas().iter().map(Stanza::kind).collect();
    story.check(
        "E2",
        stanzas.iter().any(|kind| kind.ends_with("/server-key"))
            && !stanzas.iter().any(|kind| kind.contains("shared")),
        "what lies there is addressed to the private server key alone",
        json!({ "stanzas": stanzas, "server key": at_rest.server_key }),
    )?;

    granted_and_taken_back(scene, (alice, bob), &theirs, &at_rest, digest, story).await?;
    if temporary {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// The second user gets the document when the first allows it, and only then.
async fn granted_and_taken_back(
    scene: &Scene,
    (alice, bob): (&Client, &Client),
    theirs: &UserKey,
    at_rest: &Record,
    digest: [u8; 32],
    story: &Story,
) -> Result<(), Failure> {
    let record = at_rest.id;
    let before = crate::scene::fails(fetch(bob, theirs, scene, record)).await;
    alice.grant(record, scene.bob.id).await?;
    let fetched = fetch(bob, theirs, scene, record).await?;
    story.check(
        "E5",
        before.is_some() && fetched == digest,
        "the second user got it under their own key once the first allowed it; the digests match",
        json!({ "before the grant": before, "sha256": hex(&fetched) }),
    )?;
    let still = scene.operator.record(record).await?.ok_or("the record is not there")?;
    story.check(
        "E14",
        still.payload == at_rest.payload,
        "for that the server re-wrapped a header: the payload is the one that lay there, untouched",
        json!({ "header bytes": at_rest.header.len(), "payload bytes": still.payload.len }),
    )?;
    alice.revoke(record, scene.bob.id).await?;
    let after = crate::scene::fails(fetch(bob, theirs, scene, record)).await;
    story.check(
        "E5",
        after.is_some(),
        "and not any more when the first took it back",
        json!({ "error": after }),
    )?;
    Ok(())
}

/// Enrolment, at the counter: the user types the passphrase, and hands the key over.
async fn enrol(scene: &Scene, user: &User) -> Result<(), Failure> {
    let parameters = UserParameters::generate(Epoch::FIRST, &mut OsRng);
    let key = UserKey::derive(scene.operator.realm(), user.id, &user.passphrase, None, &parameters)?;
    Ok(scene.operator.enrol_key(user.id, &key, &parameters).await?)
}

/// The key, derived again from the passphrase and what the server says inside the session.
async fn key_of(scene: &Scene, user: &User, client: &Client) -> Result<UserKey, Failure> {
    let parameters = client.key_parameters(user.id).await?;
    Ok(UserKey::derive(scene.operator.realm(), user.id, &user.passphrase, None, &parameters)?)
}

async fn fetch(client: &Client, key: &UserKey, scene: &Scene, record: RecordId) -> Result<[u8; 32], Failure> {
    let path = scene.folder.join("fetched");
    let mut file = File::create(&path).await?;
    let fetched = client.get(key, scene.operator.realm(), record, &mut file).await;
    file.flush().await?;
    let digest = digest(&path).await;
    std::fs::remove_file(&path)?;
    fetched?;
    Ok(digest?.1)
}

fn generate(path: &Path) -> Result<std::path::PathBuf, Failure> {
    let block = Secret::<4096>::generate(&mut OsRng);
    let bytes: Vec<u8> = block.expose().iter().copied().cycle().take(GENERATED).collect();
    std::fs::write(path, bytes)?;
    Ok(path.to_path_buf())
}

async fn digest(path: &Path) -> Result<(u64, [u8; 32]), Failure> {
    let mut file = File::open(path).await?;
    let (mut hash, mut len, mut buffer) = (Sha256::new(), 0_u64, vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).await? {
            0 => return Ok((len, hash.finalize().into())),
            n => {
                hash.update(buffer.get(..n).unwrap_or_default());
                len = len.saturating_add(u64::try_from(n)?);
            }
        }
    }
}
