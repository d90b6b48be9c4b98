//! What a restart keeps, and what it refuses to start from.

use symbolon::ledger::{Amount, Pad, PadError, SinglePad};
use symbolon::store::AttachError;
use symbolon::{AnyStore, Calculate, FolderError, ServerFolder};

use crate::world::{User, World, url};

// proves X1 L2 L20
#[tokio::test]
async fn users_mail_balances_and_pads_go_on() {
    let mut world = World::new().await;
    let (alice, bob) = (User::new("alice"), User::new("bob"));
    let client = world.login(&alice).await;
    world.login(&bob).await;
    let table = symbolon::table::Table::new(alice.id, alice.identity.table_key(), client.directory());
    client.deposit(&table.seal(&bob.id, b"kept").await.unwrap()).await.unwrap();
    let (pad, header) = world.buy(&client, 256 << 10, 100, "alice").await;
    let pad = client.with_pad(pad);
    let quote = pad.quote(Calculate::sum([1, 2])).await.unwrap();
    pad.perform(&quote).await.unwrap();
    let position = pad.remaining();
    let store = world.database("unused.db").await;
    drop(store);
    drop(pad);
    drop(table);
    client.close().await.unwrap();

    world.restart().await;
    let client = world.connect(&alice).await;
    client.login(alice.id).await.unwrap();
    let b = world.connect(&bob).await;
    b.login(bob.id).await.unwrap();
    assert_eq!(b.poll(None, 9).await.unwrap().letters.len(), 1);
    let store = world.database("alice.db").await;
    let material = SinglePad::new(world.path("alice.pad"));
    let pad = Pad::attach(&store, &material, header.pad).await.unwrap();
    assert!(pad.remaining().send <= position.send && pad.remaining().receive <= position.receive);
    let pad = client.with_pad(pad);
    assert_eq!(pad.balance().await.unwrap(), Amount::new(96));
    assert_eq!(world.operator.books().await.unwrap().revenue, Amount::new(4));
}

// proves L2
#[tokio::test]
async fn a_pad_without_its_ledger_is_never_started_anew() {
    let world = World::new().await;
    let client = world.connect(&User::new("alice")).await;
    let pad = world.ready(&client, "alice").await;
    pad.seal(b"used").commit().await.unwrap();
    let id = pad.id();
    drop(pad);
    let path = world.path("alice.db");
    std::fs::remove_file(&path).unwrap();
    let missing = AnyStore::attach(&url(&path)).await.unwrap_err();
    assert!(matches!(missing, AttachError::Missing { .. }), "{missing}");
    let new = AnyStore::provision(&url(&world.path("other.db"))).await.unwrap();
    let material = SinglePad::new(world.path("alice.pad"));
    let refused = Pad::attach(&new, &material, id).await.map(drop).unwrap_err();
    assert!(matches!(refused, PadError::LedgerMissing(_)), "{refused}");
}

#[tokio::test]
async fn a_damaged_database_or_folder_is_an_error_that_says_what_to_do() {
    let mut world = World::new().await;
    world.login(&User::new("alice")).await;
    world.stop().await;
    let path = world.path("exchange.db");
    let identity = symbolon::Identity::generate(symbolon::keys::Backend::best(), &mut symbolon::keys::OsRng);
    let folder = world.path("exchange");
    let others = ServerFolder::attach(&folder, &identity).unwrap_err();
    assert!(matches!(others, FolderError::Ring(..)), "{others}");
    let exists = ServerFolder::provision(&folder, &identity).unwrap_err();
    assert!(matches!(exists, FolderError::Exists(_)), "{exists}");
    std::fs::remove_file(folder.join("server-keys.age")).unwrap();
    let missing = ServerFolder::attach(&folder, &identity).unwrap_err();
    assert!(missing.to_string().contains("restore"), "{missing}");

    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..100].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    let damaged = AnyStore::attach(&url(&path)).await.unwrap_err();
    assert!(damaged.to_string().len() > 20, "{damaged}");
}
