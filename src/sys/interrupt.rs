//! The signals that ask a plugin to end.
//!
//! A Ctrl-C on a terminal (SIGINT) reaches the whole foreground group, the plugin with its host, and the
//! host decides what becomes of the plugin. A plugin that no host holds is asked to end by it, and the
//! next one ends it as any program. A SIGTERM asks every plugin.

#[cfg(unix)]
pub(crate) use self::unix::Interrupts;

/// There is no such signal here.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) enum Interrupts {}

#[cfg(not(unix))]
impl Interrupts {
    pub(crate) fn catch(_held: bool) -> Option<(Self, std::io::PipeReader)> {
        None
    }

    pub(crate) fn catch_termination() -> Option<(Self, std::io::PipeReader)> {
        None
    }
}

#[cfg(unix)]
mod unix {
    use std::io::{self, PipeReader, PipeWriter};
    use std::sync::atomic::{AtomicU64, Ordering};

    use libc::{SIGINT, SIGTERM, c_int};

    use crate::sys::signals::{self, Caught, Shared};

    /// While one of these lives, its signal has not its default action; afterwards it has it again. A
    /// handler of the program's own stays in charge all the time, and nothing is told then.
    ///
    /// The signal is caught and not set to "ignore", which children would inherit.
    #[derive(Debug)]
    pub(crate) struct Interrupts {
        id: u64,
        _caught: Caught,
    }

    #[derive(Debug)]
    struct Listener {
        id: u64,
        signal: c_int,
        writer: PipeWriter,
        /// Whether the signal never ends the process: a host decides about that.
        held: bool,
        told: bool,
    }

    static LISTENERS: Shared<Vec<Listener>> = Shared::new(Vec::new());

    impl Interrupts {
        /// Catches SIGINT, and gives a pipe that gets a byte for each. For a process that is `held` all are
        /// ignored beyond that, otherwise the first only. `None` if the system refuses; then the
        /// signal keeps its action.
        pub(crate) fn catch(held: bool) -> Option<(Self, PipeReader)> {
            Self::of(SIGINT, held, &[SIGINT])
        }

        /// Catches SIGTERM in the same way. The first is told, and the second ends the process.
        pub(crate) fn catch_termination() -> Option<(Self, PipeReader)> {
            Self::of(SIGTERM, false, &[SIGTERM])
        }

        fn of(signal: c_int, held: bool, signals: &'static [c_int]) -> Option<(Self, PipeReader)> {
            static IDS: AtomicU64 = AtomicU64::new(0);
            let (reader, writer) = io::pipe().ok()?;
            // A handler must never wait.
            rustix::io::ioctl_fionbio(&writer, true).ok()?;
            let id = IDS.fetch_add(1, Ordering::Relaxed);
            let listener = Listener {
                id,
                signal,
                writer,
                held,
                told: false,
            };
            LISTENERS.with(|all| all.push(listener));
            signals::on_request(tell);
            let caught = Caught::new(signals);
            let interrupts = Self {
                id,
                _caught: caught,
            };
            Some((interrupts, reader))
        }
    }

    impl Drop for Interrupts {
        fn drop(&mut self) {
            LISTENERS.with(|all| all.retain(|listener| listener.id != self.id));
        }
    }

