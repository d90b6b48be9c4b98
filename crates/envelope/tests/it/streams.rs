//! Streams, files and armor: the same bytes as in one piece, and nothing half-written.

use std::fs;
use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom, Write};

use symbolon_envelope::{
    Armor, CHUNK, Dearmor, Expect, Header, Identity, NewFile, Open, OpenError, PayloadError, Policy, Rewrap,
    Seal, SealError, UserKey, armor, dearmor, is_armored, payload_len,
};
use symbolon_keys::Backend;

use crate::support::{bytes, context, rng};

const SIZES: [usize; 11] = [
    0,
    1,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    4 * CHUNK - 1,
    4 * CHUNK,
    4 * CHUNK + 1,
    8 * CHUNK,
    9 * CHUNK + 5,
    17 * CHUNK,
];

#[test]
fn streams_and_slices_give_the_same_bytes() {
    let key = UserKey::generate(&mut rng(1));
    let (up, document) = (key.up(), bytes(20 * CHUNK));
    for (size, backend) in SIZES.iter().flat_map(|size| Backend::ALL.iter().map(move |b| (*size, *b))) {
        let plain = &document[..size];
        let recipients: [&dyn symbolon_envelope::Recipient; 1] = [&up];
        let seal = Seal::to(&recipients).backend(backend);
        let whole = seal.bytes_with(plain, &mut rng(2)).unwrap();
        let header = Header::parse(&whole).unwrap().0.as_bytes().len();
        assert_eq!((whole.len() - header) as u64, payload_len(size as u64).unwrap());
        for (threads, piece) in [(1, 1000), (1, CHUNK), (2, 3 * CHUNK), (3, usize::MAX)] {
            let seal = seal.clone().threads(threads);
            let mut writer = seal.writer_with(Vec::new(), &mut rng(2)).unwrap();
            plain.chunks(piece).for_each(|piece| writer.write_all(piece).unwrap());
            assert!(writer.finish().unwrap() == whole, "{size} bytes written by {piece}, {threads} threads");
            let mut copied = seal.writer_with(Vec::new(), &mut rng(2)).unwrap();
            assert_eq!(copied.copy_from(&mut &plain[..]).unwrap(), size as u64);
            assert!(copied.finish().unwrap() == whole);

            let identities: [&dyn Identity; 1] = [&up];
            let open = Open::with(&identities).backend(backend).threads(threads);
            let mut opener = open.reader(&whole[..]).unwrap();
            let mut out = Vec::new();
            assert_eq!(opener.copy_to(&mut out).unwrap(), size as u64);
            assert!(out == plain && opener.fill_buf().unwrap().is_empty());
        }
        let (mut head, mut sealer) = seal.begin(&mut rng(2)).unwrap();
        plain.chunks(70_001).for_each(|piece| sealer.push(piece, &mut head).unwrap());
        sealer.finish(&mut head).unwrap();
        assert!(head == whole, "{size} bytes pushed");
    }
}

#[test]
fn dropped_writers_leave_truncated_files() {
    let key = UserKey::generate(&mut rng(1));
    for size in [0, 10, CHUNK, 10 * CHUNK + 1] {
        let mut file = Vec::new();
        let mut writer = Seal::to(&[&key.up()]).writer_with(&mut file, &mut rng(2)).unwrap();
        writer.write_all(&bytes(size)).unwrap();
        drop(writer);
        let opened = Open::with(&[&key.up()]).bytes(&file);
        assert_eq!(opened.unwrap_err(), OpenError::Payload(PayloadError::Truncated), "{size}");
    }
}

/// Fails after so many bytes, as a full disk does.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_as_such() {
    let key = UserKey::generate(&mut rng(1));
    for room in [0, 300, 3 * CHUNK, 19 * CHUNK] {
        let outcome = Seal::to(&[&key.up()]).writer_with(Full(room), &mut rng(2)).and_then(|mut writer| {
            writer.write_all(&bytes(20 * CHUNK))?;
            writer.finish().map(|_| ())
        });
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}

