//! Identity files: mode, never overwritten, read strictly, with and without a passphrase.

use core::error::Error;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use symbolon_keys::passphrase::{Argon2Params, Passphrase, UnprotectError, protect};
use symbolon_keys::{Backend, Identity, IdentityFile, IdentityFileError, InvalidIdentity, Secret};

use crate::common::Counter;

fn identity() -> Identity {
    Identity::from_seed(Backend::best(), Secret::from([5; 32]))
}

/// Writes a file that only its owner may read, whatever is in it.
fn private(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn created_private_read_back_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice.key");
    let file = IdentityFile::at(&path);
    file.create(&identity()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(file.read().unwrap().public(), identity().public());
    assert!(!file.is_protected().unwrap());

    let before = fs::read(&path).unwrap();
    let other = Identity::from_seed(Backend::best(), Secret::from([6; 32]));
    let error = file.create(&other).unwrap_err();
    assert!(matches!(error, IdentityFileError::Exists(_)));
    assert_eq!(
        error.to_string(),
        format!("{} exists and is left as it is: choose another name", path.display())
    );
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn the_file_is_text_that_a_person_understands() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice.key");
    IdentityFile::at(&path).create(&identity()).unwrap();
    let expected = format!(
        "# Symbolon identity. Whoever reads the last line is you.\n# fingerprint: {}\n{}\n",
        identity().public().fingerprint(),
        *identity().to_secret_text()
    );
    assert_eq!(fs::read_to_string(path).unwrap(), expected);
}

// proves E12
#[test]
fn kept_under_a_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice.key");
    let file = IdentityFile::at(&path).backend(Backend::Portable);
    let passphrase: Passphrase = "correct horse".parse().unwrap();
    let create =
        || file.create_protected(&identity(), &passphrase, Argon2Params::FLOOR, &mut Counter::default());
    create().unwrap();
    assert!(matches!(create(), Err(IdentityFileError::Exists(_))));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let content = fs::read(&path).unwrap();
    assert_eq!(content.len(), 33 + 33 + 16);
    assert!(!content.windows(8).any(|bytes| bytes == [5; 8]), "the seed is not in the clear");

    assert!(file.is_protected().unwrap());
    assert_eq!(file.read_protected(&passphrase).unwrap().public(), identity().public());
    let error = file.read().unwrap_err();
    assert!(matches!(error, IdentityFileError::Protected(_)));
    assert_eq!(error.to_string(), format!("{} is kept under a passphrase: give it", path.display()));
    let wrong = file.read_protected(&"Correct horse".parse().unwrap()).unwrap_err();
    assert!(matches!(wrong, IdentityFileError::Unprotect(_, UnprotectError::Rejected)));
    assert_eq!(wrong.to_string(), format!("{}: wrong passphrase, or the file was altered", path.display()));
}

#[test]
fn a_plain_file_is_not_read_as_protected() {
    let folder = tempfile::tempdir().unwrap();
    let file = IdentityFile::at(folder.path().join("alice.key"));
    file.create(&identity()).unwrap();
    let error = file.read_protected(&"p".parse().unwrap()).unwrap_err();
    assert!(matches!(error, IdentityFileError::Unprotect(_, UnprotectError::NotProtected)));
}

