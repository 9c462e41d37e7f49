//! What the tests of outboard share: streams of bytes of every kind, a runtime whose clock the test
//! moves, a service to call, frames of both wires made by hand, and the axes of suites and benches.
//!
//! Nothing here uses a transport, so that the transports' own tests can use it.

pub mod axes;
pub mod dice;
pub mod dropping;
pub mod echo;
pub mod events;
#[cfg(unix)]
pub mod files;
pub mod h2_frames;
pub mod metadata;
pub mod pipe;
pub mod reflect;
pub mod runtime;
pub mod shape;
pub mod stdio_frames;

use std::future::Future;
use std::time::Duration;

pub use self::dropping::Spawned;
pub use self::echo::{Echo, Event};
pub use self::pipe::{WriteCount, pipe};
pub use self::runtime::{TestRuntime, run_with, settle};

/// Only a watchdog: no test waits for it when all is well.
const WATCHDOG: Duration = Duration::from_secs(60);

/// What a thread of its own comes to, so that whoever waits for it holds nobody up.
///
/// # Panics
/// If the work does.
pub async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = futures_channel::oneshot::channel();
    std::thread::spawn(move || sender.send(work()).ok());
    receiver.await.expect("the work does not panic")
}

/// Runs a test to its end on this thread.
///
/// # Panics
/// If it hangs.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let timer = async_io::Timer::after(WATCHDOG);
    let test = std::pin::pin!(test);
    match async_io::block_on(futures_util::future::select(test, timer)) {
        futures_util::future::Either::Left((value, _)) => value,
        futures_util::future::Either::Right(_) => panic!("the test hangs"),
    }
}
