//! Step 5: prepaid pads, services under them, and their end.

use serde_json::json;
use symbolon::keys::OsRng;
use symbolon::ledger::{Amount, Pad, PadHalf, PadId, Provision, SinglePad};
use symbolon::{Ask, Calculate, Client, PadClient, PadError, Purchase, RefusalCode, Voucher};

use crate::Failure;
use crate::scene::Scene;
use crate::story::Story;

/// The pad that is kept from run to run, and the one that is used up in every run.
const KEPT: u64 = 1 << 20;
const SMALL: u64 = 16 << 10;

pub(crate) async fn services_under_a_pad(
    scene: &Scene,
    alice: &Client,
    story: &mut Story,
) -> Result<(), Failure> {
    story.step("A prepaid pad: services under it, value and pad going down together, to the end");
    let path = scene.folder.join("alice.pad");
    if !scene.resumed {
        let voucher = scene.operator.sell_voucher(Amount::new(100_000)).await?;
        let header = alice.buy_pad(&Purchase::new(voucher, KEPT, &mut OsRng), &path).await?;
        story.shows(
            "L1",
            "a pair of identical pads: one half in the user's file, one at the server",
            json!({ "pad": header.pad.to_string(), "bytes": KEPT, "file": path.display().to_string() }),
        );
        let pad = SinglePad::new(&path);
        Pad::provision(&scene.alice.store, &pad, Provision::new(header.pad)).await?;
    }
    let material = SinglePad::new(&path);
    let pad = Pad::attach(&scene.alice.store, &material, material.header()?.pad).await?;
    let kept = alice.with_pad(pad);
    if scene.resumed {
        story.shows("L1", "the pad of the last run goes on", json!({ "pad": kept.id().to_string() }));
    }
    serve(&kept, story).await?;
    repeat(&kept, story).await?;
    let pad = kept.into_pad();
    let (id, left) = (pad.id(), pad.remaining());
    pad.detach().await?;
    goes_on(scene, alice, id, left.send, story).await?;
    to_the_end(scene, alice, story).await
}

/// A calculation, quoted and performed; the value goes down by its fee.
async fn serve<S, H>(pad: &PadClient<S, H>, story: &Story) -> Result<(), Failure>
where
    S: symbolon::ledger::LedgerStore,
    H: PadHalf,
{
    let before = (pad.balance().await?, pad.remaining());
    story.check(
        "L18",
        before.0 > Amount::ZERO,
        "the server found its half by the identifier in the frame",
        json!({ "identifier": pad.id().to_string() }),
    )?;
    story.shows("L3", "the value that is left of what was paid", json!({ "value": before.0.to_string() }));
    let quote = pad.quote(Calculate::sum([1, 2, 39])).await?;
    let price = quote.price();
    let done = pad.perform(&quote).await?;
    let after = (pad.balance().await?, pad.remaining());
    story.check(
        "L28",
        done.answer == 42,
        "a computer calculated on what was sent under the pad",
        json!({ "1 + 2 + 39": done.answer, "service": Calculate::SERVICE }),
    )?;
    story.check(
        "L10",
        before.0.checked_sub(after.0) == Some(done.fee) && done.left == after.0 && done.fee <= price,
        "a message under the pad, a service in response, the value adjusted",
        json!({ "quoted": price.to_string(), "fee": done.fee.to_string(), "value left": after.0.to_string() }),
    )?;
    story.check(
        "L14",
        after.1.receive < before.1.receive && after.1.send < before.1.send,
        "the answers were encrypted with the server's part of the pad: both lanes went down",
        json!({
            "user's lane": [before.1.send, after.1.send], "server's lane": [before.1.receive, after.1.receive],
        }),
    )
}

/// The same request again: the same answer, and nothing charged twice.
async fn repeat<S, H>(pad: &PadClient<S, H>, story: &Story) -> Result<(), Failure>
where
    S: symbolon::ledger::LedgerStore,
    H: PadHalf,
{
    let quote = pad.quote(Calculate::mean([10, 20])).await?;
    let first = pad.perform(&quote).await?;
    let left = pad.remaining();
    let again = pad.perform(&quote).await?;
    story.check(
        "L2",
        again == first && pad.remaining() == left && pad.balance().await? == first.left,
        "asked again, the same answer: nothing is charged twice, and no byte of the pad serves twice",
        json!({ "mean of 10 and 20": again.answer, "value left": again.left.to_string() }),
    )
}

/// Attached again, the pad goes on beyond where it was.
async fn goes_on(scene: &Scene, alice: &Client, id: PadId, left: u64, story: &Story) -> Result<(), Failure> {
    let material = SinglePad::new(scene.folder.join("alice.pad"));
    let pad = alice.with_pad(Pad::attach(&scene.alice.store, &material, id).await?);
    let now = pad.remaining().send;
    story.check(
        "L2",
        now <= left,
        "attached again, the pad goes on beyond its last reservation; what was reserved and not used is burnt",
        json!({ "left before": left, "left now": now }),
    )?;
    pad.balance().await?;
    pad.into_pad().detach().await?;
    Ok(())
}

/// A small pad with little value, used until the server says that it is spent.
async fn to_the_end(scene: &Scene, alice: &Client, story: &Story) -> Result<(), Failure> {
    let earned_before = scene.operator.books().await?.revenue;
    let voucher = scene.operator.sell_voucher(Amount::new(50)).await?;
    let text = voucher.to_text();
    let path = scene.folder.join(format!("small-{:08x}.pad", std::process::id()));
    let header = alice.buy_pad(&Purchase::new(voucher, SMALL, &mut OsRng), &path).await?;
    story.check(
        "L16",
        header.value == Amount::new(50),
        "the pad's value is what was paid for it",
        json!({ "value": header.value.to_string() }),
    )?;
    let store = &scene.alice.store;
    let material = SinglePad::new(&path);
    Pad::provision(store, &material, Provision::new(header.pad)).await?;
    let pad = alice.with_pad(Pad::attach(store, &material, header.pad).await?);
    let mut served = 0_u32;
    let end = loop {
        match one_more(&pad).await {
            Ok(()) => served = served.saturating_add(1),
            Err(error) => break error,
        }
    };
    let exhausted = match &end {
        PadError::Pad(error) => matches!(
            error,
            symbolon::ledger::PadError::Exhausted { .. } | symbolon::ledger::PadError::NotOpen(_)
        ),
        other => other.refusal().is_some_and(|refusal| refusal.code() == RefusalCode::Exhausted),
    };
    story.check(
        "L15",
        served > 0 && exhausted,
        "the last request is refused as exhausted, and costs nothing",
        json!({ "served": served, "then": end.to_string() }),
    )?;
    let voucher: Voucher = text.parse()?;
    let back = scene.operator.value_of(&voucher).await?;
    let earned = scene.operator.books().await?.revenue.saturating_sub(earned_before);
    story.check(
        "L20",
        earned.checked_add(back) == Some(Amount::new(50)),
        "the server's accounts: of the pad's worth the services were earned, and any rest went back to the voucher",
        json!({ "earned": earned.to_string(), "back on the voucher": back.to_string() }),
    )?;
    drop(pad);
    std::fs::remove_file(&path)?;
    Ok(())
}

async fn one_more<S, H>(pad: &PadClient<S, H>) -> Result<(), PadError>
where
    S: symbolon::ledger::LedgerStore,
    H: PadHalf,
{
    let quote = pad.quote(Calculate::sum([1, 2, 3, 4, 5])).await?;
    pad.perform(&quote).await.map(drop)
}
