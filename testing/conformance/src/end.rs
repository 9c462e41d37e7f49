//! Ways for a process to end that leave it no time for anything.

/// Ends without what programs do at their end.
#[allow(unsafe_code)]
pub fn exit_now(code: i32) -> ! {
    // SAFETY: it takes a plain number, touches no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}

/// Ends by a signal that cannot be caught.
pub fn kill() -> ! {
    let own = rustix::process::getpid();
    let killed = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    killed.expect("it may kill itself");
    loop {
        std::thread::park();
    }
}

/// Uses the stack up, of which the language tells on stderr.
pub fn overflow() -> ! {
    deeper(0);
    unreachable!("no stack is that long")
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    let block = std::hint::black_box([depth; 64]);
    deeper(depth + 1) + block[0]
}

/// Has the process ignore the signal that tells it to end.
#[allow(unsafe_code)]
pub fn ignore_termination() {
    // SAFETY: to ignore a signal is no function, and other threads may run on any action.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
}
