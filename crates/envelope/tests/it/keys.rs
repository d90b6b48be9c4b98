//! Age keys as text, mixtures of recipients, and what errors say.

use symbolon_envelope::{
    AgeIdentity, AgeRecipient, Company, Expect, HybridSecretKey, InvalidKeyString, Open, OpenError,
    Recipient, ScryptKey, Seal, SealError, UserKey, open,
};
use symbolon_keys::{AgeSecretKey, Backend};

use crate::support::{context, rng};

/// Of the age specification.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
const HYBRID: &str = "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR";

#[test]
fn strings_of_the_specification() {
    let identity: AgeIdentity = IDENTITY.parse().unwrap();
    assert_eq!(identity.recipient().to_string(), RECIPIENT);
    assert_eq!(*identity.to_secret_string(), IDENTITY);
    let hybrid: AgeIdentity = HYBRID.parse().unwrap();
    let text = hybrid.recipient().to_string();
    assert!(text.starts_with("age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelk") && text.len() == 1959);
    assert_eq!(text.parse::<AgeRecipient>().unwrap(), hybrid.recipient());
    assert_eq!(*hybrid.to_secret_string(), HYBRID);
    assert_eq!(IDENTITY.to_lowercase().parse::<AgeIdentity>().unwrap().recipient().to_string(), RECIPIENT);
}

#[test]
fn mistyped_strings_are_refused() {
    let recipient = |text: &str| text.parse::<AgeRecipient>().unwrap_err();
    for at in 4..RECIPIENT.len() {
        let mut typo = RECIPIENT.to_string();
        let other = if &typo[at..=at] == "q" { "p" } else { "q" };
        typo.replace_range(at..=at, other);
        assert_eq!(recipient(&typo), InvalidKeyString::Malformed, "{at}");
    }
    assert_eq!(recipient(IDENTITY), InvalidKeyString::Prefix);
    assert_eq!(recipient("Age1zvkyg2lq"), InvalidKeyString::Malformed);
    assert_eq!(recipient(""), InvalidKeyString::Malformed);
    assert_eq!(recipient(&"q".repeat(3000)), InvalidKeyString::Malformed);
    assert_eq!(RECIPIENT.parse::<AgeIdentity>().unwrap_err(), InvalidKeyString::Prefix);
    // Thirty-two zero bytes: well spelled, and a point of low order.
    let zero = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq";
    assert!(zero.parse::<AgeRecipient>().is_err());
}

#[test]
fn recipients_mix_only_with_their_equals() {
    let backend = Backend::best();
    let classical = *AgeSecretKey::generate(backend, &mut rng(1)).public_key();
    let hybrid_key = HybridSecretKey::generate(backend, &mut rng(2)).unwrap();
    let hybrid = hybrid_key.public_key();
    let user = UserKey::generate(&mut rng(3));
    let (shared, passphrase) = (user.up(), ScryptKey::new("password").work(10));
    let seal = |to: &[&dyn Recipient]| Seal::to(to).bytes_with(b"x", &mut rng(4)).map(|_| ());
    assert_eq!(hybrid.company(), Company::PostQuantum);
    assert_eq!(seal(&[&classical, hybrid]), Err(SealError::Mixed));
    assert_eq!(seal(&[&passphrase, &shared]), Err(SealError::Mixed));
    assert_eq!(seal(&[&passphrase, &passphrase]), Err(SealError::Mixed));
    assert_eq!(seal(&[&classical, &classical, &shared]), Ok(()));
    assert_eq!(seal(&[hybrid, &shared, hybrid]), Ok(()));
    let context = context(1);
    let with_context = Seal::to(&[&passphrase]).context(&context).bytes_with(b"x", &mut rng(4));
    assert_eq!(with_context, Err(SealError::Mixed));
    let sealed = Seal::to(&[hybrid]).context(&context).bytes_with(b"x", &mut rng(4)).unwrap();
    for backend in Backend::ALL {
        let key =
            HybridSecretKey::from_seed(*backend, symbolon_keys::Secret::from(*hybrid_key.expose().expose()));
        let key = key.unwrap();
        let open = Open::with(&[&key]).expect(Expect::exactly(&context)).backend(*backend).bytes(&sealed);
        assert_eq!(open.unwrap().plaintext(), b"x");
    }
}

#[test]
fn passphrases_have_a_limit_of_work() {
    let sealed = Seal::to(&[&ScryptKey::new("password").work(12)]).bytes_with(b"x", &mut rng(1)).unwrap();
    let key = |text: &str| ScryptKey::new(text);
    assert_eq!(open(&key("password"), Expect::absent(), &sealed).unwrap().plaintext(), b"x");
    assert_eq!(open(&key("Password"), Expect::absent(), &sealed).unwrap_err(), OpenError::NoMatch);
    let impatient = key("password").max_work(11);
    assert_eq!(open(&impatient, Expect::absent(), &sealed).unwrap_err(), OpenError::TooCostly);
}

#[test]
fn secrets_are_not_printed() {
    let user = UserKey::generate(&mut rng(1));
    let identity: AgeIdentity = IDENTITY.parse().unwrap();
    let printed = format!("{user:?} {identity:?} {:?} {:?}", user.up(), ScryptKey::new("hunter2"));
    let hex = hex::encode(user.expose());
    assert!(!printed.contains("hunter2") && !printed.contains(&hex) && !printed.contains("42424242"));
    assert!(printed.starts_with("UserKey(..)"), "{printed}");
}
