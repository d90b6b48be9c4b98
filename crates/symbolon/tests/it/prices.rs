//! What a quote is good for, and what becomes of it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use symbolon::keys::OsRng;
use symbolon::ledger::{Amount, OutboxId};
use symbolon::{
    Ask, Calculate, Calculation, Courier, PadError, Performed, Purchase, RefusalCode, Service, ServiceError,
};

use crate::world::{User, World};

fn code(error: &PadError) -> Option<RefusalCode> {
    error.refusal().map(|refusal| refusal.code())
}

/// Asks the price of a small request, and then for a large one.
struct Cheat(AtomicU32);

impl Ask for Cheat {
    type Answer = i64;
    const SERVICE: &'static str = "calculation";

    fn request(&self) -> Vec<u8> {
        let first = self.0.fetch_add(1, Ordering::Relaxed) == 0;
        Calculate::sum(0..if first { 1 } else { 40 }).request()
    }

    fn answer(&self, bytes: &[u8]) -> Result<i64, ServiceError> {
        Calculate::sum([]).answer(bytes)
    }
}

// proves L10 L16
#[tokio::test]
async fn a_quote_is_for_what_was_quoted() {
    let world = World::new().await;
    let client = world.connect(&User::new("alice")).await;
    let (pad, _) = world.buy(&client, 64 << 10, 100, "alice").await;
    let pad = client.with_pad(pad);
    let quote = pad.quote(Cheat(AtomicU32::new(0))).await.unwrap();
    assert_eq!(quote.price(), Amount::new(2));
    let refused = pad.perform(&quote).await.unwrap_err();
    assert_eq!(code(&refused), Some(RefusalCode::Denied), "{refused}");
    assert_eq!(pad.balance().await.unwrap(), Amount::new(100));
}

#[tokio::test]
async fn what_costs_nothing_is_served_for_nothing() {
    let world = World::with(|server| server.service(Calculation::at(Amount::ZERO))).await;
    let client = world.connect(&User::new("alice")).await;
    let (pad, _) = world.buy(&client, 64 << 10, 100, "alice").await;
    let pad = client.with_pad(pad);
    let quote = pad.quote(Calculate::sum([1, 2])).await.unwrap();
    assert_eq!(quote.price(), Amount::ZERO);
    let done = pad.perform(&quote).await.unwrap();
    assert_eq!((done.answer, done.fee, done.left), (3, Amount::ZERO, Amount::new(100)));
}

/// Quotes ten, takes nothing in the end, and has something done elsewhere.
struct Rebate;

impl Service for Rebate {
    fn name(&self) -> &'static str {
        "calculation"
    }

    fn quote(&self, _: &[u8]) -> Result<Amount, ServiceError> {
        Ok(Amount::new(10))
    }

    async fn perform(&self, _: &[u8]) -> Result<Performed, ServiceError> {
        let mut performed = Performed::new(3_i64.to_be_bytes().to_vec(), Amount::ZERO);
        performed.outbox.push(b"tell them".to_vec());
        Ok(performed)
    }
}

type Delivered = Vec<(OutboxId, Vec<u8>)>;

/// Fails the first time.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<Delivered>>);

impl Courier for Recorded {
    async fn deliver(&self, id: OutboxId, payload: &[u8]) -> Result<(), ServiceError> {
        let mut delivered = self.0.lock().unwrap();
        delivered.push((id, payload.to_vec()));
        if delivered.len() == 1 { Err(ServiceError::Refused("not now".into())) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_fee_of_nothing_releases_the_hold_and_the_courier_gets_the_rest() {
    let courier = Recorded::default();
    let world = World::with(|server| server.service(Rebate).courier(courier.clone())).await;
    let client = world.connect(&User::new("alice")).await;
    let (pad, _) = world.buy(&client, 64 << 10, 10, "alice").await;
    let pad = client.with_pad(pad);
    for _ in 0..2 {
        let quote = pad.quote(Calculate::sum([1, 2])).await.unwrap();
        let done = pad.perform(&quote).await.unwrap();
        assert_eq!((done.answer, done.fee, done.left), (3, Amount::ZERO, Amount::new(10)));
    }
    for _ in 0..4 {
        world.operator.housekeep().await;
    }
    let delivered = courier.0.lock().unwrap().clone();
    assert_eq!(delivered.len(), 3, "two, and the one that failed once more");
    assert_eq!(delivered[0], delivered[1], "the same again");
    assert!(delivered.iter().all(|(_, payload)| payload == b"tell them"));
}

#[tokio::test]
async fn a_forgotten_quote_gives_back_what_it_set_aside() {
    let world = World::with(|server| server.quote_ttl(Duration::ZERO)).await;
    let client = world.connect(&User::new("alice")).await;
    let (pad, _) = world.buy(&client, 64 << 10, 100, "alice").await;
    let pad = client.with_pad(pad);
    let forgotten = pad.quote(Calculate::sum(0..48)).await.unwrap();
    let late = pad.perform(&forgotten).await.unwrap_err();
    assert_eq!(code(&late), Some(RefusalCode::Denied), "{late}");
    world.operator.housekeep().await;
    let again = pad.quote(Calculate::sum(0..48)).await.unwrap();
    assert_eq!(again.price(), Amount::new(96));
}

// proves L16
#[tokio::test]
async fn of_two_purchases_with_one_voucher_one_is_made() {
    let world = World::new().await;
    let voucher = world.operator.sell_voucher(Amount::new(100)).await.unwrap();
    let text = voucher.to_text();
    let (a, b) = (world.connect(&User::new("a")).await, world.connect(&User::new("b")).await);
    let first = Purchase::new(voucher, 1 << 20, &mut OsRng);
    let second = Purchase::new(text.parse().unwrap(), 1 << 20, &mut OsRng);
    let (x, y) = (world.path("a.pad"), world.path("b.pad"));
    let (bought, too) = tokio::join!(a.buy_pad(&first, &x), b.buy_pad(&second, &y));
    assert!(bought.is_ok() != too.is_ok(), "{bought:?} {too:?}");
    assert_eq!(world.operator.value_of(&text.parse().unwrap()).await.unwrap(), Amount::ZERO);
    let left = std::fs::read_dir(world.path("exchange/pads")).unwrap().count();
    assert_eq!(left, 2, "one half here, one for the buyer");
}
