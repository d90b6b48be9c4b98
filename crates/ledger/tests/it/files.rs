//! Pad files and bundles: torn, cut, copied, damaged, in use.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use symbolon_keys::passphrase::{Argon2Params, Passphrase};
use symbolon_ledger::bundle::{Bundle, BundleError, BundleSink, Connection};
use symbolon_ledger::material::{PadHalf, PadMaterial};
use symbolon_ledger::{
    Amount, Claim, FileSink, Folder, GeneratorSource, Issue, IssueError, MaterialError, MemoryMaterial,
    MemoryStore, Pad, PadError, PadId, PadMode, PadSink, Physical, Provision, ReaderSource, SinglePad,
    SourceError,
};
use tempfile::TempDir;

use crate::world::emitted;

fn issue(folder: &Path, bytes: u64) -> PadId {
    let server = MemoryMaterial::new();
    let mut user = Folder::new(folder).sink();
    Issue::new(bytes).unwitnessed().run(GeneratorSource::os(), &mut server.sink(), &mut user).unwrap()
}

fn corrupt(folder: &Path, id: PadId) -> String {
    match Folder::new(folder).take(id) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("a damaged file was taken"),
    }
}

// proves L1 L17
#[tokio::test]
async fn from_issue_to_answer_over_files() {
    let folder = TempDir::new().unwrap();
    let (a, b) = (folder.path().join("a.pad"), folder.path().join("b.pad"));
    let mut told = Vec::new();
    let mut tell = |done, total| told.push((done, total));
    let id = Issue::new(200_000)
        .mode(PadMode::PadOnly)
        .value(Amount::new(7))
        .split(1, 3)
        .unwitnessed()
        .progress(&mut tell)
        .run(Physical::vouched_for(GeneratorSource::os()), &mut FileSink::at(&a), &mut FileSink::at(&b))
        .unwrap();
    assert_eq!((told.first(), told.last()), (Some(&(50_000, 200_000)), Some(&(200_000, 200_000))));
    let header = SinglePad::new(&a).header().unwrap();
    assert_eq!((header.lanes, header.lane, header.value), ([50_000, 150_000], 1, Amount::new(7)));
    assert_eq!(header.claim, Claim::InformationTheoretic, "the claim is its source's");
    assert_eq!(SinglePad::new(&b).header().unwrap(), header.for_peer());
    assert_eq!(fs::metadata(&a).unwrap().permissions().mode() & 0o777, 0o600);
    let (left, right) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
    assert_eq!(left[12_288..], right[12_288..], "two identical halves");

    let (la, lb) = (MemoryStore::new(), MemoryStore::new());
    let (a, b) = (SinglePad::new(&a), SinglePad::new(&b));
    Pad::provision(&la, &a, Provision::new(id)).await.unwrap();
    Pad::provision(&lb, &b, Provision::new(id)).await.unwrap();
    let (server, user) = (Pad::attach(&la, &a, id).await.unwrap(), Pad::attach(&lb, &b, id).await.unwrap());
    let frame = emitted(user.seal(b"over files").commit().await.unwrap());
    assert_eq!(*server.open(&frame).await.unwrap(), *b"over files");
    user.detach().await.unwrap();
    server.detach().await.unwrap();
    for path in ["a.pad", "b.pad"] {
        let bytes = fs::read(folder.path().join(path)).unwrap();
        assert_eq!(bytes[12_288..12_288 + 96], [0; 96], "what was used is destroyed in {path}");
        assert_ne!(bytes[14_000..14_096], [0; 96]);
    }
}

#[tokio::test]
async fn two_handles_two_processes_two_copies() {
    let folder = TempDir::new().unwrap();
    let id = issue(folder.path(), 1 << 16);
    let pads = Folder::new(folder.path());
    let half = pads.take(id).unwrap();
    assert!(matches!(pads.take(id), Err(MaterialError::InUse(_))), "two handles");
    let copy = folder.path().join("copy.pad");
    fs::copy(pads.path(id), &copy).unwrap();
    assert!(matches!(SinglePad::new(&copy).take(id), Err(MaterialError::InUse(_))), "a copy in one process");
    // Another process: the lock is the file's, so a descriptor of our own stands for it.
    drop(half);
    let other = fs::File::open(pads.path(id)).unwrap();
    other.lock().unwrap();
    assert!(matches!(pads.take(id), Err(MaterialError::InUse(_))), "two processes");
    other.unlock().unwrap();
    drop(pads.take(id).unwrap());
    assert!(matches!(SinglePad::new(&copy).take(PadId::from([0; 16])), Err(MaterialError::OtherPad(_))));
    assert!(matches!(pads.take(PadId::from([0; 16])), Err(MaterialError::NotFound(_))));
}