#[test]
fn one_chunk_is_read_without_the_rest() {
    let key = UserKey::generate(&mut rng(1));
    let document = bytes(5 * CHUNK + 77);
    let mut sealed = Seal::to(&[&key.up()]).bytes_with(&document, &mut rng(2)).unwrap();
    let body = sealed.len() - payload_len(document.len() as u64).unwrap() as usize + 16;
    // Every chunk is spoilt except the fourth and the last.
    for chunk in [0, 1, 2, 4] {
        sealed[body + chunk * (CHUNK + 16)] ^= 1;
    }
    let mut opener = Open::with(&[&key.up()]).seekable(Cursor::new(&sealed)).unwrap();
    assert_eq!(opener.len(), document.len() as u64);
    let mut chunk = vec![0; CHUNK];
    opener.seek(SeekFrom::Start(3 * CHUNK as u64)).unwrap();
    opener.read_exact(&mut chunk).unwrap();
    assert!(chunk == document[3 * CHUNK..4 * CHUNK]);
    let refused = opener.read(&mut chunk).unwrap_err();
    assert_eq!(OpenError::from_io(&refused), Some(OpenError::Payload(PayloadError::Rejected)));
    opener.seek(SeekFrom::End(-7)).unwrap();
    assert_eq!(opener.read(&mut chunk).unwrap(), 7);
    assert!(opener.seek(SeekFrom::Current(-1_000_000)).is_err());
    assert_eq!(opener.seek(SeekFrom::Start(u64::MAX)).unwrap(), u64::MAX);
    assert_eq!(opener.read(&mut chunk).unwrap(), 0);

    let cut = &sealed[..sealed.len() - 1];
    let refused = Open::with(&[&key.up()]).seekable(Cursor::new(cut)).unwrap_err();
    assert_eq!(OpenError::from_io(&refused), Some(OpenError::Payload(PayloadError::Rejected)));
    let cut = &sealed[..body + 4 * (CHUNK + 16)];
    let refused = Open::with(&[&key.up()]).seekable(Cursor::new(cut)).unwrap_err();
    assert_eq!(OpenError::from_io(&refused), Some(OpenError::Payload(PayloadError::Truncated)));
}

#[test]
fn files_are_there_in_full_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let key = UserKey::generate(&mut rng(1));
    let other = UserKey::generate(&mut rng(2));
    fs::write(path("plain"), bytes(300_000)).unwrap();
    Seal::to(&[&key.local()]).context(&context(1)).threads(2).file(&path("plain"), &path("sealed")).unwrap();
    let open = |key: &UserKey, from: &str, to: &str| {
        Open::with(&[&key.local()]).expect(Expect::exactly(&context(1))).file(&path(from), &path(to))
    };
    open(&key, "sealed", "opened").unwrap();
    assert!(fs::read(path("opened")).unwrap() == bytes(300_000));

    // In place: the same payload, another header.
    let before = fs::read(path("sealed")).unwrap();
    Rewrap::from(&key.local()).to(&other.local()).file(&path("sealed"), &path("sealed")).unwrap();
    let after = fs::read(path("sealed")).unwrap();
    assert!(Header::parse(&before).unwrap().1 == Header::parse(&after).unwrap().1);
    assert!(open(&key, "sealed", "opened").is_err());
    assert!(fs::read(path("opened")).unwrap() == bytes(300_000), "what was there is untouched");
    open(&other, "sealed", "opened").unwrap();

    let mut copied = Vec::new();
    Rewrap::from(&key.local()).to(&other.local()).copy(&mut &before[..], &mut copied).unwrap();
    assert!(Header::parse(&copied).unwrap().1 == Header::parse(&before).unwrap().1);

    // Damaged at its end: the beginning is not left under the name.
    let mut damaged = after.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(path("damaged"), &damaged).unwrap();
    assert!(open(&other, "damaged", "new").is_err());
    assert!(!path("new").exists());
    assert!(Rewrap::from(&key.local()).to(&other.local()).file(&path("damaged"), &path("damaged")).is_err());
    assert!(fs::read(path("damaged")).unwrap() == damaged);

    let mut dropped = NewFile::create(&path("dropped")).unwrap();
    dropped.write_all(b"half").unwrap();
    drop(dropped);
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["damaged", "opened", "plain", "sealed"], "no temporary file stays");
}

