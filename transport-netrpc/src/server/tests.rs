//! Streams that share what a session bounds.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use outboard_kit::{TestRuntime, pipe, run_with, settle};

use super::*;
use crate::client::RpcClient;
use crate::load::Bounds;

const SMALL: Bounds = Bounds {
    calls: 3,
    bytes: 100_000,
    free: 1_000,
};

/// More than the pipes hold and the readers read at once.
const LARGE: usize = 300_000;

/// A service whose calls begin and then wait to be let go of, one by one.
struct Held {
    begun: Arc<AtomicUsize>,
    let_go: std::sync::Mutex<Vec<Teller<()>>>,
}

impl Held {
    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// The one that began last goes on.
    fn let_go(&self) {
        let call = self.let_go.lock().expect("no panic").pop();
        call.expect("one runs").tell(());
    }
}

/// Streams that are served with one load, and their clients.
struct Rig {
    tasks: outboard_kit::runtime::Tasks,
    held: Arc<Held>,
    clients: Vec<RpcClient>,
}

fn rig(streams: usize) -> Rig {
    let (runtime, tasks, _clock) = TestRuntime::with_clock();
    let held = Arc::new(Held {
        begun: Arc::default(),
        let_go: std::sync::Mutex::default(),
    });
    let of_service = Arc::clone(&held);
    let methods = crate::service::Methods::new()
        .with("Hold", move |bytes: Vec<u8>| {
            of_service.begun.fetch_add(1, Ordering::Relaxed);
            let teller = Teller::new();
            let told = teller.told();
            of_service.let_go.lock().expect("no panic").push(teller);
            async move {
                told.await;
                Ok::<usize, String>(bytes.len())
            }
        })
        .with("Len", |bytes: Vec<u8>| async move {
            Ok::<usize, String>(bytes.len())
        });
    let services: Services =
        Arc::new([("Plugin".to_owned(), Arc::new(methods) as Arc<dyn Service>)].into());
    let load = Load::new(SMALL);
    let clients = (0..streams).map(|_| {
        let (near, far) = pipe(16 * 1024);
        let (of, services, load) = (Arc::clone(&runtime), Arc::clone(&services), load.clone());
        runtime.spawn(Box::pin(async move {
            let until = Until {
                closed: std::future::pending(),
                drained: std::future::pending(),
            };
            let limits = Limits::default();
            let _ended = serve_until(of, Box::new(far), services, limits, &load, until).await;
        }));
        RpcClient::new(&runtime, Box::new(near), Limits::default())
    });
    let clients = clients.collect();
    Rig {
        tasks,
        held,
        clients,
    }
}

#[test]
fn large_arguments_of_several_streams_are_read_one_after_another() {
    let rig = rig(4);
    let large = vec![7_u8; LARGE];
    let hold = |at: usize| {
        let client = &rig.clients[at];
        let call = client.call::<_, usize>("Plugin.Hold", &large);
        let mut call = Box::pin(call);
        assert!((&mut call).now_or_never().is_none());
        call
    };
    // Larger than the bound by itself, and alone.
    let first = hold(0);
    settle(rig.tasks);
    assert_eq!(rig.held.begun(), 1, "one alone always goes through");
    let (second, third) = (hold(1), hold(2));
    settle(rig.tasks);
    assert_eq!(rig.held.begun(), 1, "they are not read");
    // Small ones do not wait, and so the large ones may wait for them.
    let small = vec![7_u8; 900];
    let client = &rig.clients[3];
    let len = client.call::<_, usize>("Plugin.Len", &small);
    assert_eq!(run_with(rig.tasks, len).expect("a length"), 900);
    rig.held.let_go();
    assert_eq!(run_with(rig.tasks, first).expect("a length"), LARGE);
    settle(rig.tasks);
    assert_eq!(rig.held.begun(), 2, "one after another");
    rig.held.let_go();
    settle(rig.tasks);
    assert_eq!(rig.held.begun(), 3);
    rig.held.let_go();
    for call in [second, third] {
        assert_eq!(run_with(rig.tasks, call).expect("a length"), LARGE);
    }
}

#[test]
fn a_stream_that_ends_within_a_large_argument_holds_up_nobody() {
    let mut rig = rig(3);
    let large = vec![7_u8; LARGE];
    let (first, second) = (rig.clients.remove(0), rig.clients.remove(0));
    let mut calls: Vec<_> = [&first, &second, &rig.clients[0]]
        .map(|client| Box::pin(client.call::<_, usize>("Plugin.Len", &large)))
        .into();
    // All of them have begun to come; then two are given up with their clients.
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    let last = calls.pop().expect("the third");
    drop((calls, first, second));
    assert_eq!(run_with(rig.tasks, last).expect("a length"), LARGE);
}

#[test]
fn calls_are_bounded_over_all_streams() {
    let rig = rig(2);
    let mut calls: Vec<_> = [0, 1, 0, 1, 1]
        .map(|at: usize| Box::pin(rig.clients[at].call::<_, usize>("Plugin.Hold", &[1_u8][..])))
        .into();
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    for begun in 3..=5 {
        settle(rig.tasks);
        assert_eq!(rig.held.begun(), begun);
        rig.held.let_go();
    }
    settle(rig.tasks);
    rig.held.let_go();
    rig.held.let_go();
    for call in calls {
        assert_eq!(run_with(rig.tasks, call).expect("a length"), 1);
    }
}
