//! Headers from strangers: what is accepted is canonical, and the pieces that it comes in make no difference.

use symbolon_envelope::{Header, HeaderError, HeaderReader, MAX_HEADER, MAX_STANZAS};

pub(crate) fn run(data: &[u8]) {
    let whole = Header::parse(data);
    for size in [1, 7, 64] {
        assert_eq!(in_pieces(data, size), whole.clone().map(|(header, _)| header), "pieces of {size}");
    }
    let Ok((header, rest)) = whole else { return };
    let bytes = header.as_bytes();
    assert_eq!([bytes, rest].concat(), data);
    assert!(bytes.len() <= MAX_HEADER && (1..=MAX_STANZAS).contains(&header.stanzas().len()));
    assert_eq!(Header::parse(bytes), Ok((header.clone(), &[][..])));
    // Each stanza's arguments are in the text as they are.
    let text = str::from_utf8(bytes).unwrap();
    for stanza in header.stanzas() {
        let args: Vec<&str> = stanza.args().collect();
        assert_eq!(args.first(), Some(&stanza.kind()));
        assert!(text.contains(&format!("\n-> {}\n", args.join(" "))));
    }
}

fn in_pieces(data: &[u8], size: usize) -> Result<Header, HeaderError> {
    let mut reader = HeaderReader::new();
    for piece in data.chunks(size) {
        if let (consumed, Some(header)) = reader.push(piece)? {
            assert!(consumed <= piece.len());
            return Ok(header);
        }
    }
    Err(HeaderError::Truncated)
}
