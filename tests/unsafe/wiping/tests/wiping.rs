//! Secrets are gone from memory once their owner is dropped: from the heap, by an allocator that looks at whatever is
//! freed, and from the place where the value itself lay. What the compiler and the primitives leave on the stack is
//! not looked at: the README of `symbolon-keys` says so.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write;
use std::mem::MaybeUninit;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rand_core::Rng;
use symbolon_keys::hazmat::{ChaChaPoly, KemSecretKey};
use symbolon_keys::passphrase::{Argon2Params, Passphrase, protect, stretch, unprotect};
use symbolon_keys::{
    Backend, BufferedRng, DhSecretKey, Identity, IdentityFile, Label, MacKey, Noise, OneTimeKey, OsRng, Psk,
    RootKey, Secret, SigningKey, extract,
};

/// As many bytes of a secret as need not come by chance.
const WINDOW: usize = 12;
const LABEL: Label = Label::new("example.org/wiping");

struct Looking;

#[global_allocator]
static ALLOCATOR: Looking = Looking;

static LOOKING: AtomicBool = AtomicBool::new(false);
/// Blocks of at least 1 MiB that were freed, and those of them that held anything but zeros.
static LARGE: AtomicUsize = AtomicUsize::new(0);
static DIRTY: AtomicUsize = AtomicUsize::new(0);
static FOUND: AtomicUsize = AtomicUsize::new(0);
/// What is looked for: a fixed buffer, since the allocator must not allocate. Written only while nobody looks.
static mut SECRETS: [[u8; WINDOW]; 64] = [[0; WINDOW]; 64];
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// One test at a time.
static TURN: Mutex<()> = Mutex::new(());

fn holds_a_secret(block: &[u8]) -> bool {
    let secrets = &raw const SECRETS;
    // SAFETY: written by `watch` only, before it sets `LOOKING`.
    let secrets = &unsafe { &*secrets }[..COUNT.load(Ordering::SeqCst)];
    block.windows(WINDOW).any(|window| secrets.iter().any(|secret| window == secret))
}

// SAFETY: all is left to the system's allocator; what is freed is read first, when it is still ours to read.
unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that reading all of a block later is defined and finds nothing of an earlier owner.
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if LOOKING.load(Ordering::SeqCst) {
            // SAFETY: the block is live until the call below.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            if layout.size() >= 1 << 20 {
                LARGE.fetch_add(1, Ordering::SeqCst);
                DIRTY.fetch_add(usize::from(bytes.iter().any(|&byte| byte != 0)), Ordering::SeqCst);
            } else if holds_a_secret(bytes) {
                FOUND.fetch_add(1, Ordering::SeqCst);
            }
        }
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Runs `f` and counts the freed blocks that still held bytes of one of `secrets`. Each secret is looked for in two
/// places, its first bytes and its last, as a wipe may stop half-way.
fn watch(secrets: &[&[u8]], f: impl FnOnce()) -> usize {
    let mut count = 0;
    for secret in secrets {
        for part in [&secret[..WINDOW], &secret[secret.len() - WINDOW..]] {
            assert!(part.iter().any(|&byte| byte != part[0]), "too plain to be looked for");
            // SAFETY: nobody looks; `TURN` is held.
            unsafe { SECRETS[count].copy_from_slice(part) };
            count += 1;
        }
    }
    COUNT.store(count, Ordering::SeqCst);
    FOUND.store(0, Ordering::SeqCst);
    LOOKING.store(true, Ordering::SeqCst);
    f();
    LOOKING.store(false, Ordering::SeqCst);
    FOUND.load(Ordering::SeqCst)
}

/// Asserts that nothing of `secrets` is left of what `make` gives: neither on the heap nor in its own place.
/// `inline` says whether the value itself holds the bytes (then they must be seen before it is dropped).
fn wiped<T>(name: &str, secrets: &[&[u8]], inline: bool, make: impl FnOnce() -> T) {
    let mut place = Box::new(MaybeUninit::<T>::zeroed());
    let found = watch(secrets, || {
        place.write(make());
        assert_eq!(holds_a_secret(raw(&place)), inline, "{name}: not where it was expected");
        // SAFETY: just written, and not used again.
        unsafe { place.assume_init_drop() };
        assert!(!holds_a_secret(raw(&place)), "{name}: left in its own place");
    });
    assert_eq!(found, 0, "{name}: left on the heap");
}

fn raw<T>(place: &MaybeUninit<T>) -> &[u8] {
    // SAFETY: zeroed before it was written; padding may have been left as it was or not, which no one minds here.
    unsafe { std::slice::from_raw_parts(place.as_ptr().cast(), size_of::<T>()) }
}

