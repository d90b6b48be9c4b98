//! Frames: what parses has its exact form; what opens under a fixed pad was made with it.

use symbolon_keys::{Backend, RootKey, Secret};
use symbolon_ledger::frame::{Chunk, Frame, LaneCipher};
use symbolon_ledger::sequence::{KeyFrame, SessionKey};

pub(crate) fn run(data: &[u8]) {
    if let Ok(frame) = Frame::parse(data) {
        let range = frame.range().clone();
        assert!(range.start < range.end);
        let len = usize::try_from(range.end - range.start).unwrap();
        let open = |backend| {
            let mut pad = vec![0x5a; len];
            let cipher = LaneCipher::new(frame.header().lane, RootKey::from(Secret::from([7; 32])), backend);
            cipher.open(&frame, Chunk::new(range.start, &mut pad)).map(|message| message.to_vec())
        };
        let opened = Backend::ALL.iter().map(|backend| open(*backend)).collect::<Vec<_>>();
        assert!(opened.windows(2).all(|pair| pair[0] == pair[1]), "backends disagree");
    }
    if let Ok(frame) = KeyFrame::parse(data) {
        let mut bytes = [0x5a; 32];
        let chunk = Chunk::new(frame.index(), &mut bytes);
        let key = SessionKey::new(*frame.lane(), frame.index(), chunk, Backend::Portable).unwrap();
        let _ = key.open(&frame);
    }
}
