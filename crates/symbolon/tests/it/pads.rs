//! Services under pads.

use std::time::Duration;

use symbolon::keys::OsRng;
use symbolon::ledger::{Amount, Pad, PadStatus, Provision, SinglePad};
use symbolon::{Calculate, ClientError, PadError, Purchase, RefusalCode, ServiceError};

use tokio::time::timeout;

use crate::world::{User, World, still_pending_after};

fn refusal(error: &ClientError) -> RefusalCode {
    match error {
        ClientError::Refused(refusal) => refusal.code(),
        other => panic!("not a refusal: {other}"),
    }
}

fn code(error: &PadError) -> Option<RefusalCode> {
    error.refusal().map(|refusal| refusal.code())
}

// proves L1 L3 L10 L14 L16 L18 L28
#[tokio::test]
async fn value_and_pad_go_down_together() {
    let world = World::new().await;
    let alice = User::new("alice");
    // No login: the server knows the pad and nobody's name.
    let client = world.connect(&alice).await;
    let (pad, header) = world.buy(&client, 64 << 10, 100, "alice").await;
    assert_eq!(header.value, Amount::new(100));
    let pad = client.with_pad(pad);
    let before = pad.remaining();

    let quote = pad.quote(Calculate::sum([1, 2, 39])).await.unwrap();
    assert_eq!(quote.price(), Amount::new(6));
    assert_eq!(pad.balance().await.unwrap(), Amount::new(100), "a quote charges nothing");
    let done = pad.perform(&quote).await.unwrap();
    assert_eq!((done.answer, done.fee, done.left), (42, Amount::new(6), Amount::new(94)));
    assert_eq!(pad.balance().await.unwrap(), Amount::new(94));
    assert!(pad.remaining().send < before.send && pad.remaining().receive < before.receive);
    let books = world.operator.books().await.unwrap();
    assert_eq!((books.cash, books.revenue), (Amount::new(100), Amount::new(6)));
}

// proves L15
#[tokio::test]
async fn what_the_service_refuses_costs_nothing() {
    let world = World::new().await;
    let client = world.connect(&User::new("alice")).await;
    let (pad, _) = world.buy(&client, 64 << 10, 100, "alice").await;
    let pad = client.with_pad(pad);
    let quote = pad.quote(Calculate::product([i64::MAX, 2])).await.unwrap();
    let refused = pad.perform(&quote).await.unwrap_err();
    assert_eq!(code(&refused), Some(RefusalCode::Service), "{refused}");
    assert_eq!(pad.balance().await.unwrap(), Amount::new(100));
    // The quote was released, and is used up: the same is said every time, over any session.
    let pad = world.connect(&User::new("alice")).await.with_pad(pad.into_pad());
    for _ in 0..2 {
        let again = pad.perform(&quote).await.unwrap_err();
        assert!(matches!(&again, PadError::Refused(why) if Some(why) == refused.refusal()), "{again}");
    }

    let none = pad.quote(Unknown).await.unwrap_err();
    assert_eq!(code(&none), Some(RefusalCode::Service), "{none}");
    let dear = pad.quote(Calculate::sum(0..51)).await.unwrap_err();
    assert_eq!(code(&dear), Some(RefusalCode::Exhausted), "{dear}");
    assert_eq!(pad.balance().await.unwrap(), Amount::new(100));
}

struct Unknown;

impl symbolon::Ask for Unknown {
    type Answer = ();
    const SERVICE: &'static str = "unheard-of";

    fn request(&self) -> Vec<u8> {
        Vec::new()
    }

    fn answer(&self, _: &[u8]) -> Result<(), ServiceError> {
        Ok(())
    }
}

