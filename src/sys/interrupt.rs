//! Ignoring the interrupt signal. A Ctrl-C on a terminal reaches the whole foreground group, the
//! plugin with its host, and the host decides what becomes of the plugin.

#[cfg(unix)]
pub(crate) use self::unix::IgnoreInterrupts;

/// There is no such signal here.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) enum IgnoreInterrupts {}

#[cfg(not(unix))]
impl IgnoreInterrupts {
    pub(crate) fn start() -> Option<(Self, std::io::PipeReader)> {
        None
    }
}

#[cfg(unix)]
mod unix {
    use std::io::{self, PipeReader};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

    use signal_hook::consts::SIGINT;
    use signal_hook::{SigId, flag, low_level};

    /// While one of these lives, the process ignores SIGINT; afterwards it has its default action
    /// again.
    ///
    /// The signal is caught and not set to "ignore", which children would inherit.
    #[derive(Debug)]
    pub(crate) struct IgnoreInterrupts {
        told: SigId,
    }

    /// How many there are.
    static ALIVE: Mutex<usize> = Mutex::new(0);

    /// Whether the signal has its default action. There is one for the whole life of the process:
    /// what is registered with it stays, and of several each would act for itself.
    static BY_DEFAULT: OnceLock<Option<Arc<AtomicBool>>> = OnceLock::new();

    fn by_default() -> Option<&'static AtomicBool> {
        let register = || {
            let flag = Arc::new(AtomicBool::new(true));
            flag::register_conditional_default(SIGINT, Arc::clone(&flag)).ok()?;
            Some(flag)
        };
        BY_DEFAULT.get_or_init(register).as_deref()
    }

    fn alive() -> MutexGuard<'static, usize> {
        ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    impl IgnoreInterrupts {
        /// Also gives a pipe that gets a byte for each signal. `None` if the system refuses; then
        /// the signal keeps its action.
        pub(crate) fn start() -> Option<(Self, PipeReader)> {
            let by_default = by_default()?;
            let (reader, writer) = io::pipe().ok()?;
            let told = low_level::pipe::register(SIGINT, writer).ok()?;
            let mut alive = alive();
            *alive += 1;
            by_default.store(false, Ordering::Relaxed);
            Some((Self { told }, reader))
        }
    }

    impl Drop for IgnoreInterrupts {
        fn drop(&mut self) {
            let mut alive = alive();
            *alive -= 1;
            if let (0, Some(by_default)) = (*alive, by_default()) {
                by_default.store(true, Ordering::Relaxed);
            }
            drop(alive);
            low_level::unregister(self.told);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::io::Read as _;
        use std::os::unix::process::ExitStatusExt as _;
        use std::process::Command;

        /// Set in the process that the signals are for.
        const IN_CHILD: &str = "OUTBOARD_TEST_INTERRUPTS";

        #[test]
        fn each_is_counted_a_second_time_too_and_deadly_afterwards() {
            if std::env::var_os(IN_CHILD).is_some() {
                in_child();
            }
            let name = "sys::interrupt::unix::tests::\
                        each_is_counted_a_second_time_too_and_deadly_afterwards";
            let test = std::env::current_exe().expect("a path");
            let child = Command::new(test)
                .args(["--exact", name, "--nocapture"])
                .env(IN_CHILD, "1")
                .output()
                .expect("it starts");
            let told = String::from_utf8_lossy(&child.stdout);
            assert!(told.contains("survived"), "{child:?}");
            assert_eq!(child.status.signal(), Some(SIGINT), "{child:?}");
        }

        fn in_child() -> ! {
            let raise = || low_level::raise(SIGINT).expect("a known signal");
            for _ in 0..2 {
                let (ignoring, mut told) = IgnoreInterrupts::start().expect("there is room");
                let (other, _) = IgnoreInterrupts::start().expect("there is room");
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
            unreachable!("nobody ignores it any more")
        }
    }
}
