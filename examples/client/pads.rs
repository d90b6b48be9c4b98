//! A prepaid pad: bought, used, and given back.

use std::path::Path;

use symbolon::keys::OsRng;
use symbolon::ledger::material::FileHalf;
use symbolon::ledger::{Pad, PadError, Policy, Provision, SinglePad};
use symbolon::{AnyStore, Calculate, Client, ClientError, PadClient, Purchase, RefusalCode};
use symbolon_examples::{Failure, forget, keep, kept, rename};

use crate::Operation;
use crate::home::Person;

/// What is bought, or was: it holds the voucher, to which what is left goes back.
const PURCHASE: &str = "purchase";
/// The user's half, when it is here in full.
const PAD: &str = "pad";
/// The user's half while it comes.
const PARTIAL: &str = "pad.new";

type Half = Pad<AnyStore, FileHalf>;
type Under = PadClient<AnyStore, FileHalf>;

/// Buys a pad; given again, goes on with what was interrupted, and buys nothing twice.
pub(crate) async fn buy(person: &Person, voucher: &Path, bytes: u64) -> Result<(), Failure> {
    let _lock = person.home.lock().await?;
    let path = person.home.path(PAD);
    let text = kept(voucher)?.ok_or_else(|| format!("{}: no such file", voucher.display()))?;
    let line = str::from_utf8(&text)?.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    let purchase = match purchase(person)? {
        Some(purchase) if path.exists() => {
            let pad = SinglePad::new(&path).header()?.pad;
            if *purchase.voucher().to_text() == line.trim() {
                println!("pad {pad} is here already");
                return Ok(());
            }
            return Err(
                format!("pad {pad} is here: `client close` it first, what is left is not lost").into()
            );
        }
        Some(purchase) => {
            eprintln!("going on with the purchase that was interrupted, as it was begun");
            purchase
        }
        None => {
            // Of a pad that was closed.
            forget(&path)?;
            let purchase = Purchase::new(line.trim().parse()?, bytes, &mut OsRng);
            keep(&person.home.path(PURCHASE), purchase.to_text().as_bytes())?;
            purchase
        }
    };
    let (client, partial) = (person.connect().await?, person.home.path(PARTIAL));
    forget(&partial)?;
    let bought = client.buy_pad(&purchase, &partial).await;
    let header = match bought {
        Ok(header) => header,
        Err(error) => {
            // Certainly not bought, for the server looks for a sale first: what cannot be bought holds up nothing else.
            let is_final = |code| matches!(code, RefusalCode::Denied | RefusalCode::Malformed);
            if matches!(&error, ClientError::Refused(why) if is_final(why.code())) {
                forget(&person.home.path(PURCHASE))?;
            }
            return Err(error.into());
        }
    };
    rename(&partial, &path)?;
    println!("pad {}, worth {}", header.pad, header.value);
    Ok(())
}

fn purchase(person: &Person) -> Result<Option<Purchase>, Failure> {
    let Some(text) = kept(&person.home.path(PURCHASE))? else { return Ok(None) };
    Ok(Some(str::from_utf8(&text)?.trim().parse()?))
}

/// The pad that is here.
async fn attached(person: &Person, store: &AnyStore) -> Result<Half, Failure> {
    let path = person.home.path(PAD);
    if !path.exists() {
        return Err("no pad is here: `client buy` one".into());
    }
    let material = SinglePad::new(&path);
    let id = material.header()?.pad;
    // A command seals one message or two: nothing is reserved for more.
    let policy = || Policy::default().reserve(0);
    match Pad::attach_with(store, &material, id, policy()).await {
        Err(PadError::NotProvisioned(_)) => {
            Pad::provision(store, &material, Provision::new(id)).await?;
            Ok(Pad::attach_with(store, &material, id, policy()).await?)
        }
        attached => Ok(attached?),
    }
}

/// Does something under the pad, and puts it away in order, whatever came of it.
async fn under<T>(
    person: &Person,
    work: impl AsyncFnOnce(&Under) -> Result<T, symbolon::PadError>,
) -> Result<T, Failure> {
    let _lock = person.home.lock().await?;
    let client = person.connect().await?;
    let store = person.home.database().await?;
    let pad = client.with_pad(attached(person, &store).await?);
    let done = work(&pad).await;
    let put_away = pad.into_pad().detach().await;
    store.close().await;
    let done = done?;
    put_away?;
    Ok(done)
}

pub(crate) async fn ask(person: &Person, what: Operation, numbers: Vec<i64>) -> Result<(), Failure> {
    let calculate = match what {
        Operation::Sum => Calculate::sum(numbers),
        Operation::Product => Calculate::product(numbers),
        Operation::Mean => Calculate::mean(numbers),
    };
    let done = under(person, async |pad| pad.perform(&pad.quote(calculate).await?).await).await?;
    println!("{}\nfee {}, left {}", done.answer, done.fee, done.left);
    Ok(())
}

pub(crate) async fn balance(person: &Person) -> Result<(), Failure> {
    let (value, left) = under(person, async |pad| Ok((pad.balance().await?, pad.remaining()))).await?;
    println!("value {value}\nsend {} bytes, receive {} bytes", left.send, left.receive);
    Ok(())
}

/// Closes the pad, at the server first: what is left of its value is on the voucher again.
pub(crate) async fn close(person: &Person) -> Result<(), Failure> {
    let _lock = person.home.lock().await?;
    let path = person.home.path(PAD);
    let Some(purchase) = purchase(person)? else {
        // Of a pad that was closed.
        forget(&path)?;
        return Err("no pad is here".into());
    };
    if !path.exists() {
        // It may be paid: without the purchase its value would be lost.
        return Err("a purchase is under way: `client buy` finishes it, then close".into());
    }
    let pad = SinglePad::new(&path).header()?.pad;
    let client: Client = person.connect().await?;
    client.close_pad(purchase.voucher(), pad).await?;
    let store = person.home.database().await?;
    close_here(person, &store).await?;
    store.close().await;
    // In this order: a purchase without a pad is one under way.
    forget(&person.home.path(PURCHASE))?;
    forget(&path)?;
    println!("pad {pad} is closed; what was left is on its voucher again");
    Ok(())
}

/// This end of it: its bytes are overwritten.
async fn close_here(person: &Person, store: &AnyStore) -> Result<(), Failure> {
    let half = attached(person, store).await?;
    if half.status().is_closed() {
        half.destroy().await?;
    } else {
        half.close().await?;
    }
    Ok(())
}

/// What is left of the pad that is here, for `status`; the lock is held.
pub(crate) async fn left(person: &Person) -> Result<Option<String>, Failure> {
    if !person.home.path(PAD).exists() {
        return Ok(None);
    }
    let store = person.home.database().await?;
    let pad = attached(person, &store).await?;
    let text = format!(
        "{}, {} bytes to send, {} to receive",
        pad.status(),
        pad.remaining().send,
        pad.remaining().receive
    );
    pad.detach().await?;
    store.close().await;
    Ok(Some(text))
}
