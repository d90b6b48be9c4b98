use std::time::Duration;

use symbolon_agreement::{MAX_PROFILE_LEN, MemoryProfiles, ProfileError, ProfileStore, ProfileVerifier};
use symbolon_keys::{Id, OsRng, RootKey, UnixTime};

fn verifier() -> ProfileVerifier<MemoryProfiles> {
    ProfileVerifier::new(RootKey::generate(&mut OsRng), MemoryProfiles::default())
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

#[tokio::test]
async fn memory_conforms() {
    symbolon_agreement::conformance::profile_store(|| async { MemoryProfiles::default() }).await;
}

#[tokio::test]
async fn the_stored_profile_is_accepted_and_no_other() {
    // proves A7
    let (alice, bob): (Id, Id) = ("alice".parse().unwrap(), "bob".parse().unwrap());
    let profiles = verifier().limit(1000, Duration::from_secs(60));
    profiles.enroll(&alice, b"born 1970").await.unwrap();
    profiles.enroll(&bob, b"born 1970").await.unwrap();
    profiles.verify(&alice, b"born 1970", at(1)).await.unwrap();
    for wrong in [&b"born 1971"[..], b"born 197", b"born 19700", b""] {
        assert!(matches!(profiles.verify(&alice, wrong, at(1)).await, Err(ProfileError::Mismatch)));
    }
    let unknown: Id = "carol".parse().unwrap();
    assert!(matches!(profiles.verify(&unknown, b"born 1970", at(1)).await, Err(ProfileError::Mismatch)));
    // The same profile of two users is stored as two digests.
    let a = profiles.store().get(&alice).await.unwrap().unwrap();
    let b = profiles.store().get(&bob).await.unwrap().unwrap();
    assert_ne!(a.as_bytes(), b.as_bytes());
    assert_eq!(format!("{a:?}"), "ProfileDigest(..)");
}

#[tokio::test]
async fn guessing_ends_after_a_few_attempts() {
    // proves A7
    let alice: Id = "alice".parse().unwrap();
    let profiles = verifier();
    profiles.enroll(&alice, b"right").await.unwrap();
    for _ in 0..5 {
        assert!(matches!(profiles.verify(&alice, b"wrong", at(100)).await, Err(ProfileError::Mismatch)));
    }
    // Not even the right one, now: or the limit would tell which guess was right.
    let late = profiles.verify(&alice, b"right", at(159)).await;
    assert!(matches!(late, Err(ProfileError::TooManyAttempts { .. })));
    // A clock set back forgives nothing.
    let earlier = profiles.verify(&alice, b"right", at(50)).await;
    assert!(matches!(earlier, Err(ProfileError::TooManyAttempts { .. })));
    profiles.verify(&alice, b"right", at(300)).await.unwrap();
    for _ in 0..5 {
        profiles.verify(&alice, b"right", at(300)).await.unwrap(); // success clears the count
    }
}

#[tokio::test]
async fn the_longest_profile() {
    let alice: Id = "alice".parse().unwrap();
    let profiles = verifier();
    let long = vec![b'x'; MAX_PROFILE_LEN];
    profiles.enroll(&alice, &long).await.unwrap();
    profiles.verify(&alice, &long, at(1)).await.unwrap();
    let longer = vec![b'x'; MAX_PROFILE_LEN + 1];
    assert!(matches!(profiles.enroll(&alice, &longer).await, Err(ProfileError::TooLong)));
    let error = profiles.verify(&alice, &longer, at(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "a profile has at most 4 KiB");
}
