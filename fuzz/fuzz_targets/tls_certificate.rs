//! Any bytes as the certificate in field six, and any text as the one in the environment: a certificate
//! that is those bytes, or an error of bounded size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outboard_tls::{Pinned, TlsError};

fn check(result: Result<Pinned, TlsError>) -> Option<Pinned> {
    match result {
        Ok(pinned) => {
            let again = Pinned::from_der(pinned.der()).expect("its own bytes");
            assert_eq!(again, pinned);
            Some(pinned)
        }
        Err(error) => {
            assert!(matches!(error, TlsError::NotACertificate { .. }));
            assert!(error.to_string().len() < 1_000);
            None
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(pinned) = check(Pinned::from_der(bytes)) {
        assert_eq!(pinned.der(), bytes);
    }
    check(Pinned::from_pem(&String::from_utf8_lossy(bytes)));
});
