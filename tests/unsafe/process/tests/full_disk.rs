//! A disk that is full: a limit on the length of files stands for it. The only test of this program, as the limit is the
//! process's.

use symbolon_keys::{Backend, Identity, IdentityFile, IdentityFileError, Secret};

const SIGXFSZ: i32 = 25;
const SIG_IGN: usize = 1;
const RLIMIT_FSIZE: i32 = 1;

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn setrlimit(resource: i32, limit: *const [u64; 2]) -> i32;
}

#[test]
fn an_identity_that_cannot_be_written_leaves_no_file() {
    let folder = std::env::temp_dir().join(format!("symbolon-full-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let file = IdentityFile::at(folder.join("alice.key"));
    let alice = Identity::from_seed(Backend::best(), Secret::from([7; 32]));
    let limit = |bytes| {
        // SAFETY: a valid structure of two numbers; the signal is ignored, not handled.
        unsafe {
            signal(SIGXFSZ, SIG_IGN);
            assert_eq!(setrlimit(RLIMIT_FSIZE, &[bytes, u64::MAX]), 0);
        }
    };
    limit(20);
    let error = file.create(&alice).unwrap_err();
    limit(u64::MAX);
    assert!(matches!(error, IdentityFileError::Io { doing: "write", .. }), "{error}");
    assert!(!file.path().exists(), "what was begun is removed");
    file.create(&alice).unwrap();
    assert_eq!(file.read().unwrap().public(), alice.public());
    std::fs::remove_dir_all(folder).unwrap();
}