#[test]
fn armor_goes_on_and_off() {
    for size in [0, 1, 47, 48, 49, 96, 1000, 65_536, 100_000] {
        let plain = bytes(size);
        let text = armor(&plain);
        assert!(is_armored(text.as_bytes()) && text.lines().all(|line| line.len() <= 64));
        assert!(dearmor(text.as_bytes()).unwrap() == plain);
        assert!(dearmor(text.replace('\n', "\r\n").as_bytes()).unwrap() == plain);
        let mut writer = Armor::new(Vec::new());
        plain.chunks(7).for_each(|piece| writer.write_all(piece).unwrap());
        assert_eq!(String::from_utf8(writer.finish().unwrap()).unwrap(), text);
        let mut out = Vec::new();
        Dearmor::new(text.as_bytes()).read_to_end(&mut out).unwrap();
        assert!(out == plain);
        for end in 0..text.len().min(300) {
            assert!(dearmor(&text.as_bytes()[..end]).is_err() || end + 1 == text.len(), "{size}: {end}");
        }
    }
    let refused = Seal::to(&[]).writer(io::sink()).unwrap_err();
    assert_eq!(refused.get_ref().unwrap().downcast_ref(), Some(&SealError::NoRecipients));
}

#[tokio::test]
async fn asynchronous_streams_are_the_same() {
    let key = UserKey::generate(&mut rng(1));
    for size in SIZES {
        let (plain, mut sealed, mut out) = (bytes(size), Vec::new(), Vec::new());
        let seal = Seal::to(&[&key.up()]).copy_async(&mut &plain[..], &mut sealed).await;
        assert_eq!(seal.unwrap(), size as u64);
        Open::with(&[&key.up()]).copy_async(&mut &sealed[..], &mut out).await.unwrap();
        assert!(out == plain);
        let cut = &sealed[..sealed.len() - 1];
        assert!(Open::with(&[&key.up()]).copy_async(&mut &cut[..], &mut out).await.is_err());
    }
}

// proves E6
#[test]
fn what_is_to_be_viewed_only_is_not_written_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("sealed"), folder.path().join("kept"));
    let key = UserKey::generate(&mut rng(1));
    for (policy, kept) in
        [(Policy::NONE, true), (Policy::VIEW_ONLY, false), (Policy::from_bits(0x8001), false)]
    {
        let context = context(1).under(policy);
        let sealed = Seal::to(&[&key.down()]).context(&context).bytes(b"look").unwrap();
        fs::write(&from, &sealed).unwrap();
        let identity = key.down();
        let identities: [&dyn Identity; 1] = [&identity];
        let open = Open::with(&identities).expect(Expect::exactly(&context));
        let outcome = open.file(&from, &to);
        assert_eq!((outcome.is_ok(), to.exists()), (kept, kept), "{policy:?}");
        if let Err(error) = outcome {
            assert_eq!(OpenError::from_io(&error), Some(OpenError::ViewOnly));
        }
        let _ = fs::remove_file(&to);

        // To look at it is what it is for, and each way to open it says what is asked for.
        let opened = open.bytes(&sealed).unwrap();
        assert_eq!((opened.plaintext(), opened.policy()), (&b"look"[..], policy));
        let mut stream = open.clone().begin();
        assert_eq!(stream.policy(), Policy::NONE);
        stream.push(&sealed, &mut Vec::new()).unwrap();
        assert_eq!(stream.policy(), policy);
        assert_eq!(open.reader(&sealed[..]).unwrap().policy(), policy);
        assert_eq!(open.seekable(Cursor::new(&sealed)).unwrap().policy(), policy);
    }
    let plain = symbolon_envelope::seal(&[&key.down()], b"x").unwrap();
    assert_eq!(
        symbolon_envelope::open(&key.down(), Expect::absent(), &plain).unwrap().policy(),
        Policy::NONE
    );
}
