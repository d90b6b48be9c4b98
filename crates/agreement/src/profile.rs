//! Profiles: what a user says about itself inside a session, compared with what was stored earlier (A7).

use core::fmt;
use core::future::Future;
use core::time::Duration;

use subtle::ConstantTimeEq;
use symbolon_keys::{Id, RootKey, Secret, UnixTime, label};

/// The most bytes of a profile: a filled-in form, not a document.
pub const MAX_PROFILE_LEN: usize = 4 * 1024;

/// The keyed digest of one user's profile, as it is stored: without the server's key it says nothing about the
/// profile, however little there is to guess.
///
/// Compared in constant time only; not `PartialEq`.
pub struct ProfileDigest(Secret<32>);

impl ProfileDigest {
    /// The 32 bytes, for the store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl From<[u8; 32]> for ProfileDigest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(Secret::from(bytes))
    }
}

impl fmt::Debug for ProfileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("ProfileDigest(..)")
    }
}

/// Where digests are kept, and attempts counted.
///
/// # Durability
/// Each call is atomic. [`Self::put`] and [`Self::count_attempt`] are durable when they return: a guess that was not
/// counted because the process was killed would be a guess for free. To count an attempt twice is safe, to lose one is
/// not.
pub trait ProfileStore: Send + Sync + 'static {
    /// What goes wrong in the store.
    type Error: core::error::Error + Send + Sync + 'static;

    /// Keeps the digest for `id` instead of the one it had, and forgets its attempts.
    fn put(&self, id: &Id, digest: &ProfileDigest) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The digest of `id`, if it has one.
    fn get(&self, id: &Id) -> impl Future<Output = Result<Option<ProfileDigest>, Self::Error>> + Send;

    /// Counts an attempt for `id` and returns how many there are in its window, with this one; none if `id` has no
    /// digest (nothing is kept for it then, or strangers could fill the store).
    ///
    /// A window begins with the first attempt after the last window, and is `window` long. Where `now` lies before its
    /// beginning, the clock was set back: the window begins at `now` again and keeps its count.
    fn count_attempt(
        &self,
        id: &Id,
        now: UnixTime,
        window: Duration,
    ) -> impl Future<Output = Result<Option<u32>, Self::Error>> + Send;

    /// Forgets the attempts for `id`, if there is such an id.
    fn clear_attempts(&self, id: &Id) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// The attempts of one id in the current window: the one definition of how they count, for every store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row that every store reads and writes")]
pub struct Attempts {
    /// How many, in this window.
    pub count: u32,
    /// When the window began.
    pub since: UnixTime,
}

impl Attempts {
    /// As it is after one more attempt.
    #[must_use]
    pub fn next(self, now: UnixTime, window: Duration) -> Self {
        if self.count == 0 || now.saturating_since(self.since) >= window {
            Self { count: 1, since: now }
        } else {
            Self { count: self.count.saturating_add(1), since: self.since.min(now) }
        }
    }
}

/// Compares profiles with the stored digests, and limits how often anybody may try.
///
/// # Security
/// A profile is a check on top of an authenticated session, not authentication by itself: send it only to a server
/// whose key was verified. Whoever can present a profile for an id can also use up the attempts of that id.
#[derive(Debug)]
pub struct ProfileVerifier<S> {
    key: RootKey,
    store: S,
    attempts: u32,
    window: Duration,
}

impl<S: ProfileStore> ProfileVerifier<S> {
    /// Digests under `key`, kept in `store`; five attempts in a minute.
    #[must_use]
    pub const fn new(key: RootKey, store: S) -> Self {
        Self { key, store, attempts: 5, window: Duration::from_secs(60) }
    }

    /// Allows `attempts` within `window`.
    #[must_use]
    pub const fn limit(mut self, attempts: u32, window: Duration) -> Self {
        self.attempts = attempts;
        self.window = window;
        self
    }

    /// The store.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Stores the profile of `id` (its digest), instead of an earlier one.
    ///
    /// # Errors
    /// [`ProfileError::TooLong`], [`ProfileError::Store`].
    pub async fn enroll(&self, id: &Id, profile: &[u8]) -> Result<(), ProfileError<S::Error>> {
        let digest = self.digest(id, profile)?;
        self.store.put(id, &digest).await.map_err(ProfileError::Store)
    }

