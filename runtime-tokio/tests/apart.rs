//! Tasks that keep their thread.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use outboard_core::rt::Runtime as _;
use outboard_runtime_tokio::Tokio;

/// A task that keeps its thread, spawned by one that reads, must not keep that one from reading on.
#[test]
fn a_task_that_computes_apart_holds_up_no_events() {
    let builder = &mut tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let (mut near, far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    let (began, begins) = mpsc::channel();
    let (read, reads) = mpsc::channel();
    let tokio = Tokio::from_handle(runtime.handle().clone());
    let (release, released) = mpsc::channel::<()>();
    runtime.spawn(async move {
        let far = tokio::net::UnixStream::from_std(far).unwrap();
        let released = Arc::new(Mutex::new(released));
        let mut order = [0];
        loop {
            far.readable().await.unwrap();
            match far.try_read(&mut order) {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => continue,
            }
            if order == *b"r" {
                read.send(()).unwrap();
                continue;
            }
            let (began, released) = (began.clone(), released.clone());
            tokio.spawn_apart(Box::pin(async move {
                began.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
            }));
        }
    });
    for round in 0..500 {
        near.write_all(b"c").unwrap();
        begins.recv().unwrap();
        near.write_all(b"r").unwrap();
        let limit = Duration::from_secs(20);
        let answered = reads.recv_timeout(limit);
        release.send(()).unwrap();
        assert_eq!(answered, Ok(()), "in round {round}");
    }
}
