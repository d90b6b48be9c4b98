//! Serving, until somebody says stop.

use core::pin::pin;

use symbolon::ledger::Amount;
use symbolon::{AnyStore, Calculation, Limits, Rate, Server};
use symbolon_examples::{Failure, interruption};
use tokio::sync::oneshot;

use super::Run;
use super::desk::Desk;
use super::observe::{Log, Metrics};
use super::place::{self, Place};

pub(super) async fn run(arguments: Run) -> Result<(), Failure> {
    let Run { listen, advertise, pad_price, metrics, log, request_rate, places } = arguments;
    let listen = listen.ok_or("say where to listen")?;
    let mut interrupted = pin!(interruption()?);
    // A test may have begun to listen already.
    let _ = tracing::subscriber::set_global_default(Log(log));
    let place = Place::attach(&places.data)?;
    let identity = place.identity()?;
    let store = AnyStore::attach(&place::url(&places)?).await?;
    let folder = place.folder(&identity)?;
    let (public, age) = (identity.public().clone(), identity.age_key());
    let mut limits = Limits::default();
    if let Some(rate) = request_rate {
        limits.request_rate = Rate::new(rate, rate.saturating_mul(5));
    }
    let mut server = Server::builder(store.clone(), identity, folder)
        .service(Calculation::default())
        .pad_price(Amount::new(pad_price.into()))
        .limits(limits);
    if let Some(addr) = advertise {
        server = server.advertise(addr);
    }
    let server = server.bind(listen).await?;
    let address = server.local_addr();
    let desk = Desk::open(&place, server.operator(), store, age)?;
    if let Some(address) = metrics {
        Metrics::serve(address).await?;
    }
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
