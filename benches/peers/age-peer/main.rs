//! Seals and opens with the crate `age` whatever it is asked to on stdin, one request after the other.
//!
//! ```text
//! request:  's' seal, 'o' open | 1: in armor (sealing) | u32 length, key | u32 length, plaintext or file
//! answer:   0 done, 1 refused                          | u32 length, file, or the plaintext that was released
//! ```
//! Lengths are big-endian. A key is a recipient, an identity, or `passphrase` and what follows it.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::iter::once;

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::SecretString;
use age::{Decryptor, Encryptor, scrypt, x25519};

/// The work of sealing under a passphrase, and the most that is accepted, as logarithms.
const WORK: u8 = 2;
const MAX_WORK: u8 = 4;

fn main() -> io::Result<()> {
    let (mut from, mut to) = (BufReader::new(io::stdin()), io::stdout());
    // Making one measures how fast the machine is.
    let mut passphrases = HashMap::new();
    let mut head = [0; 2];
    while from.read_exact(&mut head).is_ok() {
        let key = String::from_utf8(field(&mut from)?).expect("a key is text");
        let data = field(&mut from)?;
        let mut out = Vec::new();
        let done = match head {
            [b's', armored] => seal(&key, armored == 1, &data, &mut out),
            _ => match key.strip_prefix("passphrase") {
                None => open(&key.parse::<x25519::Identity>().expect("an identity"), &data, &mut out),
                Some(passphrase) => {
                    let identity = passphrases.entry(passphrase.to_string()).or_insert_with(|| {
                        let mut identity = scrypt::Identity::new(SecretString::from(passphrase.to_string()));
                        identity.set_max_work_factor(MAX_WORK);
                        identity
                    });
                    open(identity, &data, &mut out)
                }
            },
        };
        to.write_all(&[u8::from(done.is_none())])?;
        to.write_all(&u32::try_from(out.len()).expect("short").to_be_bytes())?;
        to.write_all(&out)?;
        to.flush()?;
    }
    Ok(())
}

fn field(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let mut bytes = vec![0; u32::from_be_bytes(len) as usize];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn seal(key: &str, armored: bool, plain: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let recipient: Box<dyn age::Recipient> = match key.strip_prefix("passphrase") {
        None => Box::new(key.parse::<x25519::Recipient>().expect("a recipient")),
        Some(passphrase) => {
            let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase.to_string()));
            recipient.set_work_factor(WORK);
            Box::new(recipient)
        }
    };
    let format = if armored { Format::AsciiArmor } else { Format::Binary };
    let encryptor = Encryptor::with_recipients(once(&*recipient)).ok()?;
    let mut writer = encryptor.wrap_output(ArmoredWriter::wrap_output(out, format).ok()?).ok()?;
    writer.write_all(plain).ok()?;
    writer.finish().ok()?.finish().ok()?;
    Some(())
}

fn open(identity: &dyn age::Identity, file: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let decryptor = Decryptor::new(ArmoredReader::new(file)).ok()?;
    decryptor.decrypt(once(identity)).ok()?.read_to_end(out).ok()?;
    Some(())
}
