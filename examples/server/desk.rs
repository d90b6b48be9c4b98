//! The operator's desk: a socket in the server's folder, which only its owner can enter. What is asked there is a JSON
//! array of words, on one line; what is answered, `{"ok": text}` or `{"error": text}`, on one line.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use symbolon::envelope::CustodianError;
use symbolon::keys::{AgeSecretKey, OsRng};
use symbolon::ledger::{Amount, TransferId};
use symbolon::{AnyStore, Operator, OperatorError, Voucher};
use symbolon_examples::{At, Enrolment, Failure, Lock, keep, kept};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::place::{self, Place};

/// The longest line: a few paths.
const MAX_LINE: u64 = 64 * 1024;

/// The end that the server has.
pub(super) struct Desk {
    listener: UnixListener,
    clerk: Arc<Clerk>,
    socket: PathBuf,
}

struct Clerk {
    operator: Operator,
    store: AnyStore,
    age: AgeSecretKey,
    place: PathBuf,
}

impl Desk {
    pub(super) fn open(
        place: &Place,
        operator: Operator,
        store: AnyStore,
        age: AgeSecretKey,
    ) -> Result<Self, Failure> {
        let socket = place.socket();
        // Of a process that was killed: this one has the folder's lock.
        symbolon_examples::forget(&socket)?;
        let listener = UnixListener::bind(&socket).at(&socket)?;
        let clerk = Clerk { operator, store, age, place: place.path().to_path_buf() };
        Ok(Self { listener, clerk: Arc::new(clerk), socket })
    }

    /// Serves until it is dropped.
    pub(super) async fn serve(&self) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    super::observe::pause("the operator's desk", &error).await;
                    continue;
                }
            };
            let clerk = Arc::clone(&self.clerk);
            tokio::spawn(async move {
                // Whoever asked may be gone.
                let _ = clerk.attend(stream).await;
            });
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Clerk {
    async fn attend(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut line = String::new();
        BufReader::new((&mut stream).take(MAX_LINE)).read_line(&mut line).await?;
        let words: Vec<String> = serde_json::from_str(&line).unwrap_or_default();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = match self.answer(&words).await {
            Ok(text) => json!({ "ok": text }),
            Err(failure) => json!({ "error": failure.to_string() }),
        };
        stream.write_all(format!("{answer}\n").as_bytes()).await
    }

    async fn answer(&self, words: &[&str]) -> Result<String, Failure> {
        let Self { operator, store, age, place } = self;
        match words {
            ["sell", file] => {
                let Sale { voucher, id, amount } = Sale::read(Path::new(file))?;
                operator.top_up(&voucher, id, amount).await?;
                Ok(format!("{amount} taken; the voucher is in {file}"))
            }
            ["worth", file] => {
                Ok(operator.value_of(&Sale::read(Path::new(file))?.voucher).await?.to_string())
            }
            ["enrol", user, file] => {
                let sealed = kept(Path::new(file))?.ok_or_else(|| format!("{file} is not there"))?;
                let Enrolment { user: named, parameters, key } = Enrolment::open(age, &sealed)?;
                if named.as_str() != *user {
                    return Err(format!("the file is {named}'s, and not {user}'s").into());
                }
                match operator.enrol_key(named, &key, &parameters).await {
                    // With this very key, by a command that was interrupted.
                    Err(OperatorError::Custodian(CustodianError::AlreadyEnrolled))
                        if operator.user_key(named).await?.is_some_and(|row| {
                            (row.epoch, row.derivation) == (parameters.epoch, Some(parameters.derivation))
                        }) => {}
                    enrolled => enrolled?,
                }
                Ok(format!("{named} is enrolled; destroy {file}"))
            }
            ["books"] => {
                let books = operator.books().await?;
                Ok(format!("cash {}\nearned {}\nentries {}", books.cash, books.revenue, books.entries))
            }
            ["check"] => match store {
                AnyStore::Sqlite(sqlite) => {
                    sqlite.check().await?;
                    Ok("the database holds what was written to it".into())
                }
                _ => Err("use the database's own tools".into()),
            },
            ["rotate"] => {
                let job = operator.rotate_server_key().await?;
                let what = "moved to the new server key; back up now";
                Ok(format!(
                    "{} user keys, {} documents {what}\nfailures {}",
                    job.users, job.records, job.failures
                ))
            }
            ["backup", to] => place::back_up(place, store, Path::new(to)).await,
            ["status"] => {
                let health = operator.health().await?;
                let (sessions, requests, pads) = (health.sessions, health.requests, health.pads);
                let load = format!("sessions {sessions}\nrequests {requests}\npads {pads}");
                Ok(format!("serving {}\n{load}\nstore answers in {:?}", operator.realm(), health.store))
            }
            _ => Err("the server does not understand: is it of another release?".into()),
        }
    }
}

/// A voucher that is for sale: kept before it is paid for, so that the same sale again is the same.
struct Sale {
    voucher: Voucher,
    id: TransferId,
    amount: Amount,
}

impl Sale {
    fn read(path: &Path) -> Result<Self, Failure> {
        let text = kept(path)?.ok_or_else(|| format!("{} is not there", path.display()))?;
        let text = str::from_utf8(&text)?;
        let sale = || {
            let (first, voucher) = text.split_once('\n')?;
            let (id, amount) = first.strip_prefix("# sale ")?.split_once(" of ")?;
            Some((voucher.trim(), id.parse().ok()?, amount.parse::<u64>().ok()?))
        };
        let (voucher, id, amount) =
            sale().ok_or_else(|| format!("{}: no voucher that was sold here", path.display()))?;
        Ok(Self { voucher: voucher.parse()?, id, amount: Amount::new(amount.into()) })
    }
}

/// Sells a voucher into a file. The same again finds the file, and is the same sale.
pub(super) async fn sell(data: &Path, amount: u64, file: &Path) -> Result<(), Failure> {
    // Of two at once, the second would replace a voucher that may be paid for.
    let lock = Lock::on(&data.join("sale")).await?;
    if kept(file)?.is_none() {
        let (voucher, id) = (Voucher::generate(&mut OsRng), TransferId::generate(&mut OsRng));
        let text = zeroize::Zeroizing::new(format!("# sale {id} of {amount}\n{}\n", *voucher.to_text()));
        keep(file, text.as_bytes())?;
    } else if Sale::read(file)?.amount != Amount::new(amount.into()) {
        return Err(format!("{} is a voucher of another amount: choose another file", file.display()).into());
    }
    drop(lock);
    tell(data, &["sell", &super::absolute(file)?]).await
}

/// Asks at the desk, and prints what is said there.
pub(super) async fn tell(data: &Path, words: &[&str]) -> Result<(), Failure> {
    let mut stream = match UnixStream::connect(place::socket(data)).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(format!("no server runs in {}: start it, and ask again", data.display()).into());
        }
        Err(error) => return Err(error.into()),
    };
    stream.write_all(format!("{}\n", json!(words)).as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    let answer: Value = serde_json::from_str(&answer).map_err(|_| "the server stopped: ask again")?;
    let said = |what| answer.get(what).and_then(Value::as_str);
    match said("ok") {
        Some(text) => println!("{text}"),
        None => return Err(said("error").unwrap_or("the server's answer is none").into()),
    }
    Ok(())
}