/// A secret that does not come by chance.
fn secret<const N: usize>(seed: u8) -> [u8; N] {
    std::array::from_fn(|i| (i as u8).wrapping_mul(97).wrapping_add(seed).rotate_left(3) ^ 0xa5)
}

fn turn() -> std::sync::MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[test]
fn what_is_not_wiped_is_found() {
    let _turn = turn();
    let bytes: [u8; 32] = secret(1);
    assert_eq!(watch(&[&bytes], || drop(bytes.to_vec())), 1);
    assert_eq!(watch(&[&bytes], || drop(Box::new(bytes))), 1);
    // A half-wiped block, and one that grows: its first place is freed as well.
    assert_eq!(watch(&[&bytes], || drop([&bytes[..WINDOW], &[0; 20]].concat())), 1);
    let grown = watch(&[&bytes], || {
        let mut grown = Vec::with_capacity(32);
        grown.extend_from_slice(&bytes);
        grown.extend_from_slice(&[0; 4096]);
    });
    assert_eq!(grown, 2);
    assert_eq!(watch(&[&bytes], || drop(vec![0; 32])), 0);
}

#[test]
fn plain_secrets() {
    let _turn = turn();
    let bytes: [u8; 32] = secret(2);
    let long: [u8; 64] = secret(3);
    let make = || Secret::init_with(|out| *out = bytes);
    wiped("Secret<32>", &[&bytes], true, make);
    wiped("Secret<64>", &[&long], true, || Secret::from(long));
    wiped("Psk", &[&bytes], true, || Psk::from(make()));
    wiped("RootKey", &[&bytes], true, || RootKey::from(make()));
    wiped("MacKey", &[&bytes], true, || MacKey::from(make()));
    wiped("Secret, half written", &[&bytes], false, || {
        Secret::<32>::try_init_with(|out| {
            *out = bytes;
            Err(())
        })
        .unwrap_err()
    });
    wiped("Secret, split", &[&long[..32], &long[32..]], true, || Secret::from(long).split::<32, 32>());
    wiped("a boxed one", &[&bytes], false, || Box::new(make()));
    wiped("a vector of them", &[&bytes], false, || vec![make(), make()]);
}

#[test]
fn derived_secrets() {
    let _turn = turn();
    let bytes: [u8; 32] = secret(4);
    let root = *extract(LABEL, &bytes).expose();
    let derived = *extract(LABEL, &bytes).derive::<64>(LABEL, &[b"field"]).unwrap().expose();
    wiped("extract", &[&root], true, || extract(LABEL, &bytes));
    wiped("derive", &[&derived], true, || {
        RootKey::from(Secret::from(root)).derive::<64>(LABEL, &[b"field"]).unwrap()
    });
    wiped("a tag computed", &[&bytes], false, || {
        let _ = MacKey::from(Secret::from(bytes)).tag(&[b"message"]);
    });
}

#[test]
fn keys_of_every_backend() {
    let _turn = turn();
    let bytes: [u8; 32] = secret(5);
    for &backend in Backend::ALL {
        let key = || Secret::from(bytes);
        wiped("DhSecretKey", &[&bytes], true, || DhSecretKey::<Noise>::from_secret(backend, key()));
        let peer = DhSecretKey::<Noise>::generate(backend, &mut OsRng);
        let agree =
            || DhSecretKey::<Noise>::from_secret(backend, key()).diffie_hellman(peer.public_key()).unwrap();
        let shared = *agree().raw().expose();
        wiped("SharedSecret", &[&bytes, &shared], true, agree);

        wiped("ChaChaPoly", &[&bytes], backend == Backend::Portable, || ChaChaPoly::new(backend, &key()));
        wiped("OneTimeKey, used", &[&bytes], false, || {
            OneTimeKey::new(backend, &key()).seal_in_place(b"", &mut [0; 100]).unwrap();
        });

        let seed: [u8; 64] = secret(6);
        wiped("KemSecretKey", &[&seed[..32], &seed[32..]], false, || {
            KemSecretKey::from_seed(backend, &Secret::from(seed))
        });
    }
    wiped("SigningKey", &[&bytes], true, || SigningKey::from_seed(&Secret::from(bytes)));
}

