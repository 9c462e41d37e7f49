//! How cases of the conformance suite run on tokio.

use outboard_runtime_tokio::Tokio;
use outboard_runtimes::Case;
use tokio::runtime::{Builder, Runtime};

pub(crate) fn one_thread(case: Case) {
    run(Builder::new_current_thread(), case);
}

pub(crate) fn many_threads(case: Case) {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2);
    run(builder, case);
}

fn run(mut builder: Builder, case: Case) {
    let runtime: Runtime = builder.enable_all().build().expect("a runtime");
    let tokio = Tokio::from_handle(runtime.handle().clone());
    runtime.block_on(case(tokio.into()));
}
