//! The sale of a pad: value from a voucher, one half to the buyer, one here (L1, L3, L16, L20).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use symbolon_keys::{OsRng, UnixTime};
use symbolon_ledger::material::FileHalf;
use symbolon_ledger::{
    AccountId, Amount, Batch, CommitError, FileSink, GeneratorSource, Issue, IssueError, LedgerStore, Op,
    Pad, PadError, PadHalf, PadId, Provision, Side, SinglePad, Transfer,
};
use symbolon_store::AnyStore;
use tokio::task::spawn_blocking;

use super::exchange::{Exchange, unavailable};
use super::operator::REVENUE;
use super::pads::Pads;
use crate::protocol::{PurchaseRef, Refusal, RefusalCode};
use crate::voucher::Voucher;

/// The longest pad that is sold over a session: both its halves lie on the server's disk until the buyer uses it, so that
/// a voucher of little worth must not fill it. Longer pads are issued to a medium.
const MAX_SOLD: u64 = 64 << 20;

/// The file beside the folder that every process which uses it has a shared lock on.
const LOCK: &str = "in-use";

impl Pads {
    /// The buyer's half, while it may have to be sent again.
    fn copy(&self, pad: PadId) -> PathBuf {
        self.path().join(format!("{pad}.copy"))
    }

    /// The buyer uses the pad: their half is not needed here any more, and is overwritten.
    pub(super) async fn delivered(&self, pad: PadId) {
        let copy = self.copy(pad);
        if !copy.exists() {
            return;
        }
        match spawn_blocking(move || erase(&copy)).await {
            Ok(Ok(())) => tracing::debug!(%pad, "the buyer has the pad"),
            Ok(Err(error)) => tracing::warn!(%pad, %error, "the buyer's half stays on the disk"),
            Err(error) => tracing::warn!(%pad, %error, "the buyer's half may stay on the disk"),
        }
    }

    /// Takes a share of the folder, for as long as this lives. Whoever is alone in it first removes what a sale that
    /// never was left behind: where others are at work, such a thing may be a sale under way.
    pub(super) async fn enter(&mut self, store: &AnyStore) -> io::Result<()> {
        let lock = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path().with_file_name(LOCK))?;
        match lock.try_lock() {
            Ok(()) => self.sweep(store).await?,
            Err(fs::TryLockError::WouldBlock) => tracing::info!("another process shares the folder of pads"),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        lock.lock_shared()?;
        self.share = Some(lock);
        Ok(())
    }

    /// Removes halves that no ledger knows, and those of buyers whose pad is closed.
    async fn sweep(&self, store: &AnyStore) -> io::Result<()> {
        for entry in fs::read_dir(self.path())?.flatten() {
            let path = entry.path();
            let name = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let unknown = match (path.extension().and_then(|end| end.to_str()), name) {
                (Some("new"), _) => true,
                (Some(end @ ("copy" | "pad")), Some(pad)) => {
                    match LedgerStore::pad(store, pad).await.map_err(io::Error::other)? {
                        Some(row) => end == "copy" && row.status.is_closed(),
                        None => SinglePad::new(&path).header().is_ok() && is_new(&path),
                    }
                }
                _ => false,
            };
            if unknown {
                tracing::info!(path = %path.display(), "removed: of no use any more");
                erase(&path)?;
            }
        }
        Ok(())
    }
}

/// Whether the half was never provisioned: one that was belongs to a ledger, and is never removed.
fn is_new(path: &Path) -> bool {
    FileHalf::open(path).is_ok_and(|half| half.instance().is_none())
}

/// Overwrites a file and removes it.
fn erase(path: &Path) -> io::Result<()> {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    let mut left = file.metadata()?.len();
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(ZEROS.len()).min(ZEROS.len());
        file.write_all(ZEROS.get(..piece).unwrap_or_default())?;
        left = left.saturating_sub(u64::try_from(piece).unwrap_or(u64::MAX));
    }
    file.sync_all()?;
    fs::remove_file(path)
}

impl Exchange {
    /// Sells a pad for all that the voucher is worth: the price of its bytes is earned, the rest is the pad's value.
    /// Gives the file of the buyer's half.
    pub(super) async fn sell_pad(
        &self,
        voucher: &Voucher,
        purchase: PurchaseRef,
        bytes: u64,
    ) -> Result<PathBuf, Refusal> {
        let pad = match self.sold(voucher, purchase).await? {
            Some(pad) => pad,
            None => match self.sell(voucher, purchase, bytes).await {
                Ok(pad) => pad,
                // Asked for twice at once: whichever came first is the purchase.
                Err(refusal) => self.sold(voucher, purchase).await?.ok_or(refusal)?,
            },
        };
        let copy = self.pads.copy(pad);
        if copy.is_file() {
            return Ok(copy);
        }
        if self.pads.is_one_of_many && !self.pads.folder().path(pad).exists() {
            let why = "the process of the server that sold this pad is not there: ask again";
            return Err(Refusal::new(RefusalCode::Unavailable, why));
        }
        Err(Refusal::new(RefusalCode::Conflict, "the pad of this purchase is in use already"))
    }