// proves L3 L15
#[tokio::test]
async fn spent_value_closes_the_pad_and_a_spent_pad_gives_the_value_back() {
    let world = World::new().await;
    let client = world.connect(&User::new("alice")).await;

    let (pad, _) = world.buy(&client, 64 << 10, 6, "by-value").await;
    let pad = client.with_pad(pad);
    let quote = pad.quote(Calculate::sum([1, 2, 3])).await.unwrap();
    assert_eq!(pad.perform(&quote).await.unwrap().left, Amount::ZERO);
    let refused = pad.quote(Calculate::sum([1])).await.unwrap_err();
    assert_eq!(code(&refused), Some(RefusalCode::Exhausted), "{refused}");

    let voucher = world.operator.sell_voucher(Amount::new(1_000_000)).await.unwrap();
    let text = voucher.to_text();
    let path = world.path("by-pad.pad");
    let header = client.buy_pad(&Purchase::new(voucher, 4 << 10, &mut OsRng), &path).await.unwrap();
    let store = world.database("by-pad.db").await;
    let material = SinglePad::new(&path);
    let provision = Provision::new(header.pad);
    Pad::provision(&store, &material, provision).await.unwrap();
    let pad = Pad::attach(&store, &material, header.pad).await.unwrap();
    let pad = client.with_pad(pad);
    let mut fees = 0;
    let end = loop {
        match pad.quote(Calculate::sum([1, 2])).await {
            Ok(quote) => match pad.perform(&quote).await {
                Ok(done) => fees += done.fee.minor_units(),
                Err(end) => break end,
            },
            Err(end) => break end,
        }
    };
    assert!(fees > 0);
    let exhausted = matches!(
        end,
        PadError::Pad(symbolon::ledger::PadError::Exhausted { .. })
            | PadError::Pad(symbolon::ledger::PadError::NotOpen(PadStatus::PadSpent))
    );
    assert!(exhausted || code(&end) == Some(RefusalCode::Exhausted), "{end}");
    let books = world.operator.books().await.unwrap();
    assert_eq!(books.cash, Amount::new(1_000_006));
    assert!(books.revenue.minor_units() <= 6 + fees);
    // Whatever the lanes still had, what is left of the value comes back.
    client.close_pad(&text.parse().unwrap(), header.pad).await.unwrap();
    let back = world.operator.value_of(&text.parse().unwrap()).await.unwrap();
    assert_eq!(back, Amount::new(1_000_000 - fees));
}

// proves L15
#[tokio::test]
async fn a_pad_is_closed_before_its_end_and_its_value_comes_back() {
    let world = World::new().await;
    let client = world.connect(&User::new("alice")).await;
    let voucher = world.operator.sell_voucher(Amount::new(100)).await.unwrap();
    let purchase = Purchase::new(voucher, 64 << 10, &mut OsRng);
    let path = world.path("alice.pad");
    let header = client.buy_pad(&purchase, &path).await.unwrap();
    let store = world.database("alice.db").await;
    let material = SinglePad::new(&path);
    Pad::provision(&store, &material, Provision::new(header.pad)).await.unwrap();
    let pad = client.with_pad(Pad::attach(&store, &material, header.pad).await.unwrap());
    let quote = pad.quote(Calculate::sum([1, 2])).await.unwrap();
    pad.perform(&quote).await.unwrap();
    assert_eq!(world.operator.value_of(purchase.voucher()).await.unwrap(), Amount::ZERO);
    client.close_pad(purchase.voucher(), header.pad).await.unwrap();
    assert_eq!(world.operator.value_of(purchase.voucher()).await.unwrap(), Amount::new(100 - 4));
    let closed = pad.balance().await.unwrap_err();
    assert_eq!(code(&closed), Some(RefusalCode::Exhausted), "{closed}");
    // What came back buys another.
    let text = purchase.voucher().to_text();
    let next = Purchase::new(text.parse().unwrap(), 8 << 10, &mut OsRng);
    let header = client.buy_pad(&next, world.path("next.pad")).await.unwrap();
    assert_eq!(header.value, Amount::new(100 - 4));
}

#[tokio::test]
async fn of_a_pad_that_is_closed_unused_the_buyers_half_goes() {
    let world = World::new().await;
    let client = world.connect(&User::new("alice")).await;
    let voucher = world.operator.sell_voucher(Amount::new(100)).await.unwrap();
    let purchase = Purchase::new(voucher, 64 << 10, &mut OsRng);
    let header = client.buy_pad(&purchase, &world.path("alice.pad")).await.unwrap();
    let copies = || {
        let files = std::fs::read_dir(world.path("exchange/pads")).unwrap().map(|file| file.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|end| end == "copy")).count()
    };
    assert_eq!(copies(), 1);
    client.close_pad(purchase.voucher(), header.pad).await.unwrap();
    assert_eq!(copies(), 0);
    let again = client.buy_pad(&purchase, &world.path("again.pad")).await.unwrap_err();
    assert_eq!(refusal(&again), RefusalCode::Conflict, "{again}");
}

