//! Documents and approvals from strangers: one encoding each, and a screen that shows all and obeys nothing.

use symbolon_keys::{Secret, SigningKey, UnixTime};
use symbolon_table::{Approval, Document, Screen, SignedApproval};

pub(crate) fn run(data: &[u8]) {
    let document = Document::from_bytes(data);
    assert_eq!(Approval::request(data).is_ok(), document.is_ok());
    if let Ok(document) = document {
        assert_eq!(document.to_bytes().unwrap(), data);
        for (columns, rows) in [(0, 0), (16, 3), (33, 7)] {
            let pages = document.render(Screen::new(columns, rows));
            assert!(pages.iter().all(|page| page.lines.len() < rows.max(3)));
            for line in pages.iter().flat_map(|page| &page.lines) {
                assert!(line.chars().count() <= columns.max(16), "{line:?}");
                assert!(!line.chars().any(|c| c.is_control() || ('\u{202A}'..='\u{202E}').contains(&c)));
            }
        }
    }
    if let Ok(approval) = SignedApproval::from_bytes(data) {
        assert_eq!(approval.to_bytes(), data);
        let key = SigningKey::from_seed(&Secret::from([9; 32])).verifying_key();
        assert!(approval.verify((approval.signer(), &key), data, UnixTime::default()).is_err());
    }
}
