//! The suite of all runtimes, on both flavours of tokio's.
#![cfg(unix)]

mod support;

mod one_thread {
    use crate::support::one_thread as run;
    outboard_runtimes::conformance!(run);
}

mod many_threads {
    use crate::support::many_threads as run;
    outboard_runtimes::conformance!(run);
}
