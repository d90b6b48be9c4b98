//! Serving, until somebody says stop.

use core::pin::pin;

use symbolon::ledger::Amount;
use symbolon::{AnyStore, Calculation, Server};
use symbolon_examples::{Failure, interruption};
use tokio::sync::oneshot;

use super::Run;
use super::desk::Desk;
use super::place::{self, Place};

pub(super) async fn run(arguments: Run) -> Result<(), Failure> {
    let Run { listen, pad_price, places } = arguments;
    let listen = listen.ok_or("say where to listen")?;
    let mut interrupted = pin!(interruption()?);
    let place = Place::attach(&places.data)?;
    let identity = place.identity()?;
    let store = AnyStore::attach(&place::url(&places)?).await?;
    let folder = place.folder(&identity)?;
    let (public, age) = (identity.public().clone(), identity.age_key());
    let server = Server::builder(store.clone(), identity, folder)
        .service(Calculation::default())
        .pad_price(Amount::new(pad_price.into()))
        .bind(listen)
        .await?;
    let address = server.local_addr();
    let desk = Desk::open(&place, server.operator(), store, age)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    println!("listening on {address}\nkey         {public}\nfingerprint {}", public.fingerprint());
    tokio::select! {
        () = &mut interrupted => {}
        () = desk.serve() => {}
    }
    println!("stopping");
    let _ = stop.send(());
    running.await?;
    println!("stopped");
    Ok(())
}
