//! Documents, the button, signatures.

use std::sync::Mutex;

use proptest::prelude::*;
use symbolon_keys::{Label, OsRng, SigningKey, label};
use symbolon_table::{
    Answer, Approval, ApprovalError, ApprovalId, Approver, Document, MAX_USER_INFO, MemoryStore, Screen,
    SignedApproval,
};

use crate::fixture::{START, World, at, id};

fn order() -> Document {
    let unit = ("EUR".parse().unwrap(), 2);
    let mut document = Document::new(ApprovalId::from([7; 16]), 123_456, unit, id("shop"), at(START + 600));
    document.reference = "RF18 5390 0754 7034".into();
    document.text = "Two tickets".into();
    document
}

/// A button that gives a scripted answer and keeps what it showed.
struct Scripted(Answer, Mutex<Vec<String>>);

impl Scripted {
    fn new(answer: Answer) -> Self {
        Self(answer, Mutex::default())
    }
}

impl Approver for Scripted {
    async fn ask(&self, document: &Document) -> Answer {
        let pages = document.render(Screen::default());
        self.1.lock().unwrap().extend(pages.iter().map(ToString::to_string));
        self.0
    }
}

// proves T3, T4
#[tokio::test]
async fn an_order_is_shown_approved_signed_sent_and_verified_once() {
    let world = World::new();
    let (shop, alice) = (world.user("shop").await, world.user("alice").await);
    let (shops, alices) = (world.table(&shop), world.table(&alice));
    let asked = order().to_bytes().unwrap();
    let message = shops.seal(&alice.id, &asked).await.unwrap();

    let received = alices.open(&message).await.unwrap().accept_replays();
    let button = Scripted::new(Answer::Approved);
    let approved = Approval::request(received.plaintext()).unwrap().ask(&button).await.unwrap();
    assert_eq!(
        button.1.into_inner().unwrap(),
        ["Pay: 1234.56 EUR\nTo: shop\nReference: RF18 5390 0754 7034\nText: Two tickets\n\
          Until: 2027-01-15 08:10:00 UTC\nOrder: 0707070707070707070707070\n  7070707\n(1 of 1)"]
    );
    let signed = approved.sign(&alice.id, &alice.signing, "Alice, card 4", at(START + 5)).unwrap();
    let message = alices.seal(&shop.id, &signed.to_bytes()).await.unwrap();

    let received = shops.open(&message).await.unwrap().accept_replays();
    let signed = SignedApproval::from_bytes(received.plaintext()).unwrap();
    assert_eq!(signed.signer(), received.from());
    let verify =
        || signed.verify((&alice.id, &alice.record.keys().verifying), &asked, at(START + 9)).unwrap();
    assert_eq!(verify().document(), &order());
    let store = MemoryStore::new();
    let consent = verify().spend(&store).await.unwrap();
    assert_eq!((consent.document, consent.signer), (order(), alice.id));
    assert_eq!((consent.user_info.as_str(), consent.at), ("Alice, card 4", at(START + 5)));
    assert_eq!(verify().spend(&store.clone()).await, Err(ApprovalError::Replay));
}

#[tokio::test]
async fn declined_and_unanswered_orders_are_not_approved() {
    let bytes = order().to_bytes().unwrap();
    for (answer, error) in
        [(Answer::Declined, ApprovalError::Declined), (Answer::TimedOut, ApprovalError::TimedOut)]
    {
        let outcome = Approval::request(&bytes).unwrap().ask(&Scripted::new(answer)).await;
        assert_eq!(outcome.map(drop), Err(error));
    }
}

async fn signed(key: &SigningKey) -> (Vec<u8>, SignedApproval) {
    let bytes = order().to_bytes().unwrap();
    let approved = Approval::request(&bytes).unwrap().ask(&Scripted::new(Answer::Approved)).await.unwrap();
    let signed = approved.sign(&id("alice"), key, "Alice", at(START)).unwrap();
    (bytes, signed)
}