    /// Compares `profile` with the stored one, in constant time. The attempt is counted first.
    ///
    /// # Errors
    /// [`ProfileError::Mismatch`], also if there is no such id: end the session then.
    /// [`ProfileError::TooManyAttempts`] without comparing. [`ProfileError::TooLong`], [`ProfileError::Store`].
    pub async fn verify(&self, id: &Id, profile: &[u8], now: UnixTime) -> Result<(), ProfileError<S::Error>> {
        let presented = self.digest(id, profile)?;
        let attempts = self.store.count_attempt(id, now, self.window).await.map_err(ProfileError::Store)?;
        if attempts.is_some_and(|attempts| attempts > self.attempts) {
            return Err(ProfileError::TooManyAttempts { window: self.window });
        }
        let stored = self.store.get(id).await.map_err(ProfileError::Store)?;
        // An unknown id is compared as well, with a digest that nobody can present.
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| ProfileDigest(Secret::from([0; 32])));
        if !(bool::from(stored.0.ct_eq(&presented.0)) && known) {
            return Err(ProfileError::Mismatch);
        }
        self.store.clear_attempts(id).await.map_err(ProfileError::Store)
    }

    /// `derive(key, label, [id, profile], 32)`.
    fn digest(&self, id: &Id, profile: &[u8]) -> Result<ProfileDigest, ProfileError<S::Error>> {
        if profile.len() > MAX_PROFILE_LEN {
            return Err(ProfileError::TooLong);
        }
        let digest = self.key.derive(label::PROFILE, &[id.as_bytes(), profile]);
        Ok(ProfileDigest(digest.map_err(|_| ProfileError::TooLong)?))
    }
}

/// Why a profile was not stored or not accepted.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProfileError<E> {
    /// It is not the stored one, or there is none for the id.
    Mismatch,
    /// There were too many attempts for this id.
    TooManyAttempts {
        /// The window within which they are counted.
        window: Duration,
    },
    /// It exceeds [`MAX_PROFILE_LEN`].
    TooLong,
    /// The store failed; nothing was compared.
    Store(E),
}

impl<E: fmt::Display> fmt::Display for ProfileError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch => f.write_str("the profile is not the stored one"),
            Self::TooManyAttempts { window } => {
                write!(f, "too many attempts for this id: try again in {} seconds", window.as_secs())
            }
            Self::TooLong => f.write_str("a profile has at most 4 KiB"),
            Self::Store(error) => write!(f, "the profile store failed: {error}"),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for ProfileError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// Profiles in memory: for tests, and for servers that learn them anew at each start.
#[cfg(feature = "std")]
#[derive(Debug, Default)]
pub struct MemoryProfiles(std::sync::Mutex<alloc::collections::BTreeMap<Id, (ProfileDigest, Attempts)>>);

#[cfg(feature = "std")]
impl MemoryProfiles {
    fn with<T>(
        &self,
        f: impl FnOnce(&mut alloc::collections::BTreeMap<Id, (ProfileDigest, Attempts)>) -> T,
    ) -> T {
        // Nothing in here panics half-way: a poisoned map is whole.
        f(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[cfg(feature = "std")]
impl ProfileStore for MemoryProfiles {
    type Error = core::convert::Infallible;

    async fn put(&self, id: &Id, digest: &ProfileDigest) -> Result<(), Self::Error> {
        let digest = ProfileDigest(Secret::init_with(|out| *out = *digest.as_bytes()));
        self.with(|map| map.insert(*id, (digest, Attempts::default())));
        Ok(())
    }

    async fn get(&self, id: &Id) -> Result<Option<ProfileDigest>, Self::Error> {
        Ok(self.with(|map| {
            let (digest, _) = map.get(id)?;
            Some(ProfileDigest(Secret::init_with(|out| *out = *digest.as_bytes())))
        }))
    }

    async fn count_attempt(
        &self,
        id: &Id,
        now: UnixTime,
        window: Duration,
    ) -> Result<Option<u32>, Self::Error> {
        Ok(self.with(|map| {
            let (_, attempts) = map.get_mut(id)?;
            *attempts = attempts.next(now, window);
            Some(attempts.count)
        }))
    }

    async fn clear_attempts(&self, id: &Id) -> Result<(), Self::Error> {
        self.with(|map| {
            if let Some((_, attempts)) = map.get_mut(id) {
                *attempts = Attempts::default();
            }
        });
        Ok(())
    }
}
