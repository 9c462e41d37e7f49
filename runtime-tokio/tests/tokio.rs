//! What only the tokio adapter promises; the conformance suite has the rest.

use std::future::poll_fn;
use std::time::Duration;

use outboard_core::rt::Runtime;
use outboard_runtime_tokio::Tokio;

#[test]
fn outside_a_runtime_the_panic_says_what_to_do() {
    assert!(Tokio::try_current().is_err());
    let panic = std::panic::catch_unwind(Tokio::current).expect_err("no runtime here");
    let text = panic.downcast_ref::<String>().expect("a formatted message");
    assert!(text.contains("Tokio::from_handle"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_drives_timers_and_now() {
    let runtime = Tokio::current();
    let (start, real) = (runtime.now(), std::time::Instant::now());
    let mut timer = runtime.timer(start + Duration::from_secs(3600));
    poll_fn(|cx| timer.as_mut().poll_expired(cx)).await;
    assert!(runtime.now() - start >= Duration::from_secs(3600));
    assert!(real.elapsed() < Duration::from_secs(3600));
}

#[tokio::test(start_paused = true)]
async fn an_elapsed_timer_is_ready_without_budget() {
    let runtime = Tokio::current();
    let mut timer = runtime.timer(runtime.now() + Duration::from_secs(1));
    tokio::time::advance(Duration::from_secs(2)).await;
    while tokio::task::coop::has_budget_remaining() {
        poll_fn(|cx| tokio::task::coop::poll_proceed(cx).map(|unit| unit.made_progress())).await;
    }
    let ready = poll_fn(|cx| std::task::Poll::Ready(timer.as_mut().poll_expired(cx))).await;
    assert!(ready.is_ready());
}

#[test]
#[cfg(target_os = "linux")]
fn a_child_dropped_after_the_runtime_leaves_no_zombie() {
    use outboard_core::rt::{Launch, Runner as _, SharedRuntime, Stdin};

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let tokio: SharedRuntime = Tokio::from_handle(runtime.handle().clone()).into();
    let mut launch = Launch::new("/bin/sh");
    launch.args = vec!["-c".into(), "read line".into()];
    launch.stdin = Stdin::Pipe;
    let launching = outboard_unix::ForkExec.launch(&tokio, launch);
    let process = runtime.block_on(launching).expect("there is a shell");
    let entry = format!("/proc/{}", process.child.id());
    drop(runtime);
    assert!(std::fs::exists(&entry).expect("/proc is readable"));
    drop(process);
    // At once, unless the machine is so busy that a thread had to take over.
    let give_up = std::time::Instant::now() + Duration::from_secs(20);
    while std::fs::exists(&entry).expect("/proc is readable") {
        assert!(
            std::time::Instant::now() < give_up,
            "{entry} is still there"
        );
        std::thread::yield_now();
    }
}