#[tokio::test]
async fn a_copied_half_is_noticed_after_a_second_provisioning() {
    let folder = TempDir::new().unwrap();
    let id = issue(folder.path(), 1 << 16);
    let (pads, copy) = (Folder::new(folder.path()), folder.path().join("copy.pad"));
    fs::copy(pads.path(id), &copy).unwrap();
    let (first, second) = (MemoryStore::new(), MemoryStore::new());
    Pad::provision(&first, &pads, Provision::new(id)).await.unwrap();
    Pad::provision(&second, &SinglePad::new(&copy), Provision::new(id)).await.unwrap();
    // Each ledger goes with its own half only.
    assert!(matches!(Pad::attach(&second, &pads, id).await, Err(PadError::OtherInstance { .. })));
    Pad::attach(&first, &pads, id).await.unwrap();
}

#[test]
fn damaged_pad_files() {
    let folder = TempDir::new().unwrap();
    let id = issue(folder.path(), 8192);
    let path = Folder::new(folder.path()).path(id);
    let whole = fs::read(&path).unwrap();
    for at in 0..192 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(corrupt(folder.path(), id), "not a whole pad file: its header", "byte {at}");
    }
    for len in [0, 100, 4096, 12_288, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        corrupt(folder.path(), id);
    }
    fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    assert_eq!(corrupt(folder.path(), id), "not a whole pad file: its length is not what its header says");
    for at in [8192, 8200, 8208, 8300] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(corrupt(folder.path(), id), "not a whole pad file: neither copy of its state is whole");
    }
    fs::write(&path, &whole).unwrap();
    drop(Folder::new(folder.path()).take(id).unwrap());
}

#[test]
fn a_torn_state_leaves_the_one_before() {
    let folder = TempDir::new().unwrap();
    let id = issue(folder.path(), 8192);
    let pads = Folder::new(folder.path());
    let half = pads.take(id).unwrap();
    half.bind([5; 16].into()).unwrap();
    half.raise(0, 1000).unwrap();
    half.raise(0, 500).unwrap();
    assert_eq!(half.floor(0), 1000, "a floor never sinks");
    drop(half);
    let path = pads.path(id);
    let mut bytes = fs::read(&path).unwrap();
    // The third state is in slot 1; tear it.
    bytes[8192 + 40] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    let half = pads.take(id).unwrap();
    assert_eq!((half.instance(), half.floor(0)), (Some([5; 16].into()), 0), "the state before");
}

#[test]
fn issuing_fails_cleanly() {
    let folder = TempDir::new().unwrap();
    let names =
        || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    let (a, b) = (folder.path().join("a.pad"), folder.path().join("b.pad"));
    let few = ReaderSource::new(&[7_u8; 5000][..]);
    let ended = Issue::new(8192).run(few, &mut FileSink::at(&a), &mut FileSink::at(&b));
    assert!(matches!(ended, Err(IssueError::Source(SourceError::Ended))));
    assert!(names().is_empty(), "nothing is left behind: {:?}", names());
    let zeros = ReaderSource::new(std::io::repeat(0));
    let not_random = Issue::new(8192).run(zeros, &mut FileSink::at(&a), &mut FileSink::at(&b));
    assert!(matches!(not_random, Err(IssueError::Source(SourceError::NotRandom))));
    fs::write(&a, "precious").unwrap();
    let exists = Issue::new(8192).run(GeneratorSource::os(), &mut FileSink::at(&a), &mut FileSink::at(&b));
    assert!(matches!(exists, Err(IssueError::Material(MaterialError::Exists))));
    assert_eq!(
        (fs::read(&a).unwrap(), names().len()),
        (b"precious".to_vec(), 1),
        "never overwritten, nothing left"
    );
    for bytes in [0, 4095, (64 << 30) + 1] {
        let issued =
            Issue::new(bytes).run(GeneratorSource::os(), &mut FileSink::at(&a), &mut FileSink::at(&b));
        assert!(matches!(issued, Err(IssueError::Size)), "{bytes}");
    }
    for split in [(0, 1), (1, 0), (0, 0), (1, u32::MAX)] {
        let issued = Issue::new(8192).split(split.0, split.1);
        let issued = issued.run(GeneratorSource::os(), &mut FileSink::at(&a), &mut FileSink::at(&b));
        assert!(matches!(issued, Err(IssueError::Size)), "{split:?}");
    }
}

