//! Files kept under a passphrase, and passphrases. Only the cheapest are stretched: to accept what is dear is right,
//! and would stop the fuzzer.

use symbolon_keys::passphrase::{
    Argon2Params, OVERHEAD, Passphrase, UnprotectError, is_protected, params, unprotect,
};

pub(crate) fn run(data: &[u8]) {
    let text = str::from_utf8(data).unwrap_or("p");
    if let Ok(passphrase) = Passphrase::new(text) {
        // What is normal already stays as it is.
        let again = str::from_utf8(passphrase.expose()).unwrap();
        assert!(
            again.len() > Passphrase::MAX_LEN || Passphrase::new(again).unwrap().expose() == again.as_bytes()
        );
    }
    match params(data) {
        Ok(params) if params == Argon2Params::FLOOR => {
            match unprotect(&Passphrase::new("p").unwrap(), data) {
                Ok(content) => assert_eq!(content.len() + OVERHEAD, data.len()),
                Err(error) => assert_eq!(error, UnprotectError::Rejected),
            }
        }
        Ok(params) => {
            let parts = (params.memory_kib(), params.passes(), params.lanes());
            assert_eq!(Argon2Params::new(parts.0, parts.1, parts.2), Ok(params));
        }
        Err(error) => assert_eq!(error == UnprotectError::NotProtected, !is_protected(data)),
    }
}
