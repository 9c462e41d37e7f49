//! Plugins over net/rpc under a Rust host, go-plugin's and our own, on each runtime, with and without
//! AutoMTLS: what is expected of both is in `outboard_interop::netrpc`.
#![cfg(unix)]

/// One test for each check.
macro_rules! scenarios {
    ($($group:ident: $($name:ident)+;)+) => { $($(
        #[test]
        fn $name() {
            let Some(subject) = subject() else { return };
            outboard_interop::netrpc::$group::$name(&subject);
        }
    )+)+ };
}

mod of_go {
    use outboard_interop::go;
    use outboard_interop::netrpc::case::Subject;

    fn subject() -> Option<Subject> {
        go().map(Subject::go)
    }

    scenarios! {
        calls: talk unsendable any_order two_instances given_up;
        streams: both_ways nobody much;
        life: crash panic_of_the_process kill quits does_not_end;
        supervised: kept_up swapped;
        output: printed logged;
        refused: other_protocols versions sizes;
    }
}

mod of_rust {
    use outboard_interop::netrpc::case::Subject;

    fn subject() -> Option<Subject> {
        Some(Subject::rust(env!("CARGO_BIN_EXE_rust-netrpc-peer")))
    }

    scenarios! {
        calls: talk any_order two_instances given_up nil_for_an_unknown_method;
        streams: both_ways nobody much;
        life: crash kill quits does_not_end lost_answer panic_of_a_handler;
        supervised: kept_up swapped;
        output: printed logged;
        refused: other_protocols versions sizes sizes_of_a_plugin unservable hostile;
    }
}