fn connection() -> Connection {
    Connection::new("exchange:7000", vec![9; 32], [3; 16].into()).unwrap().notes("plug it in").unwrap()
}

fn bundle(path: &Path, passphrase: Option<&str>) -> (PadId, MemoryMaterial) {
    let server = MemoryMaterial::new();
    let mut user = BundleSink::at(path, connection());
    if let Some(text) = passphrase {
        user = user.under(text.parse().unwrap(), Argon2Params::FLOOR);
    }
    // Not a multiple of the chunks, and a border of the lanes inside one.
    let id =
        Issue::new(150_001).split(1, 2).run(GeneratorSource::os(), &mut server.sink(), &mut user).unwrap();
    (id, server)
}

// proves L17 L26
#[test]
fn a_bundle_travels() {
    for passphrase in [None, Some("open sesame")] {
        let folder = TempDir::new().unwrap();
        let (path, pads) = (folder.path().join("alice.bundle"), Folder::new(folder.path()));
        let (id, server) = bundle(&path, passphrase);
        assert_eq!(Bundle::is_protected(&path).unwrap(), passphrase.is_some());
        let opened = match passphrase {
            None => Bundle::open(&path).unwrap(),
            Some(text) => {
                assert!(matches!(Bundle::open(&path), Err(BundleError::Protected)));
                let wrong: Passphrase = "open says me".parse().unwrap();
                assert!(matches!(Bundle::open_protected(&path, &wrong), Err(BundleError::Passphrase(_))));
                Bundle::open_protected(&path, &text.parse().unwrap()).unwrap()
            }
        };
        assert_eq!(*opened.connection(), connection());
        assert_eq!(opened.install(&mut pads.sink()).unwrap(), id);
        let again = opened.install(&mut pads.sink());
        assert!(matches!(again, Err(BundleError::Material(MaterialError::Exists))), "never overwritten");
        let (half, other) = (pads.take(id).unwrap(), server.take(id).unwrap());
        for lane in [0, 1] {
            let len = usize::try_from(half.header().lane_len(lane)).unwrap();
            let (mut ours, mut theirs) = (vec![0; len], vec![0; len]);
            half.read(lane, 0, &mut ours).unwrap();
            other.read(lane, 0, &mut theirs).unwrap();
            assert_eq!(ours, theirs, "identical halves");
        }
        assert_eq!(*half.header(), other.header().for_peer());
        opened.destroy().unwrap();
        assert!(!path.exists());
    }
}

#[test]
fn damaged_bundles() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("alice.bundle");
    bundle(&path, None);
    let whole = fs::read(&path).unwrap();
    let install = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Bundle::open(&path)?.install(&mut Folder::new(folder.path()).sink())
    };
    let step = whole.len() / 300;
    for at in (0..400).chain((400..whole.len()).step_by(step)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        assert!(install(&bytes).is_err(), "byte {at}");
    }
    for len in [0, 10, 16, 300, whole.len() - 1] {
        assert!(install(&whole[..len]).is_err(), "cut to {len}");
    }
    assert!(install(&[&whole[..], &[0]].concat()).is_err(), "extended");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no half was installed, no piece of one is left"
    );
    install(&whole).unwrap();
}

/// A stick that is pulled out after so many bytes.
struct Pulled<S>(S, usize);

impl<S: PadSink> PadSink for Pulled<S> {
    fn start(
        &mut self,
        header: &symbolon_ledger::PadHeader,
        keys: &symbolon_ledger::material::PadKeys,
    ) -> Result<(), MaterialError> {
        self.0.start(header, keys)
    }
    fn write(&mut self, bytes: &[u8]) -> Result<(), MaterialError> {
        self.1 = self.1.checked_sub(bytes.len()).ok_or_else(|| std::io::Error::other("pulled out"))?;
        self.0.write(bytes)
    }
    fn finish(&mut self) -> Result<(), MaterialError> {
        self.0.finish()
    }
    fn discard(&mut self) {
        self.0.discard();
    }
}

