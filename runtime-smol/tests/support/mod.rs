//! How cases of the conformance suite run on smol.

use std::sync::Arc;
use std::thread;

use async_executor::Executor;
use futures_channel::oneshot;
use outboard_runtime_smol::Smol;
use outboard_runtimes::Case;

pub(crate) fn one_thread(case: Case) {
    Smol::block_on(|smol| case(smol.into()));
}

/// An executor of the user's, with two threads of its own.
pub(crate) fn many_threads(case: Case) {
    let executor = Arc::new(Executor::new());
    thread::scope(|scope| {
        let stops: Vec<oneshot::Sender<()>> = (0..2)
            .map(|_| {
                let (stop, stopped) = oneshot::channel();
                let executor = &executor;
                scope.spawn(move || async_io::block_on(executor.run(stopped)));
                stop
            })
            .collect();
        async_io::block_on(case(Smol::on(&executor).into()));
        drop(stops);
    });
}
