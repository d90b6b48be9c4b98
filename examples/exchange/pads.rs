//! Step 5: the prepaid pad that is kept from run to run, and services under it.

use std::fs;
use std::path::Path;

use serde_json::json;
use symbolon::keys::OsRng;
use symbolon::ledger::material::FileHalf;
use symbolon::ledger::{Amount, Pad, PadError, PadHeader, PadId, Provision, SinglePad};
use symbolon::{AnyStore, Ask, Calculate, Client, PadClient, Purchase, Voucher};

use crate::Failure;
use crate::ends;
use crate::place::At;
use crate::scene::{Scene, User};
use crate::story::Story;

/// Bytes of the pad that is kept.
const KEPT: u64 = 1 << 20;
const WORTH: Amount = Amount::new(100_000);
/// What a run may need of a lane: two batches are burnt when the pad is attached twice, and one is used.
pub(crate) const FOR_A_RUN: u64 = 3 * KEPT / 128;

/// The pad's file; the voucher that gets back what is left of its value; and the purchase, until the
/// pad is there.
const PAD: &str = "alice.pad";
const VOUCHER: &str = "alice.voucher";
const PURCHASE: &str = "alice.purchase";

pub(crate) type Half = Pad<AnyStore, FileHalf>;
pub(crate) type Under = PadClient<AnyStore, FileHalf>;

pub(crate) async fn services_under_a_pad(
    scene: &Scene,
    alice: &Client,
    story: &mut Story,
) -> Result<(), Failure> {
    story.step("A prepaid pad: services under it, value and pad going down together, to the end")?;
    let kept = alice.with_pad(the_kept_pad(scene, alice, story).await?);
    let start = kept.remaining();
    let value = kept.balance().await?;
    story.check(
        "L18",
        value > Amount::ZERO,
        "the server found its half by the identifier in the frame",
        json!({
            "identifier": kept.id().to_string(), "value": value.to_string(),
            "left of the user's lane": start.send, "left of the server's lane": start.receive,
        }),
    )?;
    serve(&kept, story).await?;
    repeat(&kept, story).await?;
    let pad = kept.into_pad();
    let (id, left) = (pad.id(), pad.remaining().send);
    pad.detach().await?;
    goes_on(scene, alice, id, left, story).await?;
    ends::by_value(scene, alice, story).await?;
    ends::by_pad(scene, alice, story).await
}

/// The pad of the last run, or a new one: each file in the folder says how far things have come.
pub(crate) async fn the_kept_pad(scene: &Scene, alice: &Client, story: &mut Story) -> Result<Half, Failure> {
    let path = scene.place.folder.join(PAD);
    if path.try_exists().at(&path)? {
        let pad = attached(&scene.alice, &path).await?;
        let left = pad.remaining();
        if left.send >= FOR_A_RUN && left.receive >= FOR_A_RUN {
            // If the run that bought it did not come to this.
            forget_purchase(scene)?;
            let what = "the pad of an earlier run goes on";
            story.shows("L1", what, json!({ "pad": pad.id().to_string(), "bought": false }))?;
            return Ok(pad);
        }
        use_up(scene, alice.with_pad(pad), story).await?;
    } else if text_in(scene, PURCHASE)?.is_none() && voucher_kept(scene).await? == Some(Amount::ZERO) {
        let path = path.display();
        return Err(format!("{path}: the pad that was bought is gone; what it holds needs that file").into());
    }
    let header = buy(scene, alice, story).await?;
    let pad = attached(&scene.alice, &path).await?;
    forget_purchase(scene)?;
    story.check(
        "L16",
        header.value > Amount::ZERO && pad.id() == header.pad,
        "the pad's value is what was paid for it",
        json!({ "value": header.value.to_string() }),
    )?;
    Ok(pad)
}

/// Takes a pad into use. One whose file is there and that no ledger ever knew is provisioned first; one that lost its
/// ledger is an error.
pub(crate) async fn attached(user: &User, path: &Path) -> Result<Half, Failure> {
    let material = SinglePad::new(path);
    let id = material.header()?.pad;
    match Pad::attach(&user.store, &material, id).await {
        Err(PadError::NotProvisioned(_)) => {
            Pad::provision(&user.store, &material, Provision::new(id)).await?;
            Ok(Pad::attach(&user.store, &material, id).await?)
        }
        attached => Ok(attached?),
    }
}