    /// Tells all who listen, in a handler of the signal. False if the process is to end by it.
    fn tell(signal: c_int) -> bool {
        let told = LISTENERS.try_with(|all| {
            let mut survives = false;
            for listener in all.iter_mut().filter(|one| one.signal == signal) {
                survives |= listener.held || !listener.told;
                listener.told = true;
                // A pipe that is full has told enough.
                let _full = rustix::io::write(&listener.writer, &[0]);
            }
            survives
        });
        told == Some(true)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::io::Read as _;
        use std::os::unix::process::ExitStatusExt as _;
        use std::process::{Command, Output};
        use std::sync::Arc;
        use std::sync::atomic::AtomicBool;

        use signal_hook::{flag, low_level};

        /// Set in the process that the signals are for.
        const IN_CHILD: &str = "OUTBOARD_TEST_INTERRUPTS";

        fn in_child() -> bool {
            std::env::var_os(IN_CHILD).is_some()
        }

        fn again(name: &str) -> Output {
            Command::new(std::env::current_exe().expect("a path"))
                .args(["--exact", name, "--nocapture"])
                .env(IN_CHILD, "1")
                .output()
                .expect("it starts")
        }

        fn raise() {
            low_level::raise(SIGINT).expect("a known signal");
        }

        #[test]
        fn each_is_counted_a_second_time_too_and_deadly_afterwards() {
            if in_child() {
                for _ in 0..2 {
                    let (ignoring, mut told) = Interrupts::catch(true).expect("there is room");
                    let (other, _) = Interrupts::catch(true).expect("there is room");
                    raise();
                    drop(other);
                    raise();
                    drop(ignoring);
                    let mut bytes = Vec::new();
                    told.read_to_end(&mut bytes).expect("it is closed");
                    assert_eq!(bytes.len(), 2);
                }
                println!("survived");
                raise();
                unreachable!("nobody ignores it any more");
            }
            let child = again(
                "sys::interrupt::unix::tests::\
                 each_is_counted_a_second_time_too_and_deadly_afterwards",
            );
            let told = String::from_utf8_lossy(&child.stdout);
            assert!(told.contains("survived"), "{child:?}");
            assert_eq!(child.status.signal(), Some(SIGINT), "{child:?}");
        }

        #[test]
        fn without_a_host_the_first_asks_and_the_second_is_deadly() {
            if in_child() {
                let (_asked, mut told) = Interrupts::catch(false).expect("there is room");
                raise();
                let mut byte = [0];
                told.read_exact(&mut byte).expect("it was told");
                println!("asked");
                raise();
                unreachable!("it was asked once already");
            }
            let child = again(
                "sys::interrupt::unix::tests::\
                 without_a_host_the_first_asks_and_the_second_is_deadly",
            );
            let told = String::from_utf8_lossy(&child.stdout);
            assert!(told.contains("asked"), "{child:?}");
            assert_eq!(child.status.signal(), Some(SIGINT), "{child:?}");
        }

        #[test]
        fn the_first_termination_asks_and_the_second_is_deadly_whatever_interrupts_do() {
            if in_child() {
                let (_ignoring, _) = Interrupts::catch(true).expect("there is room");
                let (_asked, mut told) = Interrupts::catch_termination().expect("there is room");
                raise();
                low_level::raise(SIGTERM).expect("a known signal");
                let mut bytes = [0; 2];
                assert_eq!(told.read(&mut bytes).expect("it was told"), 1);
                println!("asked");
                raise();
                low_level::raise(SIGTERM).expect("a known signal");
                unreachable!("it was asked once already");
            }
            let child = again(
                "sys::interrupt::unix::tests::\
                 the_first_termination_asks_and_the_second_is_deadly_whatever_interrupts_do",
            );
            let told = String::from_utf8_lossy(&child.stdout);
            assert!(told.contains("asked"), "{child:?}");
            assert_eq!(child.status.signal(), Some(SIGTERM), "{child:?}");
        }

        #[test]
        fn a_programs_own_handler_has_its_say_afterwards() {
            if in_child() {
                let seen = Arc::new(AtomicBool::new(false));
                let took = || seen.swap(false, Ordering::SeqCst);
                // As tokio::signal::ctrl_c or the ctrlc crate would, before or meanwhile.
                for before in [true, false] {
                    let register = || flag::register(SIGINT, Arc::clone(&seen));
                    let own = before.then(register);
                    let serving = Interrupts::catch(true).expect("there is room");
                    let own = own.unwrap_or_else(register).expect("registers");
                    raise();
                    assert!(took());
                    drop(serving);
                    raise();
                    assert!(took());
                    low_level::unregister(own);
                }
                println!("survived");
                std::process::exit(0);
            }
            let child =
                again("sys::interrupt::unix::tests::a_programs_own_handler_has_its_say_afterwards");
            assert!(child.status.success(), "{child:?}");
        }
    }
}
