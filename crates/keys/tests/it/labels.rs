//! The registry of labels, and `docs/labels.md`, which lists it.

use std::collections::HashSet;
use std::path::Path;

use symbolon_keys::Label;
use symbolon_keys::label::{self, ALL};

#[test]
fn no_two_are_equal_and_none_is_the_beginning_of_another() {
    let distinct: HashSet<_> = ALL.iter().map(|label| label.as_str()).collect();
    assert_eq!(distinct.len(), ALL.len());
    for a in ALL {
        for b in ALL {
            // As bare bytes, before what is hashed; and as they are framed in a derivation and in a signature.
            let begins = |frame: fn(Label) -> Vec<u8>| frame(*b).starts_with(&frame(*a));
            let framed = begins(|label| label.as_bytes().to_vec())
                || begins(|label| {
                    [&[u8::try_from(label.as_str().len()).unwrap()], label.as_bytes()].concat()
                })
                || begins(|label| {
                    let mut lp = Vec::new();
                    symbolon_keys::wire::put_lp(&mut lp, label.as_bytes()).unwrap();
                    lp
                });
            assert_eq!(framed, a == b, "{} and {}", a.as_str(), b.as_str());
        }
    }
}

#[test]
fn ours_are_in_our_space_and_end_in_a_version() {
    for label in ALL {
        let parts: Vec<_> = label.as_str().split('/').collect();
        assert_eq!(parts[0], "symbolon");
        let version = parts.last().unwrap().strip_prefix('v').unwrap();
        assert!(version.parse::<u32>().is_ok(), "{}", label.as_str());
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(parts.iter().all(|part| !part.is_empty() && part.chars().all(plain)), "{}", label.as_str());
    }
}

#[test]
fn the_page_lists_them_all_and_no_other() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/labels.md");
    let page = std::fs::read_to_string(page).unwrap();
    let listed: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `symbolon/"))
        .map(|row| {
            let (label, what) = row.strip_suffix(" |").unwrap().split_once("` | ").unwrap();
            assert!(what.len() > 10, "{label}: say what it is for");
            format!("symbolon/{label}")
        })
        .collect();
    let ours: Vec<_> = ALL.iter().map(|label| label.as_str()).collect();
    assert_eq!(listed, ours, "docs/labels.md has one row for each label, in the order of label.rs");
}

#[test]
fn applications_make_their_own() {
    const OWN: Label = Label::new("example.org/x");
    assert_eq!((OWN.as_str(), OWN.as_bytes()), ("example.org/x", &b"example.org/x"[..]));
    assert_ne!(OWN, label::IDENTITY);
}
