//! What is longer than a message: documents in both directions, results, and pads.

use alloc::sync::Arc;
use std::io;
use std::sync::{Mutex, PoisonError};

use symbolon_agreement::net::SessionError;
use symbolon_envelope::{Context, RecordId};
use symbolon_keys::{Id, UnixTime};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Connection, End, stopped};
use crate::protocol::{
    MAX_CHUNK, PurchaseRef, RecordRef, Refusal, RefusalCode, Reply, ToClient, ToServer, decode,
};
use crate::server::documents::refused;
use crate::server::exchange::unavailable;
use crate::service::{AnyProcess, ProcessPieces};
use crate::voucher::Voucher;

impl Connection {
    pub(super) async fn put(
        &mut self,
        number: u64,
        record: RecordRef,
        replaces: Option<u64>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), End> {
        let exchange = Arc::clone(&self.exchange);
        let id = RecordId::from(record.0);
        let begun = async {
            let user = self.user().await?;
            let receiving = exchange.custodian.receive(user).await.map_err(refused)?;
            Ok((user, receiving.record(id), exchange.gate.room(&exchange.store, user, id).await?))
        };
        let (user, receiving, most) = match begun.await {
            Ok(begun) => begun,
            // Nothing of a document is read for somebody who may not store one.
            Err(refusal) => return self.end(number, refusal).await,
        };
        let mut room = most.bytes;
        let mut receiving = Ok(match replaces {
            Some(sequence) => receiving.replacing(sequence),
            None => receiving,
        });
        // What was announced is read to its end even when it fails: the client is told once, and in order.
        loop {
            let piece = tokio::select! {
                biased;
                () = stopped(stop) => return Err(End::Silent),
                piece = self.piece(number) => piece?,
            };
            let Some(piece) = piece else { break };
            exchange.gate.pass(self.who(), piece.len()).await;
            room = match room.checked_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX)) {
                Some(room) => room,
                None => return self.end(number, no_room(most.bytes)).await,
            };
            if let Ok(document) = &mut receiving
                && let Err(error) = document.write(&piece).await
            {
                receiving = Err(refused(error));
            }
        }
        let stored = async {
            let receiving = receiving?;
            // Nobody else of this owner finishes meanwhile: what is counted is what is there.
            let _shelf = exchange.gate.shelf(user).await;
            let now = exchange.gate.room(&exchange.store, user, id).await?;
            if now.bytes < most.bytes.saturating_sub(room) {
                return Err(no_room(now.bytes));
            }
            let receipt = receiving.finish(UnixTime::now()).await.map_err(refused)?;
            exchange.gate.stored(receipt.len, now);
            Ok(receipt)
        };
        let stored = stored.await;
        self.answer(number, stored.map(|receipt| Reply::Stored(receipt.sequence))).await
    }

    /// The next piece of the document that request `number` announced; none at its end.
    async fn piece(&mut self, number: u64) -> Result<Option<Vec<u8>>, End> {
        let message = timeout(self.exchange.gate.limits.piece, self.session.recv())
            .await
            .map_err(|_| End::Silent)??;
        match decode::<ToServer>(&message.ok_or(SessionError::Truncated)?) {
            Ok(ToServer::Data(n, bytes)) if n == number && (1..=MAX_CHUNK).contains(&bytes.len()) => {
                Ok(Some(bytes))
            }
            Ok(ToServer::End(n)) if n == number => Ok(None),
            _ => {
                let refusal =
                    Refusal::new(RefusalCode::Malformed, "expected a piece of the document, or its end");
                self.end(number, refusal).await.map(|()| None)
            }
        }
    }

    pub(super) async fn get(&mut self, number: u64, record: RecordRef) -> Result<(), End> {
        let exchange = Arc::clone(&self.exchange);
        let delivery = match self.user().await {
            Ok(user) => exchange.deliver(record, user).await,
            Err(refusal) => Err(refusal),
        };
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(refusal) => return self.answer(number, Err(refusal)).await,
        };
        let header_len = u64::try_from(delivery.header.len()).unwrap_or(u64::MAX);
        let len = delivery.payload.len.saturating_add(header_len);
        self.answer(number, Ok(Reply::Follows(len))).await?;
        self.send(&ToClient::Data(number, delivery.header)).await?;
        let mut offset = 0_u64;
        while offset < delivery.payload.len {
            match exchange.custodian.read(&delivery.payload, offset, MAX_CHUNK).await {
                Ok(piece) => {
                    offset = offset.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                    exchange.gate.pass(self.who(), piece.len()).await;
                    self.send(&ToClient::Data(number, piece)).await?;
                }
                Err(error) => return self.answer(number, Err(refused(error))).await,
            }
        }
        self.send(&ToClient::End(number)).await
    }

    /// Has a document processed, and sends what comes of it.
    pub(super) async fn process(
        &mut self,
        number: u64,
        record: RecordRef,
        (name, instruction): (&str, Vec<u8>),
        to: Id,
    ) -> Result<(), End> {
        let exchange = Arc::clone(&self.exchange);
        let user = match self.user().await {
            Ok(user) => user,
            Err(refusal) => return self.answer(number, Err(refusal)).await,
        };
        if let Some(AnyProcess::Pieces(process)) = exchange.processes.get(name) {
            return self.process_pieces(number, &**process, (record, user, to), &instruction).await;
        }
        match exchange.process(record, user, (name, instruction), to).await {
            // The turn ends when the result is gone: until then it is in memory.
            Ok((sealed, _turn)) => self.deliver(number, &sealed).await,
            Err(refusal) => self.answer(number, Err(refusal)).await,
        }
    }

    /// Sends the result as it is made, of which nobody knows yet how long it will be.
    async fn process_pieces(
        &mut self,
        number: u64,
        process: &dyn ProcessPieces,
        (record, by, to): (RecordRef, Id, Id),
        instruction: &[u8],
    ) -> Result<(), End> {
        let exchange = Arc::clone(&self.exchange);
        let service = |error| Refusal::new(RefusalCode::Service, error);
        let mut pieces = match process.begin(instruction) {
            Ok(pieces) => pieces,
            Err(error) => return self.answer(number, Err(service(error))).await,
        };
        let failed = Arc::new(Mutex::new(None));
        let telling = Arc::clone(&failed);
        let work = move |context: &Context, piece: Option<&[u8]>, result: &mut Vec<u8>| {
            let mut failed = telling.lock().unwrap_or_else(PoisonError::into_inner);
            if failed.is_none() {
                *failed = pieces.next(context, piece, result).err();
            }
        };
        let processing = exchange.custodian.process_stream(RecordId::from(record.0), by, to, work).await;
        let mut processing = match processing {
            Ok(processing) => processing,
            Err(error) => return self.answer(number, Err(refused(error))).await,
        };
        self.answer(number, Ok(Reply::Follows(u64::MAX))).await?;
        loop {
            let next = processing.next().await;
            // What was sent stays cut short: nobody takes it for whole.
            let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(error) = failed {
                return self.answer(number, Err(service(error))).await;
            }
            match next {
                Ok(Some(sealed)) => {
                    for piece in sealed.chunks(MAX_CHUNK) {
                        exchange.gate.pass(self.who(), piece.len()).await;
                        self.send(&ToClient::Data(number, piece.to_vec())).await?;
                    }
                }
                Ok(None) => return self.send(&ToClient::End(number)).await,
                Err(error) => return self.answer(number, Err(refused(error))).await,
            }
        }
    }

    /// Sends an envelope that is in memory.
    async fn deliver(&mut self, number: u64, sealed: &[u8]) -> Result<(), End> {
        self.answer(number, Ok(Reply::Follows(u64::try_from(sealed.len()).unwrap_or(u64::MAX)))).await?;
        for piece in sealed.chunks(MAX_CHUNK) {
            self.send(&ToClient::Data(number, piece.to_vec())).await?;
        }
        self.send(&ToClient::End(number)).await
    }

    pub(super) async fn sell(
        &mut self,
        number: u64,
        voucher: Voucher,
        purchase: PurchaseRef,
        bytes: u64,
    ) -> Result<(), End> {
        let half = match self.exchange.sell_pad(&voucher, purchase, bytes).await {
            Ok(half) => half,
            Err(refusal) => return self.answer(number, Err(refusal)).await,
        };
        let opened = async {
            let file = File::open(&half).await?;
            let len = file.metadata().await?.len();
            Ok::<_, io::Error>((file, len))
        };
        let (mut file, len) = match opened.await {
            Ok(opened) => opened,
            Err(error) => return self.answer(number, Err(unavailable(error))).await,
        };
        self.answer(number, Ok(Reply::Follows(len))).await?;
        let mut piece = Zeroizing::new(vec![0; MAX_CHUNK]);
        loop {
            match file.read(&mut piece).await {
                Ok(0) => return self.send(&ToClient::End(number)).await,
                Ok(n) => {
                    let bytes = piece.get(..n).unwrap_or_default().to_vec();
                    self.send(&ToClient::Data(number, bytes)).await?;
                }
                Err(error) => return self.answer(number, Err(unavailable(error))).await,
            }
        }
    }
}

fn no_room(most: u64) -> Refusal {
    Refusal::new(RefusalCode::Full, format!("the document is too large: there is room for {most} bytes"))
}