/// Buys a pad, or goes on with a purchase that was interrupted: the same again buys nothing twice.
async fn buy(scene: &Scene, alice: &Client, story: &mut Story) -> Result<PadHeader, Failure> {
    let purchase: Purchase = match text_in(scene, PURCHASE)? {
        Some(text) => text.trim().parse()?,
        None => {
            let purchase = Purchase::new(voucher(scene).await?, KEPT, &mut OsRng);
            scene.place.keep(PURCHASE, purchase.to_text().as_bytes())?;
            purchase
        }
    };
    let new = scene.place.scratch("kept.pad");
    let header = alice.buy_pad(&purchase, &new).await?;
    let pair = ends::lanes(&new)? == ends::lanes(&ends::server_half(scene, header.pad))?;
    scene.place.move_in(&new, PAD)?;
    story.check(
        "L1",
        pair,
        "a pair of identical pads: one half in the user's file, one at the server",
        json!({
            "pad": header.pad.to_string(), "bytes": KEPT, "bought": true,
            "file": scene.place.folder.join(PAD).display().to_string(),
        }),
    )?;
    Ok(header)
}

/// The voucher at hand if it is worth anything: what was left of the last pad came back to it. Else another.
async fn voucher(scene: &Scene) -> Result<Voucher, Failure> {
    if voucher_kept(scene).await?.is_some_and(|worth| !worth.is_zero())
        && let Some(text) = text_in(scene, VOUCHER)?
    {
        return Ok(text.trim().parse()?);
    }
    let voucher = scene.operator.sell_voucher(WORTH).await?;
    scene.place.keep(VOUCHER, voucher.to_text().as_bytes())?;
    Ok(voucher)
}

/// What the voucher in the folder is worth, if there is one. While a pad holds its value, nothing.
async fn voucher_kept(scene: &Scene) -> Result<Option<Amount>, Failure> {
    let Some(text) = text_in(scene, VOUCHER)? else { return Ok(None) };
    Ok(Some(scene.operator.value_of(&text.trim().parse()?).await?))
}

fn forget_purchase(scene: &Scene) -> Result<(), Failure> {
    let path = scene.place.folder.join(PURCHASE);
    if path.try_exists().at(&path)? { fs::remove_file(&path).at(&path) } else { Ok(()) }
}

fn text_in(scene: &Scene, name: &str) -> Result<Option<String>, Failure> {
    let path = scene.place.folder.join(name);
    if path.try_exists().at(&path)? { fs::read_to_string(&path).at(&path).map(Some) } else { Ok(None) }
}

/// Uses what is left of a pad that is too short for a run, so that the server ends it, and its value comes back.
async fn use_up(scene: &Scene, pad: Under, story: &mut Story) -> Result<(), Failure> {
    let id = pad.id();
    let (end, asked) = ends::exhaust(async || pad.balance().await.map(drop)).await;
    drop(pad);
    let row = scene.ledger_row(id).await?;
    story.check(
        "L15",
        ends::is_exhausted(&end) && row.status.is_closed(),
        "the pad of the earlier runs is used up: the server ended it, and the rest of its value is back on its voucher",
        json!({ "pad": id.to_string(), "requests": asked, "then": end.to_string(), "status": row.status.to_string() }),
    )
}

/// A calculation, quoted and performed; the value goes down by its fee.
async fn serve(pad: &Under, story: &mut Story) -> Result<(), Failure> {
    let before = (pad.balance().await?, pad.remaining());
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
async fn repeat(pad: &Under, story: &mut Story) -> Result<(), Failure> {
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
async fn goes_on(
    scene: &Scene,
    alice: &Client,
    id: PadId,
    left: u64,
    story: &mut Story,
) -> Result<(), Failure> {
    let pad = alice.with_pad(attached(&scene.alice, &scene.place.folder.join(PAD)).await?);
    let now = pad.remaining().send;
    let value = pad.balance().await?;
    let end = pad.remaining();
    story.check(
        "L2",
        pad.id() == id && now <= left,
        "attached again, the pad goes on beyond its last reservation; what was reserved and not used is burnt",
        json!({
            "left before": left, "left now": now, "pad": id.to_string(), "value": value.to_string(),
            "left of the user's lane": end.send, "left of the server's lane": end.receive,
        }),
    )?;
    pad.into_pad().detach().await?;
    Ok(())
}
