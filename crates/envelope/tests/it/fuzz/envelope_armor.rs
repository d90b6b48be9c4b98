//! Armor from strangers: what is accepted is canonical, and the pieces that it comes in make no difference.

use symbolon_envelope::{ArmorError, ArmorReader, armor, dearmor, is_armored};

pub(crate) fn run(data: &[u8]) {
    let whole = dearmor(data);
    for size in [1, 7, 64] {
        assert_eq!(in_pieces(data, size), whole, "pieces of {size}");
    }
    if let Ok(bytes) = whole {
        assert!(is_armored(data));
        let text = String::from_utf8(data.to_vec()).unwrap().replace("\r\n", "\n");
        assert_eq!(armor(&bytes).trim(), text.trim(), "there is one armor of these bytes");
    }
    assert_eq!(dearmor(armor(data).as_bytes()).as_deref(), Ok(data));
}

fn in_pieces(data: &[u8], size: usize) -> Result<Vec<u8>, ArmorError> {
    let (mut reader, mut out) = (ArmorReader::new(), Vec::new());
    data.chunks(size).try_for_each(|piece| reader.push(piece, &mut out))?;
    reader.finish()?;
    Ok(out)
}
