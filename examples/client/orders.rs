//! Orders to pay: sent, shown, approved or declined, and what comes back.

use core::time::Duration;
use std::io::Write;

use symbolon::Client;
use symbolon::keys::wire::{Reader, put_lp};
use symbolon::keys::{Id, OsRng, UnixTime};
use symbolon::table::{
    Answer, Approval, ApprovalError, ApprovalId, Approver, Document, Screen, SignedApproval, unpad,
};
use symbolon_examples::Failure;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::home::Person;
use crate::letters::{self, ORDERS};
use crate::mail::{self, ANSWER, ORDER, deliver, table};

/// How long an order may wait for its answer.
const OPEN_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Asks `to` to pay `amount` to this user.
pub(crate) async fn send(person: &Person, to: Id, text: &str, amount: &str) -> Result<(), Failure> {
    let _lock = person.home.lock().await?;
    let client = person.connect().await?;
    let document = document(person.id, amount, text)?;
    let document = interrupted(person, &to, &document)?.unwrap_or(document);
    let bytes = document.to_bytes()?;
    // Kept before it is sent: what comes back, and from whom, is compared with it.
    let mut kept = Vec::new();
    put_lp(&mut kept, to.as_bytes())?;
    kept.extend_from_slice(&bytes);
    person.keep_sealed(&person.home.path("orders").join(document.id.to_string()), &kept)?;
    deliver(person, &client, to, ORDER, &bytes).await?;
    println!("order {}", document.id);
    Ok(())
}

fn document(payee: Id, amount: &str, text: &str) -> Result<Document, Failure> {
    let (number, currency) =
        amount.split_once(' ').ok_or("an amount is a number and a currency: 12.34 EUR")?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let minor = format!("{whole}{part}").parse()?;
    let unit = (currency.parse()?, part.len().try_into()?);
    let expires = UnixTime::now().saturating_add(OPEN_FOR);
    let mut document = Document::new(ApprovalId::generate(&mut OsRng), minor, unit, payee, expires);
    document.text = text.to_owned();
    Ok(document)
}

/// The same order, if a command was interrupted that may have sent it: another would be paid as well.
fn interrupted(person: &Person, to: &Id, order: &Document) -> Result<Option<Document>, Failure> {
    let Some(sent) = mail::interrupted(person, to, ORDER)? else { return Ok(None) };
    let sent = Document::from_bytes(&sent)?;
    let mut same = order.clone();
    (same.id, same.expires) = (sent.id, sent.expires);
    Ok((same == sent && UnixTime::now() < sent.expires).then_some(sent))
}

/// Shows an order that came; false if it is none. Nobody is paid in another's name.
pub(crate) fn show(from: &Id, order: &[u8]) -> bool {
    match Approval::request(order) {
        Ok(approval) if approval.document().payee == *from => {
            println!("{from} asks for approval: client approve {}", approval.document().id);
            true
        }
        _ => {
            println!("{from} sent an order that is none");
            false
        }
    }
}

/// Lists what waits for approval.
pub(crate) async fn list(person: &Person) -> Result<(), Failure> {
    let _lock = person.home.lock().await?;
    for (_, from, order) in waiting(person).await? {
        let document = Document::from_bytes(&order)?;
        println!("{} from {from}", document.id);
        document.render(Screen::default()).iter().take(1).for_each(|page| println!("{page}"));
    }
    Ok(())
}

/// Shows one order, and sends back what the button says.
pub(crate) async fn answer(person: &Person, order: &str, button: &Button) -> Result<(), Failure> {
    let _lock = person.home.lock().await?;
    let id: ApprovalId = order.parse()?;
    let named = |bytes: &[u8]| Document::from_bytes(bytes).is_ok_and(|document| document.id == id);
    let waiting = waiting(person).await?.into_iter().find(|(_, _, bytes)| named(bytes));
    let (name, from, bytes) = waiting.ok_or("no order of this name waits; `client receive` fetches them")?;
    let answer = match Approval::request(&bytes)?.ask(button).await {
        Ok(approved) => {
            let info = format!("{}, from a terminal", person.id);
            approved.sign(&person.id, &person.identity.signing_key(), &info, UnixTime::now())?.to_bytes()
        }
        // An approval is never empty.
        Err(ApprovalError::Declined) => Vec::new(),
        Err(ApprovalError::TimedOut) => return Err("nothing was answered; the order still waits".into()),
        Err(error) => return Err(error.into()),
    };
    let client = person.connect().await?;
    deliver(person, &client, from, ANSWER, &[id.as_bytes(), &answer[..]].concat()).await?;
    letters::done(person, ORDERS, &name)?;
    println!("{}", if answer.is_empty() { "declined" } else { "approved" });
    Ok(())
}

