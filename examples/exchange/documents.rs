//! Step 6: a document, stored for its owner and re-wrapped for somebody else.

use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};
use symbolon::Client;
use symbolon::envelope::{Context, Derivation, Header, Record, RecordId, Stanza, UserKey, UserParameters};
use symbolon::keys::passphrase::Passphrase;
use symbolon::keys::{Epoch, OsRng, Secret};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Failure;
use crate::agreement::hex;
use crate::place::{At, passphrase_file, private};
use crate::scene::{Scene, User, fails};
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
    story.step(
        "A document under a passphrase's key is stored under the server's, and re-wrapped for the second user",
    )?;
    for user in [&scene.alice, &scene.bob] {
        if scene.operator.user_key(user.id).await?.is_none() {
            enrol(scene, user).await?;
        }
    }
    let mine = key_of(scene, &scene.alice, alice).await?;
    let theirs = key_of(scene, &scene.bob, bob).await?;
    let stranger = on_any_machine(scene, &mine, story).await?;
    let kept = scene.operator.user_key(scene.alice.id).await?.ok_or("the user's key is not kept")?;
    story.check(
        "E1",
        !kept.wrapped.windows(32).any(|bytes| bytes == mine.expose()),
        "the server has a database of its users' shared keys, each wrapped under its own",
        json!({ "user": kept.user.to_string(), "wrapped bytes": kept.wrapped.len(), "server key": kept.server_key }),
    )?;

    let path = match given {
        Some(path) => path.to_path_buf(),
        None => generate(scene.place.scratch("document"))?,
    };
    let (len, digest) = digest(&path).await?;
    let record = RecordId::generate(&mut OsRng);
    let context = Context::new(scene.operator.realm(), record, scene.alice.id);
    let refused = fails(alice.put(&stranger, &context, None, File::open(&path).await.at(&path)?)).await;
    let nothing = scene.operator.record(record).await?.is_none();
    let sequence = alice.put(&mine, &context, None, File::open(&path).await.at(&path)?).await?;
    // All that came over the wire for the key, and that is all that there is to it.
    let UserParameters { derivation, epoch, .. } = alice.key_parameters(scene.alice.id).await?;
    let Derivation { salt, memory_kib, passes, lanes } = derivation;
    story.check(
        "E9",
        refused.is_some() && nothing && kept.derivation == Some(derivation),
        "the key passed to the server once, at enrolment, by hand: over the wire come salt and costs alone, and the \
         server opens what is sealed under the key that they give",
        json!({
            "salt": hex(&salt), "KiB": memory_kib, "passes": passes, "lanes": lanes, "epoch": epoch.to_string(),
            "sealed under another key": refused,
        }),
    )?;
    let at_rest = scene.operator.record(record).await?.ok_or("the record is not there")?;
    story.check(
        "E3",
        at_rest.payload.len >= len,
        "the server received it under the user's key, and verified all of it",
        json!({ "bytes": len, "bytes at rest": at_rest.payload.len, "sha256": hex(&digest) }),
    )?;
    let (header, _) = Header::parse(&at_rest.header)?;
    let stanzas: Vec<&str> = header.stanzas().iter().map(Stanza::kind).collect();
    let of_the_server = stanzas.iter().filter(|kind| kind.ends_with("/server-key")).count();
    story.check(
        "E4",
        of_the_server > 0,
        "it is in the database under the private server key",
        json!({ "record": record.to_string(), "sequence": sequence, "server key": at_rest.server_key }),
    )?;
    story.check(
        "E2",
        !stanzas.iter().any(|kind| kind.contains("shared")),
        "what lies there is addressed to the private server key, and to no user's",
        json!({ "stanzas": stanzas }),
    )?;
    granted_and_taken_back(scene, (alice, bob), &theirs, &at_rest, digest, story).await
}

/// Derives the first user's key once more from what is typed and what the server says, with nothing of before; and from
/// another passphrase, which gives another key.
async fn on_any_machine(scene: &Scene, mine: &UserKey, story: &mut Story) -> Result<UserKey, Failure> {
    let path = passphrase_file(&scene.place.folder, scene.alice.id.as_str());
    let typed: Passphrase = std::fs::read_to_string(&path).at(&path)?.parse()?;
    let machine = scene.connect(&scene.alice).await?;
    let parameters = machine.key_parameters(scene.alice.id).await?;
    machine.close().await?;
    let derive =
        |passphrase| UserKey::derive(scene.operator.realm(), scene.alice.id, passphrase, None, &parameters);
    let there = derive(&typed)?;
    let stranger = derive(&scene.bob.passphrase)?;
    story.check(
        "E8",
        there.expose() == mine.expose() && stranger.expose() != mine.expose(),
        "the key comes from the passphrase alone, with a salt that the server keeps: on any machine the same, and from \
         another passphrase another",
        json!({ "user": scene.alice.id.to_string(), "salt": hex(&parameters.derivation.salt) }),
    )?;
    Ok(stranger)
}

/// The second user gets the document when the first allows it, and only then.
async fn granted_and_taken_back(
    scene: &Scene,
    (alice, bob): (&Client, &Client),
    theirs: &UserKey,
    at_rest: &Record,
    digest: [u8; 32],
    story: &mut Story,
) -> Result<(), Failure> {
    let record = at_rest.id;
    let before = fails(fetch(bob, theirs, scene, record)).await;
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
    let after = fails(fetch(bob, theirs, scene, record)).await;
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

/// Fetches a document into a file that only its owner can read and that does not stay.
async fn fetch(client: &Client, key: &UserKey, scene: &Scene, record: RecordId) -> Result<[u8; 32], Failure> {
    let path = scene.place.scratch("fetched");
    private(&path, &[])?;
    let mut file = File::options().write(true).open(&path).await.at(&path)?;
    let fetched = client.get(key, scene.operator.realm(), record, &mut file).await;
    file.flush().await.at(&path)?;
    let digest = digest(&path).await;
    std::fs::remove_file(&path).at(&path)?;
    fetched?;
    Ok(digest?.1)
}

fn generate(path: PathBuf) -> Result<PathBuf, Failure> {
    let block = Secret::<4096>::generate(&mut OsRng);
    let bytes: Vec<u8> = block.expose().iter().copied().cycle().take(GENERATED).collect();
    private(&path, &bytes)?;
    Ok(path)
}

async fn digest(path: &Path) -> Result<(u64, [u8; 32]), Failure> {
    let mut file = File::open(path).await.at(path)?;
    let (mut hash, mut len, mut buffer) = (Sha256::new(), 0_u64, vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).await.at(path)? {
            0 => return Ok((len, hash.finalize().into())),
            n => {
                hash.update(buffer.get(..n).unwrap_or_default());
                len = len.saturating_add(u64::try_from(n)?);
            }
        }
    }
}
