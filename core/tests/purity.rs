//! Proof that `core/clippy.toml` does forbid IO, clocks and threads: each function here breaks a
//! rule and *expects* clippy to say so. If a rule stops working, its expectation is unfulfilled,
//! which is a warning, and warnings are errors where the project is checked.
#![allow(dead_code, reason = "checked by clippy, never run")]

mod methods {
    use std::time::{Instant, SystemTime};

    #[expect(clippy::disallowed_methods)]
    fn monotonic_clock() -> Instant {
        Instant::now()
    }

    #[expect(clippy::disallowed_methods)]
    fn wall_clock() -> SystemTime {
        SystemTime::now()
    }

    #[expect(clippy::disallowed_methods)]
    fn sleep() {
        std::thread::sleep(std::time::Duration::ZERO);
    }

    #[expect(clippy::disallowed_methods)]
    fn thread() {
        let _handle = std::thread::spawn(|| ());
    }

    #[expect(clippy::disallowed_methods)]
    fn environment() -> Option<std::ffi::OsString> {
        std::env::var_os("PATH")
    }

    #[expect(clippy::disallowed_methods)]
    fn file() -> std::io::Result<Vec<u8>> {
        std::fs::read("/dev/null")
    }

    #[expect(clippy::disallowed_methods)]
    fn exit() {
        std::process::exit(0);
    }

    #[expect(clippy::disallowed_methods)]
    fn standard_streams() -> std::io::Stdout {
        std::io::stdout()
    }
}

mod types {
    #[expect(clippy::disallowed_types)]
    type Socket = std::net::TcpStream;

    #[cfg(unix)]
    #[expect(clippy::disallowed_types)]
    type LocalSocket = std::os::unix::net::UnixListener;

    #[expect(clippy::disallowed_types)]
    type Process = std::process::Command;

    #[expect(clippy::disallowed_types)]
    type File = std::fs::File;
}

#[test]
fn the_rules_are_checked_by_clippy() {
    // The lints above do the work; this makes sure that the file they read is where clippy looks.
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/clippy.toml");
    assert!(
        include_str!("../clippy.toml").contains("std::time::Instant::now"),
        "{rules}"
    );
}
