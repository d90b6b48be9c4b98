//! Services under pads.

use symbolon::keys::OsRng;
use symbolon::ledger::{Amount, Pad, PadStatus, Provision, SinglePad};
use symbolon::{Calculate, ClientError, PadError, Purchase, RefusalCode, ServiceError};

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
    // The quote was released, and is used up.
    let again = pad.perform(&quote).await.unwrap_err();
    assert!(again.refusal().is_some() || matches!(again, PadError::Pad(_)), "{again}");

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
    // Whatever the server's lane still had, what is left of the value comes back, or still lies in the pad.
    let back = world.operator.value_of(&text.parse().unwrap()).await.unwrap().minor_units();
    assert!(back == 0 || back == 1_000_000 - fees, "{back}");
}

// proves L2
#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_charged_once() {
    let world = World::new().await;
    let alice = User::new("alice");
    let client = world.connect(&alice).await;
    let (pad, _) = world.buy(&client, 64 << 10, 100, "alice").await;
    let pad = client.with_pad(pad);
    let quote = pad.quote(Calculate::sum([20, 22])).await.unwrap();
    // The request is on its way when its future is dropped: whether the server has it, nobody here knows.
    for polls in 0..40 {
        let mut perform = Box::pin(pad.perform(&quote));
        let dropped = still_pending_after(polls, &mut perform).await;
        drop(perform);
        if dropped {
            break;
        }
    }
    // That session is of no use any more; the pad and the quote are, over another.
    let pad = world.connect(&alice).await.with_pad(pad.into_pad());
    let done = pad.perform(&quote).await.unwrap();
    assert_eq!((done.answer, done.fee), (42, Amount::new(4)));
    assert_eq!(pad.balance().await.unwrap(), Amount::new(96), "charged once");
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
