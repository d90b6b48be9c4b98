//! Pad files: any bytes are taken or refused, and what is taken can be read to its end.

use symbolon_ledger::material::{FileHalf, PadHalf};

pub(crate) fn run(data: &[u8]) {
    let path = std::env::temp_dir().join(format!("symbolon-fuzz-pad-{}", std::process::id()));
    std::fs::write(&path, data).unwrap();
    if let Ok(half) = FileHalf::open(&path) {
        for lane in [0, 1] {
            let len = half.header().lanes[usize::from(lane)];
            let mut bytes = vec![0; usize::try_from(len.min(4096)).unwrap()];
            let _ = half.read(lane, 0, &mut bytes);
            assert!(half.read(lane, len, &mut [0]).is_err());
            assert!(half.read(lane, u64::MAX, &mut [0]).is_err());
        }
    }
    std::fs::remove_file(&path).unwrap();
}
