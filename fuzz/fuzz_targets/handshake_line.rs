//! Any bytes as handshake line: a line that prints and reads back, or an error of bounded size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outboard_core::handshake::{HandshakeLine, HostExpectation, Protocol};

fuzz_target!(|line: &[u8]| {
    match HandshakeLine::parse(line) {
        Ok(parsed) => {
            let printed = parsed.to_bytes();
            let again = HandshakeLine::parse(&printed).expect("our own line");
            // Printing normalises, and white space at the end of the last field is the line's.
            let twice = HandshakeLine::parse(again.to_bytes()).expect("our own line");
            assert_eq!(again, twice);
            assert_eq!(again.app_version(), parsed.app_version());
            assert_eq!(again.location(), parsed.location());
            assert_eq!(again.protocol(), parsed.protocol());
        }
        Err(error) => assert!(error.to_string().len() < 8_000),
    }
    for host in [
        HostExpectation::new([1]),
        HostExpectation::new([0, 1])
            .allowing(Protocol::ALL)
            .multiplexing(true),
    ] {
        match host.check(line) {
            Ok(accepted) => assert!(host.versions().contains(&accepted.line.app_version())),
            Err(error) => assert!(error.to_string().len() < 8_000),
        }
    }
});