#[test]
fn pulled_out_in_the_middle() {
    let folder = TempDir::new().unwrap();
    let (path, pads) = (folder.path().join("alice.bundle"), Folder::new(folder.path()));
    let server = MemoryMaterial::new();
    let mut stick = Pulled(BundleSink::at(&path, connection()), 70_000);
    Issue::new(150_000).run(GeneratorSource::os(), &mut server.sink(), &mut stick).unwrap_err();
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "no bundle, and no half at the server");
    let (id, _) = bundle(&path, None);
    let opened = Bundle::open(&path).unwrap();
    opened.install(&mut Pulled(pads.sink(), 70_000)).unwrap_err();
    assert_eq!(opened.install(&mut pads.sink()).unwrap(), id, "and again, from the beginning");
    assert!(matches!(
        BundleSink::at(&path, connection()).start(opened.header(), pads.take(id).unwrap().keys()),
        Err(MaterialError::Exists)
    ));
}

fn vector(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)).unwrap()
}

/// The files of the vectors, made by another implementation of `docs/pad-file.md` and `docs/bundle.md`.
#[test]
fn files_of_another_implementation() {
    let folder = TempDir::new().unwrap();
    let pads = Folder::new(folder.path());
    let (new, used) = (vector("new.pad"), vector("used.pad"));
    let id = PadId::from(<[u8; 16]>::try_from(&new[16..32]).unwrap());
    for (bytes, instance, floor) in [(&new, false, 0), (&used, true, 1000)] {
        fs::write(pads.path(id), bytes).unwrap();
        let half = pads.take(id).unwrap();
        assert_eq!((half.instance().is_some(), half.floor(0), half.floor(1)), (instance, floor, 0));
        let header = half.header();
        assert_eq!((header.lanes, header.value, header.witnessed), ([1500, 2600], Amount::new(500), false));
        let mut lane = vec![0; 2600];
        half.read(1, 0, &mut lane).unwrap();
        assert_eq!(lane, bytes[16_384..]);
    }
    fs::remove_file(pads.path(id)).unwrap();
    let path = folder.path().join("alice.bundle");
    fs::write(&path, vector("alice.bundle")).unwrap();
    let bundle = Bundle::open(&path).unwrap();
    assert_eq!(
        (bundle.connection().address(), bundle.connection().text()),
        ("exchange.example:7000", "plug it in")
    );
    assert_eq!(bundle.install(&mut pads.sink()).unwrap(), id);
    assert_eq!(fs::read(pads.path(id)).unwrap(), new, "the very same pad file");
}

#[test]
fn pads_of_delivered_keys() {
    use symbolon_ledger::qkd::QkdSource;
    let folder = TempDir::new().unwrap();
    let mut number = 0;
    let deliver = || {
        number += 1;
        // Two keys of 48 bytes, which are no random ones.
        let key = |n: u32| format!(r#"{{"key_ID":"key-{n}","key":"{}"}}"#, "AbCd".repeat(16));
        Ok(format!(r#"{{"keys":[{},{}]}}"#, key(2 * number), key(2 * number + 1)).into_bytes())
    };
    let mut source = QkdSource::new(deliver);
    let path = folder.path().join("a.pad");
    Issue::new(4096).run(&mut source, &mut MemoryMaterial::new().sink(), &mut FileSink::at(&path)).unwrap();
    assert_eq!(SinglePad::new(&path).header().unwrap().claim, Claim::Computational);
    assert!(source.key_ids().count() >= 4096 / 48);
    let again = || Ok(br#"{"keys":[{"key_ID":"one","key":"AbCdAbCd"}]}"#.to_vec());
    let repeated = Issue::new(4096).run(
        QkdSource::new(again),
        &mut MemoryMaterial::new().sink(),
        &mut FileSink::at("x"),
    );
    assert!(matches!(repeated, Err(IssueError::Source(SourceError::Repeated))), "no key twice");
    for bad in [&b"{}"[..], b"[]", b"", br#"{"keys":[]}"#, br#"{"keys":[{"key_ID":"","key":"AAAA"}]}"#] {
        assert!(matches!(symbolon_ledger::qkd::parse_container(bad), Err(SourceError::Malformed)));
    }
    for key in ["AAA", "AAA=\n", "A A A", "AB==", ""] {
        let json = format!(r#"{{"keys":[{{"key_ID":"a","key":"{key}"}}]}}"#);
        assert!(symbolon_ledger::qkd::parse_container(json.as_bytes()).is_err(), "{key}");
    }
}