/// Orders that were shown and not answered: file, sender, and the document's bytes.
async fn waiting(person: &Person) -> Result<Vec<(String, Id, Vec<u8>)>, Failure> {
    let names = letters::names(person, ORDERS)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let client = person.connect().await?;
    let table = table(person, &client).await?;
    let mut waiting = Vec::new();
    for name in names {
        let received = table.open(&letters::sealed(person, ORDERS, &name)?).await?.accept_replays();
        if let Some((&ORDER, order)) = unpad(received.plaintext()).ok().and_then(<[u8]>::split_first) {
            waiting.push((name, *received.from(), order.to_vec()));
        }
    }
    Ok(waiting)
}

/// Says what somebody answered to an order of this user.
pub(crate) async fn answered(
    person: &Person,
    client: &Client,
    from: &Id,
    answer: &[u8],
) -> Result<(), Failure> {
    let asked = match answer.split_first_chunk::<16>() {
        Some((id, signed)) => {
            asked(person, from, ApprovalId::from(*id))?.map(|(id, order)| (id, order, signed))
        }
        None => None,
    };
    let Some((id, order, signed)) = asked else {
        println!("{from} answered something that was not asked");
        return Ok(());
    };
    if signed.is_empty() {
        println!("{from} declined {id}");
        return Ok(());
    }
    let record = client.record(*from).await?.ok_or("the signer left the directory")?;
    let verified = SignedApproval::from_bytes(signed)
        .map_err(Failure::from)
        .and_then(|signed| Ok(signed.verify((from, &record.keys().verifying), &order, UnixTime::now())?));
    let verified = match verified {
        Ok(verified) => verified,
        Err(error) => {
            println!("{from} sent an approval of {id} that does not hold: {error}");
            return Ok(());
        }
    };
    let store = person.home.database().await?;
    let spent = verified.spend(&store).await;
    store.close().await;
    match spent {
        Ok(consent) => println!("{} approved {id}, and says: {}", consent.signer, consent.user_info),
        Err(ApprovalError::Replay) => println!("{from} approved {id}, which counts once"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// An order of this user that `from` was asked to pay.
fn asked(person: &Person, from: &Id, id: ApprovalId) -> Result<Option<(ApprovalId, Vec<u8>)>, Failure> {
    let Some(kept) = person.sealed(&person.home.path("orders").join(id.to_string()))? else {
        return Ok(None);
    };
    let mut reader = Reader::new(&kept);
    let to = reader.lp()?;
    Ok((to == from.as_bytes()).then(|| (id, reader.rest().to_vec())))
}

/// The button of somebody who sits at a terminal, or who decided before.
pub(crate) struct Button(Option<Answer>);

impl Button {
    pub(crate) const fn new(yes: bool, no: bool) -> Self {
        Self(match (yes, no) {
            (true, _) => Some(Answer::Approved),
            (_, true) => Some(Answer::Declined),
            _ => None,
        })
    }
}

impl Approver for Button {
    async fn ask(&self, document: &Document) -> Answer {
        let (pages, decided) = (document.render(Screen::default()), self.0);
        let patience = document.expires.saturating_since(UnixTime::now());
        let ask = spawn_blocking(move || {
            for page in pages {
                println!("\n{page}");
                let last = page.number == page.of;
                match decided {
                    Some(answer) if last => return answer,
                    Some(_) => continue,
                    None => {
                        print!("{}", if last { "Approve? Type yes or no: " } else { "Return for more: " })
                    }
                }
                let mut line = String::new();
                if std::io::stdout().flush().is_err() || std::io::stdin().read_line(&mut line).is_err() {
                    return Answer::TimedOut;
                }
                match line.trim() {
                    "yes" if last => return Answer::Approved,
                    "no" if last => return Answer::Declined,
                    _ => {}
                }
            }
            Answer::TimedOut
        });
        match timeout(patience, ask).await {
            Ok(answer) => answer.unwrap_or(Answer::TimedOut),
            Err(_) => Answer::TimedOut,
        }
    }
}