#[test]
fn a_generator_forgets_what_it_gave_out() {
    let _turn = turn();
    let mut rng = BufferedRng::new();
    let mut drawn = [[0; 32]; 40];
    drawn.iter_mut().for_each(|bytes| rng.fill_bytes(bytes));
    // The first half is of an earlier block than the second.
    let (first, last): (&[u8], &[u8]) = (&drawn[0], &drawn[39]);
    assert_eq!(watch(&[first, last], move || drop(rng)), 0);
    let copy = drawn[39].to_vec();
    assert_eq!(watch(&[first, last], move || drop(copy)), 1);
}

#[test]
fn identities() {
    let _turn = turn();
    let bytes: [u8; 32] = secret(7);
    for &backend in Backend::ALL {
        let make = || Identity::from_seed(backend, Secret::from(bytes));
        let (noise, table, age) = (make().noise_key(), make().table_key(), make().age_key());
        let keys = [noise.expose(), table.expose(), age.expose()].map(|key| *key.expose());
        let text = make().to_secret_text().to_string().into_bytes();
        let secrets = [&bytes[..], &keys[0], &keys[1], &keys[2], &text[20..60]];
        wiped("Identity", &secrets, true, make);
        wiped("its keys", &secrets, true, || {
            let id = make();
            (id.noise_key(), id.table_key(), id.age_key(), id.signing_key())
        });
        wiped("its text", &secrets, false, || make().to_secret_text());
        wiped("read from text", &secrets[..4], true, || {
            Identity::from_text(backend, str::from_utf8(&text).unwrap()).unwrap()
        });
        wiped("printed", &secrets, false, || {
            let mut out = String::new();
            write!(out, "{:?} {}", make(), make().public()).unwrap();
            out
        });
    }
}

#[test]
fn identity_files() {
    let _turn = turn();
    let bytes: [u8; 32] = secret(8);
    let make = || Identity::from_seed(Backend::best(), Secret::from(bytes));
    let text = make().to_secret_text().to_string().into_bytes();
    let folder = std::env::temp_dir().join(format!("symbolon-wiping-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let (plain, protected) =
        (IdentityFile::at(folder.join("plain")), IdentityFile::at(folder.join("protected")));
    let passphrase = Passphrase::new("p").unwrap();
    wiped("IdentityFile", &[&bytes, &text[20..60]], true, || {
        plain.create(&make()).unwrap();
        protected.create_protected(&make(), &passphrase, Argon2Params::FLOOR, &mut OsRng).unwrap();
        (plain.read().unwrap(), protected.read_protected(&passphrase).unwrap())
    });
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn passphrases() {
    let _turn = turn();
    let text = "correct horse battery staple";
    // Not normal: a space that is none, and an accent apart. Both steps make a copy of their own.
    let odd = "correct horse battery\u{2003}staple cafe\u{301}";
    let normal = "correct horse battery staple caf\u{e9}";
    wiped("Passphrase", &[text.as_bytes()], false, || Passphrase::new(text).unwrap());
    wiped("Passphrase, refused", &[text.as_bytes()], false, || {
        Passphrase::new(&format!("{}\0", "x".repeat(9))).is_err()
    });
    let secrets: [&[u8]; 2] = [normal.as_bytes(), odd.as_bytes()];
    wiped("Passphrase, normalised", &secrets, false, || Passphrase::new(odd).unwrap());

    let stretched =
        *stretch(&Passphrase::new(text).unwrap(), &[1; 16], Argon2Params::FLOOR).unwrap().expose();
    wiped("stretch", &[text.as_bytes(), &stretched], true, || {
        stretch(&Passphrase::new(text).unwrap(), &[1; 16], Argon2Params::FLOOR).unwrap()
    });
    let content: [u8; 200] = secret(9);
    wiped("protect, unprotect", &[text.as_bytes(), &content], false, || {
        let passphrase = Passphrase::new(text).unwrap();
        let file = protect(&passphrase, Argon2Params::FLOOR, &content, &mut OsRng).unwrap();
        unprotect(&passphrase, &file).unwrap()
    });
}

/// The working memory of Argon2id, from whose last blocks the key comes.
#[test]
fn the_memory_of_the_stretching() {
    let _turn = turn();
    let large = || (LARGE.load(Ordering::SeqCst), DIRTY.load(Ordering::SeqCst));
    let before = large();
    watch(&[], || drop(vec![1_u8; 1 << 20]));
    let control = large();
    assert_eq!((control.0 - before.0, control.1 - before.1), (1, 1));
    watch(&[], || {
        stretch(&Passphrase::new("p").unwrap(), &[1; 16], Argon2Params::FLOOR).unwrap();
    });
    let after = large();
    assert_eq!((after.0 - control.0, after.1 - control.1), (1, 0));
}