#[tokio::test]
async fn an_approval_past_its_time_is_void() {
    let key = SigningKey::generate(&mut OsRng);
    let (bytes, signed) = signed(&key).await;
    let verify = |now| signed.verify((&id("alice"), &key.verifying_key()), &bytes, at(now)).map(drop);
    assert_eq!(verify(START + 599), Ok(()));
    assert_eq!(verify(START + 600), Err(ApprovalError::Expired));
    let late = async |info: &str, now| {
        let button = Scripted::new(Answer::Approved);
        let approved = Approval::request(&bytes).unwrap().ask(&button).await.unwrap();
        approved.sign(&id("alice"), &key, info, at(now)).map(drop)
    };
    assert_eq!(late("", START + 600).await, Err(ApprovalError::Expired));
    assert_eq!(late(&"i".repeat(MAX_USER_INFO), START).await, Ok(()));
    assert_eq!(late(&"i".repeat(MAX_USER_INFO + 1), START).await, Err(ApprovalError::Malformed));
}

#[tokio::test]
async fn an_approval_of_anything_else_is_rejected() {
    let (key, other) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
    let (bytes, signed) = signed(&key).await;
    let rejected = Err(ApprovalError::Rejected);
    let verify = |signed: &SignedApproval, key: &SigningKey, bytes: &[u8]| {
        signed.verify((&id("alice"), &key.verifying_key()), bytes, at(START)).map(drop)
    };
    assert_eq!(verify(&signed, &key, &bytes), Ok(()));
    assert_eq!(verify(&signed, &other, &bytes), rejected);
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verify(&signed, &key, &changed), rejected, "bit {bit} of the document");
    }
    let good = signed.to_bytes();
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(changed) = SignedApproval::from_bytes(&changed) {
            assert_eq!(verify(&changed, &key, &bytes), rejected, "bit {bit} of the approval");
        }
    }
    for len in 0..good.len() {
        assert!(SignedApproval::from_bytes(&good[..len]).is_err());
    }
    assert!(SignedApproval::from_bytes(&[good, vec![0]].concat()).is_err());
}

/// Whoever holds a key can sign in any name.
#[tokio::test]
async fn an_approval_in_another_name_is_rejected() {
    let key = SigningKey::generate(&mut OsRng);
    let bytes = order().to_bytes().unwrap();
    let approved = Approval::request(&bytes).unwrap().ask(&Scripted::new(Answer::Approved)).await.unwrap();
    let signed = approved.sign(&id("alice"), &key, "Alice", at(START)).unwrap();
    let verify = |signer| signed.verify((&id(signer), &key.verifying_key()), &bytes, at(START)).map(drop);
    assert_eq!(verify("mallory"), Err(ApprovalError::Rejected), "the key is Mallory's, the name is not");
    assert_eq!(verify("alice"), Ok(()));
}

#[test]
fn a_signature_for_another_purpose_approves_nothing() {
    const OTHER: Label = Label::new("example.org/other/v1");
    let key = SigningKey::generate(&mut OsRng);
    let bytes = order().to_bytes().unwrap();
    let time = START.to_be_bytes();
    let fields: [&[u8]; 4] = [&bytes, b"alice", b"Alice", &time];
    let approval = |purpose: Label| {
        let signature = key.sign(purpose, &fields).unwrap();
        let parts: [&[u8]; 7] = [&[1], &[0, 5], b"alice", &[0, 5], b"Alice", &time, signature.as_bytes()];
        SignedApproval::from_bytes(&parts.concat()).unwrap().verify(
            (&id("alice"), &key.verifying_key()),
            &bytes,
            at(START),
        )
    };
    approval(label::TABLE_APPROVAL).map(drop).unwrap();
    for purpose in [OTHER, label::TABLE_RECORD, label::TABLE_REGISTER, label::TABLE_CHANGE] {
        assert_eq!(approval(purpose).map(drop), Err(ApprovalError::Rejected), "{purpose:?}");
    }
}

