//! What every [`ProfileStore`] must do. Call [`profile_store`] from a test with a factory of empty stores.

use alloc::vec::Vec;
use core::time::Duration;

use symbolon_keys::{Id, UnixTime};

use crate::profile::{ProfileDigest, ProfileStore};

const WINDOW: Duration = Duration::from_secs(60);

/// Runs the whole suite on stores that `make` makes, each empty.
///
/// # Panics
/// Where the store does not conform.
#[expect(clippy::panic, clippy::unwrap_used, reason = "a test")]
pub async fn profile_store<S: ProfileStore, F: Future<Output = S>>(make: impl Fn() -> F) {
    let (Ok(alice), Ok(bob)) = ("alice".parse::<Id>(), "bob".parse::<Id>()) else { panic!("these are ids") };
    let at = UnixTime::from_secs;
    let digest = |byte| ProfileDigest::from([byte; 32]);
    let bytes = |found: Option<ProfileDigest>| found.map(|digest| *digest.as_bytes());

    // Digests are kept for each id, and replaced.
    let store = make().await;
    assert_eq!(bytes(store.get(&alice).await.unwrap()), None);
    store.put(&alice, &digest(1)).await.unwrap();
    assert_eq!(bytes(store.get(&alice).await.unwrap()), Some([1; 32]));
    assert_eq!(bytes(store.get(&bob).await.unwrap()), None);
    store.put(&alice, &digest(2)).await.unwrap();
    assert_eq!(bytes(store.get(&alice).await.unwrap()), Some([2; 32]));

    // Nothing is counted, and nothing kept, for an unknown id.
    assert_eq!(store.count_attempt(&bob, at(100), WINDOW).await.unwrap(), None);
    store.clear_attempts(&bob).await.unwrap();
    store.put(&bob, &digest(3)).await.unwrap();
    assert_eq!(store.count_attempt(&bob, at(100), WINDOW).await.unwrap(), Some(1));

    // Attempts count within a window, for each id.
    let mut counts = Vec::new();
    for seconds in [100, 101, 159, 160, 161] {
        counts.push(store.count_attempt(&alice, at(seconds), WINDOW).await.unwrap());
    }
    assert_eq!(counts, [Some(1), Some(2), Some(3), Some(1), Some(2)], "a window is 60 seconds long");
    assert_eq!(store.count_attempt(&bob, at(161), WINDOW).await.unwrap(), Some(1));

    // A clock set back neither forgives attempts nor locks anybody out for longer than a window.
    assert_eq!(store.count_attempt(&alice, at(50), WINDOW).await.unwrap(), Some(3));
    assert_eq!(store.count_attempt(&alice, at(110), WINDOW).await.unwrap(), Some(1));

    // Cleared, and cleared by a new digest.
    store.clear_attempts(&alice).await.unwrap();
    assert_eq!(store.count_attempt(&alice, at(111), WINDOW).await.unwrap(), Some(1));
    store.put(&alice, &digest(4)).await.unwrap();
    assert_eq!(store.count_attempt(&alice, at(112), WINDOW).await.unwrap(), Some(1));
}