// proves L15
#[tokio::test]
async fn a_pad_that_can_say_nothing_more_is_closed_by_its_voucher() {
    let world = World::new().await;
    let client = world.connect(&User::new("alice")).await;
    let text = world.operator.sell_voucher(Amount::new(100)).await.unwrap().to_text();
    let path = world.path("burnt.pad");
    let purchase = Purchase::new(text.parse().unwrap(), 16 << 10, &mut OsRng);
    let header = client.buy_pad(&purchase, &path).await.unwrap();
    let store = world.database("burnt.db").await;
    let material = SinglePad::new(&path);
    Pad::provision(&store, &material, Provision::new(header.pad)).await.unwrap();
    let mut spent = false;
    let mut end = None;
    // Each time it is attached, what was reserved and not used is burnt.
    for _ in 0..200 {
        let pad = match Pad::attach(&store, &material, header.pad).await {
            Ok(pad) => client.with_pad(pad),
            Err(error) => {
                end = Some(PadError::from(error));
                break;
            }
        };
        let step = async {
            if !spent {
                pad.perform(&pad.quote(Calculate::sum([1, 2])).await?).await?;
                spent = true;
            }
            pad.balance().await
        };
        if let Err(error) = step.await {
            end = Some(error);
            break;
        }
    }
    let end = end.expect("the user's lane comes to its end");
    assert!(spent && matches!(end, PadError::Pad(_)), "{end}");

    // Nobody else closes it; whoever paid does, and again.
    let other = world.operator.sell_voucher(Amount::new(100)).await.unwrap();
    assert_eq!(refusal(&client.close_pad(&other, header.pad).await.unwrap_err()), RefusalCode::Denied);
    let nowhere = symbolon::ledger::PadId::generate(&mut OsRng);
    let denied = client.close_pad(purchase.voucher(), nowhere).await.unwrap_err();
    assert_eq!(refusal(&denied), RefusalCode::Denied);
    for _ in 0..2 {
        client.close_pad(purchase.voucher(), header.pad).await.unwrap();
        assert_eq!(world.operator.value_of(purchase.voucher()).await.unwrap(), Amount::new(100 - 4));
    }
}

/// When a future is dropped before it is ready.
#[derive(Clone, Copy, Debug)]
enum Drop {
    After(Duration),
    Polls(usize),
}

impl Drop {
    /// From before anything is sent to after everything has come.
    fn places() -> impl Iterator<Item = Self> {
        let times = (0..10).map(|ms| Self::After(Duration::from_millis(ms)));
        times.chain([1, 2, 3, 5, 8, 13, 21, 30, 40].map(Self::Polls))
    }

    /// Whether it was ready before.
    async fn ready<F: Future + Unpin>(self, mut future: F) -> bool {
        match self {
            Self::After(time) => timeout(time, future).await.is_ok(),
            Self::Polls(polls) => !still_pending_after(polls, &mut future).await,
        }
    }
}

// proves L2
#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_charged_once() {
    let world = World::new().await;
    let alice = User::new("alice");
    let client = world.connect(&alice).await;
    let (pad, _) = world.buy(&client, 256 << 10, 1000, "alice").await;
    let mut pad = client.with_pad(pad);
    let (mut left, mut lost) = (1000, 0);
    for place in Drop::places() {
        let quote = pad.quote(Calculate::sum([20, 22])).await.unwrap();
        if !place.ready(Box::pin(pad.perform(&quote))).await {
            lost += 1;
        }
        // That session may be of no use any more; the pad and the quote are, over another.
        pad = world.connect(&alice).await.with_pad(pad.into_pad());
        left -= 4;
        for _ in 0..2 {
            let done = pad.perform(&quote).await.unwrap();
            assert_eq!(
                (done.answer, done.fee, done.left),
                (42, Amount::new(4), Amount::new(left)),
                "{place:?}"
            );
        }
        assert_eq!(pad.balance().await.unwrap(), Amount::new(left), "{place:?}: charged once");
    }
    assert!(lost > 1, "{lost} answers were lost");
    assert_eq!(world.operator.books().await.unwrap().revenue, Amount::new(1000 - left));
}