    /// The pad that was paid for so.
    pub(super) async fn sold(
        &self,
        voucher: &Voucher,
        purchase: PurchaseRef,
    ) -> Result<Option<PadId>, Refusal> {
        let paid = voucher.transfer(b"value", &purchase.0);
        let row = self.store.transfer(paid).await.map_err(unavailable)?;
        Ok(row.map(|row| PadId::new(row.transfer.reference)))
    }

    async fn sell(&self, voucher: &Voucher, purchase: PurchaseRef, bytes: u64) -> Result<PadId, Refusal> {
        let paid = voucher.transfer(b"value", &purchase.0);
        let account = self.store.account(voucher.account()).await.map_err(unavailable)?;
        let worth = account.map_or(Amount::ZERO, |account| account.available());
        let price = self.pad_price.checked_mul(u128::from(bytes.div_ceil(1024)));
        let Some(value) = price.and_then(|price| worth.checked_sub(price)).filter(|value| !value.is_zero())
        else {
            return Err(Refusal::new(RefusalCode::Denied, "the voucher is not worth such a pad, or spent"));
        };
        if bytes > MAX_SOLD {
            return Err(Refusal::new(RefusalCode::Malformed, "a pad sold over a session has at most 64 MiB"));
        }
        let pad = self.issue(bytes, value).await?;
        let (from, account) = (voucher.account(), AccountId::new(*pad.as_bytes()));
        let mut steps = Batch::new(UnixTime::now())
            .with(Op::OpenAccount { id: account, side: Side::Credit })
            .with(Op::OpenAccount { id: REVENUE, side: Side::Credit });
        if let Some(price) = price.filter(|price| !price.is_zero()) {
            let id = voucher.transfer(b"price", &purchase.0);
            steps.push(Op::Transfer(Transfer::post(id, from, REVENUE, price)));
        }
        let transfer = Transfer::post(paid, from, account, value).referring_to(*pad.as_bytes());
        steps.push(Op::Transfer(transfer));
        // What is left when the pad ends goes back to the voucher.
        let provision = Provision::new(pad).valued(account, from).after(steps);
        match Pad::provision(&self.store, self.pads.folder(), provision).await {
            Ok(()) => Ok(pad),
            Err(error) => {
                // Only if certainly nothing was committed; else the next request of this purchase finds what was.
                if matches!(error, PadError::Commit(CommitError::Refused(_) | CommitError::NotApplied(_))) {
                    self.pads.delivered(pad).await;
                    let _ = erase(&self.pads.folder().path(pad));
                    let why =
                        "the voucher was spent at the same time, or the sale is not possible: ask again";
                    return Err(Refusal::new(RefusalCode::Conflict, why));
                }
                Err(unavailable(error))
            }
        }
    }

    /// Makes both halves, away from the threads that serve.
    async fn issue(&self, bytes: u64, value: Amount) -> Result<PadId, Refusal> {
        let (folder, copies) = (self.pads.folder().clone(), self.pads.path().to_path_buf());
        let issued = spawn_blocking(move || {
            let unnamed = copies.join(format!("{}.new", PadId::generate(&mut OsRng)));
            let mut user = FileSink::at(&unnamed);
            let pad =
                Issue::new(bytes).value(value).run(GeneratorSource::os(), &mut folder.sink(), &mut user)?;
            // Durable under its name before money moves.
            let named = fs::rename(&unnamed, copies.join(format!("{pad}.copy")));
            named.and_then(|()| fs::File::open(&copies)?.sync_all()).map_err(|error| {
                let _ = fs::remove_file(folder.path(pad));
                let _ = fs::remove_file(&unnamed);
                IssueError::Material(error.into())
            })?;
            Ok(pad)
        });
        match issued.await {
            Ok(Ok(pad)) => Ok(pad),
            Ok(Err(IssueError::Size)) => Err(Refusal::new(RefusalCode::Malformed, IssueError::Size)),
            Ok(Err(error)) => Err(unavailable(error)),
            Err(error) => Err(unavailable(error)),
        }
    }
}
