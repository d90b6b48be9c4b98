//! C3: frames byte for byte, and every way to damage one.

use serde_json::Value;
use symbolon_keys::{Backend, RootKey, Secret};
use symbolon_ledger::PadMode;
use symbolon_ledger::frame::{Chunk, Frame, LaneCipher, LaneId, MAX_MESSAGE, bucket, request_id};

fn hex(case: &Value, name: &str) -> Vec<u8> {
    hex::decode(case[name].as_str().unwrap()).unwrap()
}

fn id<T: From<[u8; 16]>>(case: &Value, name: &str) -> T {
    T::from(hex(case, name).try_into().unwrap())
}

struct Vector {
    lane: LaneId,
    offset: u64,
    pad: Vec<u8>,
    inner_root: [u8; 32],
    random: [u8; 32],
    message: Vec<u8>,
    frame: Vec<u8>,
    request_id: Vec<u8>,
}

impl Vector {
    fn cipher(&self, backend: Backend) -> LaneCipher {
        LaneCipher::new(self.lane, RootKey::from(Secret::from(self.inner_root)), backend)
    }

    fn open(&self, frame: &[u8], backend: Backend) -> Result<Vec<u8>, &'static str> {
        let frame = Frame::parse(frame).map_err(|_| "malformed")?;
        let mut pad = self.pad.clone();
        let opened = self.cipher(backend).open(&frame, Chunk::new(self.offset, &mut pad));
        opened.map(|message| message.to_vec()).map_err(|_| "rejected")
    }
}

fn vectors() -> Vec<Vector> {
    let file: Value = serde_json::from_str(include_str!("../vectors/c3.json")).unwrap();
    let cases = file["vectors"].as_array().unwrap();
    assert_eq!(cases.len(), 14, "vectors");
    let read = |case: &Value| Vector {
        lane: LaneId {
            pad: id(case, "pad_id"),
            generation: id(case, "generation"),
            mode: PadMode::from_code(u8::try_from(case["mode"].as_u64().unwrap()).unwrap()).unwrap(),
            lane: u8::try_from(case["lane"].as_u64().unwrap()).unwrap(),
        },
        offset: case["offset"].as_u64().unwrap(),
        pad: hex(case, "pad_from_offset"),
        inner_root: hex(case, "inner_root").try_into().unwrap_or_default(),
        random: hex(case, "rand32").try_into().unwrap_or_default(),
        message: hex(case, "message"),
        frame: hex(case, "frame"),
        request_id: hex(case, "request_id"),
    };
    cases.iter().map(read).collect()
}

// proves L2
#[test]
fn byte_for_byte() {
    for &backend in Backend::ALL {
        for vector in vectors() {
            let mut pad = vector.pad.clone();
            let mut frame = Vec::new();
            let chunk = Chunk::new(vector.offset, &mut pad);
            vector.cipher(backend).seal(chunk, &vector.random, &vector.message, &mut frame).unwrap();
            assert_eq!(hex::encode(&frame), hex::encode(&vector.frame));
            assert_eq!(vector.open(&frame, backend).unwrap(), vector.message);
            assert!(pad.iter().all(|byte| *byte == 0), "used bytes are wiped");
            assert_eq!(request_id(&frame).as_bytes(), vector.request_id.as_slice());
            let parsed = Frame::parse(&frame).unwrap();
            let cost = vector.lane.mode.cost(vector.message.len()).unwrap();
            assert_eq!(*parsed.range(), vector.offset..vector.offset + cost);
            assert_eq!(vector.pad.len() as u64, cost);
        }
    }
}

#[test]
fn damaged() {
    for &backend in Backend::ALL {
        for vector in vectors().iter().filter(|vector| vector.frame.len() < 400) {
            for bit in 0..vector.frame.len() * 8 {
                let mut frame = vector.frame.clone();
                frame[bit / 8] ^= 1 << (bit % 8);
                assert!(vector.open(&frame, backend).is_err(), "bit {bit} flipped");
            }
            for len in 0..vector.frame.len() {
                assert_eq!(vector.open(&vector.frame[..len], backend), Err("malformed"), "cut to {len}");
            }
            let longer = [&vector.frame[..], &[0]].concat();
            assert_eq!(vector.open(&longer, backend), Err("malformed"), "extended");
        }
    }
}