// proves L16
#[tokio::test]
async fn a_purchase_that_was_cut_off_goes_on_in_the_same_file() {
    let world = World::new().await;
    let alice = User::new("alice");
    let voucher = world.operator.sell_voucher(Amount::new(100)).await.unwrap();
    let kept = Purchase::new(voucher, 1 << 20, &mut OsRng).to_text();
    let path = world.path("alice.pad");
    let mut lost = 0;
    for place in Drop::places() {
        let client = world.connect(&alice).await;
        // As a program that was started again has it.
        let purchase: Purchase = kept.parse().unwrap();
        let bought = async { client.buy_pad(&purchase, &path).await.unwrap() };
        if place.ready(Box::pin(bought)).await {
            std::fs::remove_file(&path).unwrap();
        } else {
            lost += 1;
            assert!(!path.exists(), "{place:?}: a part of a pad is left");
        }
    }
    assert!(lost > 1, "{lost} were lost");
    let client = world.connect(&alice).await;
    let header = client.buy_pad(&kept.parse().unwrap(), &path).await.unwrap();
    assert_eq!((header.lanes, header.value), ([1 << 19, 1 << 19], Amount::new(100)));
}

// proves L16
#[tokio::test]
async fn a_purchase_that_comes_twice_at_once_is_one() {
    let world = World::new().await;
    let clients = [world.connect(&User::new("alice")).await, world.connect(&User::new("bob")).await];
    for round in 0..8 {
        let voucher = world.operator.sell_voucher(Amount::new(100)).await.unwrap();
        let purchase = Purchase::new(voucher, 1 << 20, &mut OsRng);
        let paths = [0, 1].map(|end| world.path(&format!("{round}-{end}.pad")));
        let [one, two] = &clients;
        let (one, two) = tokio::join!(one.buy_pad(&purchase, &paths[0]), two.buy_pad(&purchase, &paths[1]));
        assert_eq!(one.unwrap().pad, two.unwrap().pad, "{round}");
        assert_eq!(std::fs::read(&paths[0]).unwrap(), std::fs::read(&paths[1]).unwrap(), "{round}");
    }
}

#[tokio::test]
async fn another_pad_than_was_asked_for_is_not_taken() {
    let world = World::new().await;
    let client = world.connect(&User::new("alice")).await;
    let voucher = world.operator.sell_voucher(Amount::new(100)).await.unwrap();
    let purchase = Purchase::new(voucher, 8 << 10, &mut OsRng);
    client.buy_pad(&purchase, world.path("right.pad")).await.unwrap();
    // The same purchase, for a longer pad: the server answers with what was sold.
    let (prefix, mut bytes) = bech32::decode(&purchase.to_text()).unwrap();
    bytes[1 + 32 + 16..].copy_from_slice(&(16_u64 << 10).to_be_bytes());
    let longer: Purchase = bech32::encode::<bech32::Bech32m>(prefix, &bytes).unwrap().parse().unwrap();
    let refused = client.buy_pad(&longer, world.path("wrong.pad")).await.unwrap_err();
    assert!(matches!(refused, ClientError::Protocol("another pad than was bought")), "{refused}");
    assert!(!world.path("wrong.pad").exists());
}

