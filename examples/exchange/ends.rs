//! Step 5, the ends: a pad whose value is spent, and one that is itself used up.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use symbolon::keys::OsRng;
use symbolon::ledger::{self, AccountRow, Amount, LedgerStore, PadId, PadRow};
use symbolon::{Calculate, Client, PadError, Purchase, RefusalCode, Voucher};

use crate::Failure;
use crate::pads::{Under, attached};
use crate::place::At;
use crate::scene::Scene;
use crate::story::Story;

/// Bytes of the pads that are used up in every run.
const SMALL: u64 = 16 << 10;
/// Where the lanes begin in a pad's file (`docs/pad-file.md`).
const LANES: usize = 3 * 4096;

/// A pad with little value, used until that is spent.
pub(crate) async fn by_value(scene: &Scene, alice: &Client, story: &mut Story) -> Result<(), Failure> {
    let worth = Amount::new(50);
    let end = to_the_end(scene, alice, worth, story).await?;
    story.check(
        "L15",
        end.served > 0 && is_exhausted(&end.error) && end.left > 0,
        "the value is spent: the last request is refused as exhausted, and costs nothing",
        json!({ "served": end.served, "then": end.error.to_string(), "left of the user's lane": end.left }),
    )?;
    end.burnt_with_what_was_left(
        scene,
        "value and pad end together: what was left of the pad is burnt",
        story,
    )
    .await?;
    end.accounted_for(scene, story).await
}

/// A pad with much value, used until a lane of it is.
pub(crate) async fn by_pad(scene: &Scene, alice: &Client, story: &mut Story) -> Result<(), Failure> {
    let worth = Amount::new(10_000);
    let end = to_the_end(scene, alice, worth, story).await?;
    story.check(
        "L15",
        end.served > 0 && is_exhausted(&end.error) && end.earned < worth,
        "the pad is used up: the last request is refused as exhausted, and costs nothing",
        json!({ "served": end.served, "then": end.error.to_string(), "left of the user's lane": end.left }),
    )?;
    end.burnt_with_what_was_left(
        scene,
        "pad and value end together: what was left of the value went back",
        story,
    )
    .await?;
    end.accounted_for(scene, story).await
}

/// How a small pad ended.
struct End {
    id: PadId,
    voucher: Voucher,
    worth: Amount,
    served: u32,
    error: PadError,
    /// Of the user's lane, when the end came.
    left: u64,
    earned: Amount,
    /// The user's half: its lanes, when the user closed it.
    lanes: Vec<u8>,
}

async fn to_the_end(scene: &Scene, alice: &Client, worth: Amount, story: &mut Story) -> Result<End, Failure> {
    let earned_before = scene.operator.books().await?.revenue;
    let voucher = scene.operator.sell_voucher(worth).await?;
    let text = voucher.to_text();
    let path = scene.place.scratch("small.pad");
    let header = alice.buy_pad(&Purchase::new(voucher, SMALL, &mut OsRng), &path).await?;
    story.check(
        "L16",
        header.value == worth,
        "the pad's value is what was paid for it",
        json!({ "value": header.value.to_string(), "bytes": SMALL }),
    )?;
    let pad = alice.with_pad(attached(&scene.alice, &path).await?);
    let (error, served) = exhaust(async || one_more(&pad).await).await;
    let left = pad.remaining().send;
    pad.into_pad().close().await?;
    let lanes = lanes(&path)?;
    fs::remove_file(&path).at(&path)?;
    let earned = scene.operator.books().await?.revenue.saturating_sub(earned_before);
    Ok(End { id: header.pad, voucher: text.parse()?, worth, served, error, left, earned, lanes })
}

impl End {
    async fn burnt_with_what_was_left(
        &self,
        scene: &Scene,
        what: &str,
        story: &mut Story,
    ) -> Result<(), Failure> {
        let row = scene.ledger_row(self.id).await?;
        let account = account_of(scene, &row).await?;
        let theirs = burnt(&lanes(&server_half(scene, self.id))?);
        story.check(
            "L3",
            row.status.is_closed() && account.available().is_zero() && theirs && burnt(&self.lanes),
            what,
            json!({
                "status": row.status.to_string(), "value left": account.available().to_string(),
                "server's half is zeros": theirs, "user's half is zeros": burnt(&self.lanes),
            }),
        )
    }

    async fn accounted_for(&self, scene: &Scene, story: &mut Story) -> Result<(), Failure> {
        let back = scene.operator.value_of(&self.voucher).await?;
        // A quote that the pad was too short to use holds its price until it expires.
        let row = scene.ledger_row(self.id).await?;
        let held = account_of(scene, &row).await?.balance;
        let sum = self.earned.checked_add(back).and_then(|sum| sum.checked_add(held));
        story.check(
            "L20",
            sum == Some(self.worth),
            "the server's accounts: of the pad's worth the services were earned, and any rest went back to the voucher",
            json!({ "earned": self.earned.to_string(), "back on the voucher": back.to_string(), "set aside for a quote": held.to_string() }),
        )
    }
}

async fn account_of(scene: &Scene, row: &PadRow) -> Result<AccountRow, Failure> {
    let account = row.account.ok_or("the pad has no account")?;
    let account = scene.ledger.account(account).await?;
    Ok(account.ok_or("the pad's account is not in the ledger")?)
}

/// Repeats `request` until it fails. Gives the failure, and how often it did not.
pub(crate) async fn exhaust(request: impl AsyncFn() -> Result<(), PadError>) -> (PadError, u32) {
    let mut times = 0_u32;
    loop {
        match request().await {
            Ok(()) => times = times.saturating_add(1),
            Err(error) => return (error, times),
        }
    }
}

/// Whether it says that value or pad have come to their end, at this end or at the server.
pub(crate) fn is_exhausted(error: &PadError) -> bool {
    match error {
        PadError::Pad(ledger::PadError::Exhausted { .. } | ledger::PadError::NotOpen(_)) => true,
        other => other.refusal().is_some_and(|refusal| refusal.code() == RefusalCode::Exhausted),
    }
}

pub(crate) fn server_half(scene: &Scene, id: PadId) -> PathBuf {
    scene.place.folder.join(format!("exchange/pads/{id}.pad"))
}

/// Both lanes of a half, as they lie in its file.
pub(crate) fn lanes(path: &Path) -> Result<Vec<u8>, Failure> {
    Ok(fs::read(path).at(path)?.split_off(LANES))
}

fn burnt(lanes: &[u8]) -> bool {
    !lanes.is_empty() && lanes.iter().all(|byte| *byte == 0)
}

async fn one_more(pad: &Under) -> Result<(), PadError> {
    let quote = pad.quote(Calculate::sum([1, 2, 3, 4, 5])).await?;
    pad.perform(&quote).await.map(drop)
}