#[test]
fn other_content_under_the_passphrase_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let passphrase: Passphrase = "p".parse().unwrap();
    for (content, expected) in [
        (&[1; 32][..], InvalidIdentity::Length),
        (&[1; 34], InvalidIdentity::Length),
        (&[2; 33], InvalidIdentity::Version(2)),
        (&[], InvalidIdentity::Length),
    ] {
        let path = folder.path().join("file");
        private(&path, &protect(&passphrase, Argon2Params::FLOOR, content, &mut Counter::default()).unwrap());
        match IdentityFile::at(path).read_protected(&passphrase) {
            Err(IdentityFileError::Invalid(_, error)) => assert_eq!(error, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn exposed_files_are_refused_with_the_command_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it's alice.key");
    let file = IdentityFile::at(&path);
    file.create(&identity()).unwrap();
    for mode in [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = file.read().unwrap_err();
        assert!(matches!(error, IdentityFileError::Exposed(_)), "{mode:o}");
        let command = format!("chmod 600 '{}/it'\\''s alice.key'\n", folder.path().display());
        assert!(error.to_string().contains(&command), "{error}");
        assert!(file.read_protected(&"p".parse().unwrap()).is_err());
        assert!(file.is_protected().is_err());
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(file.read().is_ok());
}

#[test]
fn links_are_not_followed_when_writing() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("link"), folder.path().join("target"));
    symlink(&target, &link).unwrap();
    assert!(matches!(IdentityFile::at(&link).create(&identity()), Err(IdentityFileError::Exists(_))));
    assert!(!target.exists());
    // When reading they are; what they lead to is what is checked.
    IdentityFile::at(&target).create(&identity()).unwrap();
    assert!(IdentityFile::at(&link).read().is_ok());
    fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(IdentityFile::at(&link).read(), Err(IdentityFileError::Exposed(_))));
}

#[test]
fn what_is_not_a_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let read = |path: &Path| IdentityFile::at(path).read().unwrap_err();
    assert!(matches!(read(folder.path()), IdentityFileError::NotAFile(_)));
    assert!(matches!(read(Path::new("/dev/zero")), IdentityFileError::NotAFile(_)));
    let missing = read(&folder.path().join("missing"));
    assert!(matches!(&missing, IdentityFileError::Io { doing: "read", .. }));
    assert!(missing.to_string().starts_with("cannot read "));
    let nowhere = IdentityFile::at(folder.path().join("no/folder")).create(&identity()).unwrap_err();
    assert!(matches!(&nowhere, IdentityFileError::Io { doing: "create", .. }));
}

#[test]
fn files_are_read_strictly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let (secret, public) = (identity().to_secret_text(), identity().public().to_string());
    for good in [
        format!("{}\n", *secret),
        secret.to_string(),
        format!("# a\n#\n{}\n# b\n", *secret),
        format!("{:#<1$}\n{2}\n", "#", IdentityFile::MAX_LEN - secret.len() - 2, *secret),
    ] {
        private(&path, good.as_bytes());
        assert_eq!(IdentityFile::at(&path).read().unwrap().public(), identity().public(), "{good}");
    }
    for (bad, expected) in [
        (String::new(), InvalidIdentity::Length),
        ("# only a comment\n".into(), InvalidIdentity::Length),
        (format!("{0}\n{0}\n", *secret), InvalidIdentity::Length),
        (format!("{}\n\n", *secret), InvalidIdentity::Length),
        (format!("\n{}\n", *secret), InvalidIdentity::Length),
        (format!("{}\r\n", *secret), InvalidIdentity::Text),
        (format!(" {}\n", *secret), InvalidIdentity::Text),
        (secret[..40].into(), InvalidIdentity::Checksum),
        (public, InvalidIdentity::IsPublic),
    ] {
        private(&path, bad.as_bytes());
        match IdentityFile::at(&path).read() {
            Err(IdentityFileError::Invalid(_, error)) => assert_eq!(error, expected, "{bad}"),
            other => panic!("{bad}: {other:?}"),
        }
    }
    private(&path, b"\xff\xfe");
    assert!(matches!(
        IdentityFile::at(&path).read(),
        Err(IdentityFileError::Invalid(_, InvalidIdentity::Text))
    ));
    private(&path, &[b'#'; IdentityFile::MAX_LEN + 1]);
    assert!(matches!(IdentityFile::at(&path).read(), Err(IdentityFileError::TooLong(_))));
}

#[test]
fn errors_name_the_path_and_their_cause() {
    let folder = tempfile::tempdir().unwrap();
    let error = IdentityFile::at(folder.path().join("missing")).read().unwrap_err();
    let cause = error.source().unwrap();
    assert!(error.to_string().ends_with(&cause.to_string()));
    assert!(error.to_string().contains("/missing"));
}
