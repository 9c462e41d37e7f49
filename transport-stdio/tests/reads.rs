//! A caller that waits alone and reads by itself.

mod support;

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use async_executor::Executor;
use outboard_core::rpc::{CallHead, ConnectionConfig, ServerConfig, Transport};
use outboard_transport_stdio::Stdio;
use support::TestRuntime;
use support::reactor::Lane;
use support::service::{out, router};

/// The waker of a task that is run when the test says so.
struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

fn settle(tasks: &'static Executor<'static>) {
    while tasks.try_tick() {}
}

#[test]
fn a_call_back_that_a_waiting_caller_reads_is_answered() {
    let (to_a, to_b) = (Lane::default(), Lane::default());
    let (a_io, b_io) = Lane::joined(&to_a, &to_b);
    let (a_rt, a) = TestRuntime::on_this_thread();
    let (b_rt, b) = TestRuntime::on_this_thread();
    let (_echo_b, router_b) = router();
    let (_echo_a, router_a) = router();
    let serving = Stdio::new().serve(&b_rt, Box::new(b_io), router_b, ServerConfig::default());
    let connection = Stdio::new().connect(&a_rt, Box::new(a_io), ConnectionConfig::default());
    let turn = || {
        for _ in 0..5 {
            to_a.reactor_turn();
            settle(a);
            to_b.reactor_turn();
            settle(b);
        }
    };
    turn();
    let channels = connection.sub_channels().expect("stdio has some");
    let _accepted = channels.accept(1, router_a).expect("free");
    let channels = serving.sub_channels().expect("stdio has some");
    let back = channels.dial(1, ConnectionConfig::default());
    // The host waits for its one call, which the plugin answers after it has called back.
    let waker = Waker::from(Arc::new(Idle));
    let mut cx = Context::from_waker(&waker);
    let mut hang = connection.unary(CallHead::new("/test.Echo/Hang"), out(""));
    assert!(hang.as_mut().poll(&mut cx).is_pending());
    turn();
    // A first call back, handled by the driver; the caller has been woken too and has not yet run.
    let mut noop = Context::from_waker(Waker::noop());
    let mut first = back.unary(CallHead::new("/test.Echo/Echo"), out("1"));
    assert!(first.as_mut().poll(&mut noop).is_pending());
    settle(b);
    to_a.reactor_turn();
    settle(a);
    // A second call back arrives; the caller runs before the reactor has looked.
    let mut second = back.unary(CallHead::new("/test.Echo/Echo"), out("2"));
    assert!(second.as_mut().poll(&mut noop).is_pending());
    settle(b);
    assert!(hang.as_mut().poll(&mut cx).is_pending());
    turn();
    for (call, text) in [(&mut first, "1"), (&mut second, "2")] {
        let Poll::Ready(reply) = call.as_mut().poll(&mut noop) else {
            panic!("call back {text} is not answered");
        };
        assert_eq!(reply.expect("well").message, text);
    }
}
