//! Runs secret computations under valgrind with the secrets marked as uninitialised: whatever branches on one of them,
//! or reads memory at a place that depends on one, is an error that memcheck counts. No clock is needed for it.
//!
//! An outcome that is public (a tag was right or not, a shared secret was zero or not) is one branch; it is allowed to
//! each step that has one. Valgrind emulates no AVX-512: what runs there is AVX2 or less.

use core::hint::black_box;

use memcheck::{errors, make_public, make_secret, require_valgrind};
use subtle::ConstantTimeEq;
use symbolon_keys::hazmat::ChaChaPoly;
use symbolon_keys::{
    Backend, DhSecretKey, Label, MacKey, Noise, OneTimeKey, OsRng, RootKey, Secret, SigningKey, extract,
};

const LABEL: Label = Label::new("example.org/constant-time");

/// Runs a step; whether it had at most so many errors, or, for a control, at least one.
fn step(name: &str, allowed: core::ops::RangeInclusive<u64>, f: impl FnOnce()) -> bool {
    let before = errors();
    f();
    let errors = errors() - before;
    println!("{name}: {errors} errors, {} to {} expected", allowed.start(), allowed.end());
    allowed.contains(&errors)
}

fn secret<const N: usize>() -> Secret<N> {
    let secret = Secret::from(black_box([7; N]));
    make_secret(secret.expose());
    secret
}

fn main() {
    require_valgrind();
    let mut good = true;
    for &backend in Backend::ALL {
        let peer = *DhSecretKey::<Noise>::generate(backend, &mut OsRng).public_key();
        good &= step(&format!("x25519 {backend}"), 0..=1, || {
            let key = DhSecretKey::<Noise>::from_secret(backend, secret());
            let shared = key.diffie_hellman(black_box(&peer));
            make_public(&shared);
            make_public(shared.unwrap().raw());
        });
        good &= step(&format!("chacha20-poly1305 seal {backend}"), 0..=0, || {
            let key = ChaChaPoly::new(backend, &secret());
            for len in [0, 1, 64, 300, 5000] {
                let mut data = black_box(vec![1; len]);
                make_secret(&data[..]);
                let tag = key.seal_in_place([1; 12], b"aad", &mut data);
                make_public(&tag);
                tag.unwrap();
            }
        });
        let mut sealed = *b"message";
        let tag = OneTimeKey::new(backend, &Secret::from([7; 32])).seal_in_place(b"", &mut sealed).unwrap();
        good &= step(&format!("chacha20-poly1305 open {backend}"), 0..=1, || {
            let opened = OneTimeKey::new(backend, &secret()).open_in_place(b"", &mut sealed, &tag);
            make_public(&opened);
            opened.unwrap();
        });
    }
    good &= step("comparison", 0..=0, || {
        let equal = secret::<32>().ct_eq(&secret());
        make_public(&equal);
        black_box(equal);
    });
    good &= step("derivation", 0..=0, || {
        let root: RootKey = extract(LABEL, secret::<32>().expose());
        let key = root.derive::<64>(LABEL, &[b"field", secret::<32>().expose()]).unwrap();
        make_public(key.expose());
    });
    let tag = MacKey::from(Secret::from([7; 32])).tag(&[b"message"]);
    good &= step("mac", 0..=1, || {
        let verified = MacKey::from(secret()).verify(&[b"message"], &tag);
        make_public(&verified);
        verified.unwrap();
    });
    good &= step("ed25519 sign", 0..=0, || {
        let signature = SigningKey::from_seed(&secret()).sign(LABEL, &[b"message"]).unwrap();
        make_public(signature.as_bytes());
    });
    good &= step("control: a comparison that stops early", 16..=u64::MAX, || {
        let (a, b) = (secret::<32>(), secret::<32>());
        let equal = a.expose().iter().zip(b.expose()).all(|(a, b)| black_box(a == b));
        make_public(&equal);
    });
    good &= step("control: a table", 1..=u64::MAX, || {
        let table = black_box([3_u8; 256]);
        let found = table[usize::from(secret::<1>().expose()[0])];
        make_public(&found);
    });
    std::process::exit(i32::from(!good));
}