/// A frame whose outer MAC is right, so that what is inside is looked at: made by whoever holds the pad.
fn remade(vector: &Vector, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    use polyval::universal_hash::UniversalHash;
    let head = if vector.lane.mode == PadMode::PadOverAead { 72 } else { 48 };
    let mut body = vector.frame[head..vector.frame.len() - 16].to_vec();
    change(&mut body);
    let mut hash = polyval::Polyval::new(<&[u8; 16]>::try_from(&vector.pad[..16]).unwrap().into());
    hash.update_padded(&vector.frame[..head]);
    hash.update_padded(&body);
    let mut lengths = [0; 16];
    lengths[..8].copy_from_slice(&(head as u64 * 8).to_le_bytes());
    lengths[8..].copy_from_slice(&(body.len() as u64 * 8).to_le_bytes());
    hash.update(&[lengths.into()]);
    let tag: [u8; 16] = hash.finalize().into();
    let tag: Vec<u8> = tag.iter().zip(&vector.pad[16..32]).map(|(a, b)| a ^ b).collect();
    [&vector.frame[..head], &body, &tag].concat()
}

#[test]
fn not_canonical_inside() {
    let vectors = vectors();
    let only = vectors
        .iter()
        .find(|vector| vector.lane.mode == PadMode::PadOnly && vector.message.len() == 1)
        .unwrap();
    let backend = Backend::Portable;
    assert_eq!(only.open(&remade(only, |_| {}), backend).unwrap(), only.message, "the remaking is right");
    // A PadOnly body is the padded message XOR the pad, so that a flip in one is a flip in the other.
    assert_eq!(only.open(&remade(only, |body| body[63] ^= 1), backend), Err("rejected"), "padding");
    assert_eq!(
        only.open(&remade(only, |body| body[3] ^= 60), backend),
        Err("rejected"),
        "length 61 in bucket 64"
    );
    assert_eq!(
        only.open(&remade(only, |body| body[0] ^= 0x80), backend),
        Err("rejected"),
        "length beyond all"
    );
    assert_eq!(
        only.open(&remade(only, |body| body[3] ^= 1), backend),
        Err("rejected"),
        "what was message is padding"
    );
    let over = vectors.iter().find(|vector| vector.lane.mode == PadMode::PadOverAead).unwrap();
    assert_eq!(over.open(&remade(over, |_| {}), backend).unwrap(), over.message);
    for at in [0, 40, 79] {
        let changed = remade(over, |body| body[at] ^= 1);
        assert_eq!(over.open(&changed, backend), Err("rejected"), "the inner AEAD must hold too");
    }
}

#[test]
fn buckets() {
    let cases =
        [(0, 64), (60, 64), (61, 128), (124, 128), (125, 256), (4092, 4096), (4093, 8192), (20_000, 20_480)];
    for (len, expected) in cases {
        assert_eq!(bucket(len), Ok(expected), "{len}");
    }
    assert_eq!(bucket(MAX_MESSAGE), Ok((1 << 20) - 4096));
    assert!(bucket(MAX_MESSAGE + 1).is_err());
    assert_eq!((PadMode::PadOverAead.min_cost(), PadMode::PadOnly.min_cost()), (112, 96));
}

#[test]
fn other_bodies_and_modes() {
    let vector = vectors().remove(0);
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = vector.frame.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        vector.open(&frame, Backend::Portable)
    };
    for (at, byte, what) in
        [(0, 2, "version"), (1, 0, "mode 0"), (1, 3, "mode 3"), (2, 2, "lane"), (3, 1, "reserved")]
    {
        assert_eq!(with(at, &[byte]), Err("malformed"), "{what}");
    }
    for len in [0_u32, 16, 79, 81, 64, u32::MAX] {
        assert_eq!(with(44, &len.to_be_bytes()), Err("malformed"), "length {len}");
    }
    assert_eq!(with(36, &[0xff; 8]), Err("malformed"), "an offset whose end cannot be counted");
    // The same bytes of another pad, generation, lane or place.
    for at in [4, 20, 2, 43] {
        let other = [vector.frame[at] ^ 1];
        assert_eq!(with(at, &other), Err("rejected"));
    }
}