fn shown(document: &Document, screen: Screen) -> String {
    document
        .render(screen)
        .iter()
        .flat_map(|page| &page.lines)
        .fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn tricks_are_shown_and_not_obeyed() {
    let mut document = order();
    document.text = "safe\u{202E}evil\nPay: 1 EUR\u{200B}<U+0041>\u{7}e\u{301}\u{5D0}".into();
    let shown = shown(&document, Screen::new(200, 20));
    let line = shown.lines().find(|line| line.starts_with("Text: ")).unwrap();
    assert_eq!(line, "Text: safe<U+202E>evil<U+000A>Pay: 1 EUR<U+200B><<U+0041><U+0007>e<U+0301><U+05D0>");
    assert_eq!(shown.lines().filter(|line| line.starts_with("Pay")).count(), 1);
}

#[test]
fn amounts_are_shown_in_full() {
    let shown = |amount, decimals| {
        let unit = ("JPY".parse().unwrap(), decimals);
        let document = Document::new(ApprovalId::from([0; 16]), amount, unit, id("shop"), at(0));
        document.render(Screen::new(80, 9))[0].lines[0].clone()
    };
    assert_eq!(shown(0, 0), "Pay: 0 JPY");
    assert_eq!(shown(0, 2), "Pay: 0.00 JPY");
    assert_eq!(shown(5, 2), "Pay: 0.05 JPY");
    assert_eq!(shown(12_345, 2), "Pay: 123.45 JPY");
    assert_eq!(shown(u128::MAX, 0), "Pay: 340282366920938463463374607431768211455 JPY");
    assert_eq!(shown(1, 18), "Pay: 0.000000000000000001 JPY");
}

#[test]
fn dates_are_those_of_the_calendar() {
    let shown = |time| {
        let unit = ("EUR".parse().unwrap(), 2);
        let document = Document::new(ApprovalId::from([0; 16]), 1, unit, id("shop"), at(time));
        document.render(Screen::new(80, 9))[0].lines[4].clone()
    };
    assert_eq!(shown(0), "Until: 1970-01-01 00:00:00 UTC");
    assert_eq!(shown(951_782_400), "Until: 2000-02-29 00:00:00 UTC");
    assert_eq!(shown(4_107_542_399), "Until: 2100-02-28 23:59:59 UTC");
    assert_eq!(shown(4_107_542_400), "Until: 2100-03-01 00:00:00 UTC");
    assert_eq!(shown(253_402_300_799), "Until: 9999-12-31 23:59:59 UTC");
    assert_eq!(shown(u64::MAX), "Until: 18446744073709551615 s after 1970");
}

fn documents() -> impl Strategy<Value = Document> {
    let unit = ("[A-Z0-9]{3,8}", 0_u8..=18);
    let texts = ("\\PC{0,30}", any::<String>());
    (any::<[u8; 16]>(), any::<u128>(), unit, "[a-z0-9][a-z0-9._+@-]{0,20}", texts, any::<u64>()).prop_map(
        |(name, amount, (currency, decimals), payee, (reference, text), expires)| {
            let unit = (currency.parse().unwrap(), decimals);
            let mut document = Document::new(ApprovalId::from(name), amount, unit, id(&payee), at(expires));
            document.reference = reference.chars().take(30).collect();
            document.text = text;
            document
        },
    )
}

proptest! {
    #[test]
    fn a_document_has_one_encoding(document in documents()) {
        let bytes = document.to_bytes().unwrap();
        prop_assert_eq!(&Document::from_bytes(&bytes).unwrap(), &document);
        for len in 0..bytes.len() {
            prop_assert!(Document::from_bytes(&bytes[..len]).is_err());
        }
        prop_assert!(Document::from_bytes(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn whatever_parses_encodes_to_the_same_bytes(bytes: Vec<u8>) {
        if let Ok(document) = Document::from_bytes(&bytes) {
            prop_assert_eq!(document.to_bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn every_page_fits_and_nothing_is_left_out(document in documents(), columns in 16_usize..100, rows in 3_usize..12) {
        let pages = document.render(Screen::new(columns, rows));
        for (index, page) in pages.iter().enumerate() {
            prop_assert!(page.lines.len() < rows);
            prop_assert_eq!((page.number, page.of), (index + 1, pages.len()));
            for line in &page.lines {
                prop_assert!(line.chars().count() <= columns, "{line:?} in {columns}");
                prop_assert!(line.chars().all(|c| !c.is_control()));
            }
        }
        // Two documents that differ look different, on any screen.
        let mut other = document.clone();
        other.text.push('x');
        prop_assert_ne!(other.render(Screen::new(columns, rows)), pages);
    }
}