// proves L16
#[tokio::test]
async fn a_voucher_pays_once_and_a_purchase_may_be_repeated() {
    let world = World::new().await;
    let client = world.connect(&User::new("alice")).await;
    let voucher = world.operator.sell_voucher(Amount::new(100)).await.unwrap();
    let text = voucher.to_text();
    let purchase = Purchase::new(voucher, 8 << 10, &mut OsRng);
    let first = client.buy_pad(&purchase, world.path("one.pad")).await.unwrap();
    // As after a lost answer: the same pad again, paid once.
    let second = client.buy_pad(&purchase, world.path("two.pad")).await.unwrap();
    assert_eq!(first.pad, second.pad);
    assert_eq!(std::fs::read(world.path("one.pad")).unwrap(), std::fs::read(world.path("two.pad")).unwrap());
    let exists = client.buy_pad(&purchase, world.path("two.pad")).await.unwrap_err();
    assert!(exists.to_string().contains("exists"), "{exists}");

    let other = Purchase::new(text.parse().unwrap(), 8 << 10, &mut OsRng);
    let refused = client.buy_pad(&other, world.path("three.pad")).await.unwrap_err();
    assert!(refused.to_string().contains("voucher"), "{refused}");
    assert!(!world.path("three.pad").exists());
    let forged = Purchase::new(symbolon::Voucher::generate(&mut OsRng), 8 << 10, &mut OsRng);
    client.buy_pad(&forged, world.path("four.pad")).await.unwrap_err();
    let tiny = world.operator.sell_voucher(Amount::new(1)).await.unwrap();
    client.buy_pad(&Purchase::new(tiny, 10, &mut OsRng), world.path("five.pad")).await.unwrap_err();
}

#[tokio::test]
async fn forged_and_foreign_frames_burn_nothing() {
    let world = World::new().await;
    let alice = User::new("alice");
    let client = world.connect(&alice).await;
    let pad = world.ready(&client, "alice").await;
    // `01` and the CBOR of a question for the balance.
    let frame = pad.seal(b"\x01\x82\x02\x80").commit().await.unwrap();
    for place in (0..frame.len()).step_by(7) {
        let mut forged = frame.clone();
        forged[place] ^= 1;
        let refused = client.frame(&forged).await.unwrap_err();
        let code = refusal(&refused);
        assert!(matches!(code, RefusalCode::Denied | RefusalCode::Malformed), "at {place}: {refused}");
    }
    for cut in [0, 1, 47, frame.len() - 1] {
        client.frame(&frame[..cut]).await.unwrap_err();
    }
    client.frame(&[&frame[..], &[0]].concat()).await.unwrap_err();

    let answer = client.frame(&frame).await.unwrap();
    assert_eq!(client.frame(&frame).await.unwrap(), answer, "the same request, the same bytes");
    let other = world.connect(&alice).await;
    assert_eq!(other.frame(&frame).await.unwrap(), answer, "over another session too");
    pad.open(&answer).await.unwrap();
    other.frame(&answer).await.unwrap_err(); // reflected
    let pad = client.with_pad(pad);
    assert_eq!(pad.balance().await.unwrap(), Amount::new(100));
    let quote = pad.quote(Calculate::sum([1])).await.unwrap();
    assert_eq!(pad.perform(&quote).await.unwrap().answer, 1);
}

// proves L2
#[tokio::test]
async fn a_copy_of_the_users_half_is_found_before_it_uses_a_byte() {
    let world = World::new().await;
    let client = world.connect(&User::new("alice")).await;
    let voucher = world.operator.sell_voucher(Amount::new(100)).await.unwrap();
    let purchase = Purchase::new(voucher, 64 << 10, &mut OsRng);
    let mut pads = Vec::new();
    for name in ["one", "two"] {
        // The same half twice, each with a ledger of its own: two devices, or a thief.
        let path = world.path(&format!("{name}.pad"));
        let header = client.buy_pad(&purchase, &path).await.unwrap();
        let store = world.database(&format!("{name}.db")).await;
        let material = SinglePad::new(&path);
        Pad::provision(&store, &material, Provision::new(header.pad)).await.unwrap();
        pads.push((store, material, header.pad));
    }
    let attach = async |n: usize| {
        let (store, material, id) = &pads[n];
        client.with_pad(Pad::attach(store, material, *id).await.unwrap())
    };
    let first = attach(0).await;
    assert_eq!(first.balance().await.unwrap(), Amount::new(100));
    let kept = first.into_pad();
    drop(kept);
    let second = attach(1).await;
    let halted = second.balance().await.unwrap_err();
    let suspected =
        matches!(halted, PadError::Pad(symbolon::ledger::PadError::NotOpen(PadStatus::RollbackSuspected)));
    assert!(suspected, "{halted}");
    drop(second.into_pad());
    assert_eq!(attach(0).await.balance().await.unwrap(), Amount::new(100), "the first goes on");
}
