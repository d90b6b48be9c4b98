//! Pads over a session: bought, and closed (L1, L16, L26).

use std::fs::OpenOptions;
use std::path::Path;

use symbolon_ledger::{PadHeader, PadId, SinglePad};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::link::unexpected;
use super::{Client, ClientError};
use crate::protocol::{PadRef, PurchaseRef, Reply, Request};
use crate::voucher::{Purchase, Voucher};

impl Client {
    /// Buys a pad and writes the user's half to a new file, which only its owner can read (L1, L26).
    ///
    /// Where it fails, or the future is dropped, nothing is left of the file: ask again with the same purchase. A program
    /// that may be killed in between keeps the [purchase](Purchase::to_text) first; after that it removes the file, of
    /// which a part may be there, and goes on. The server sends the half again until the pad is used.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the voucher is not worth it; [`ClientError::Io`] if the file exists or the disk is
    /// full; [`ClientError::Protocol`] if it is not the pad that was asked for: so long, witnessed, and worth something.
    pub async fn buy_pad(
        &self,
        purchase: &Purchase,
        path: impl AsRef<Path>,
    ) -> Result<PadHeader, ClientError> {
        let path = path.as_ref();
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // Opened here and now, so that no drop of this future comes between the file and its guard.
        let mut file = File::from_std(options.open(path)?);
        let mut partial = Partial(Some(path));
        self.receive_half(purchase, &mut file).await?;
        file.sync_all().await?;
        let header = SinglePad::new(path).header().map_err(ClientError::invalid)?;
        if !is_sold(&header, purchase.bytes) {
            return Err(ClientError::Protocol("another pad than was bought"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new("."))).await?.sync_all().await?;
        partial.0 = None;
        Ok(header)
    }

    /// Closes a pad for good, also one that can say nothing more: what is left of its value is on the voucher that paid
    /// for it again. Whoever has that voucher may; closing again is safe.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with [`Denied`](crate::RefusalCode::Denied) if this voucher paid for no such pad.
    pub async fn close_pad(&self, voucher: &Voucher, pad: PadId) -> Result<(), ClientError> {
        self.done(Request::ClosePad(*voucher.expose(), PadRef(*pad.as_bytes()))).await
    }

    async fn receive_half(&self, purchase: &Purchase, file: &mut File) -> Result<(), ClientError> {
        let Purchase { voucher, id, bytes } = purchase;
        let mut wire = self.link.begin().await?;
        let received = async {
            let request = Request::BuyPad(*voucher.expose(), PurchaseRef(*id), *bytes);
            let number = wire.request(request).await?;
            let len = match wire.reply(number).await? {
                Reply::Follows(len) => len,
                other => return unexpected(&other),
            };
            let mut received = 0_u64;
            while let Some(piece) = wire.piece(number).await? {
                received = received.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                if received > len {
                    return Err(ClientError::Protocol("more than was announced"));
                }
                file.write_all(&piece).await?;
            }
            file.flush().await?;
            if received == len { Ok(()) } else { Err(ClientError::Protocol("less than was announced")) }
        }
        .await;
        wire.done(received)
    }
}

/// A file of which a part is written, if it still is that: removed when dropped.
struct Partial<'a>(Option<&'a Path>);

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        // A part of a half is of no use. If it cannot be removed, the error that is told is the better one.
        let _ = self.0.map(std::fs::remove_file);
    }
}

/// Whether it is the buyer's half of a pad as servers sell them, of so many bytes.
fn is_sold(header: &PadHeader, bytes: u64) -> bool {
    let [zero, one] = header.lanes;
    let whole = zero.checked_add(one) == Some(bytes);
    whole && header.witnessed && header.lane == 0 && !header.value.is_zero()
}
