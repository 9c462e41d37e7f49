//! Four calls at once whose handlers compute, with two threads in the plugin: how long they take
//! together, and how long a call beside them waits.

mod common;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use outboard_benches::orders::Order;
use outboard_benches::runner::proc::Placement;
use outboard_benches::runner::session::Session;
use outboard_benches::runner::subject::{GoProtocol, Subject};
use outboard_benches::runtimes::{RuntimeKind, USUAL_TRANSPORTS};

use common::{nanos, programs, subjects};

/// Each as long as a thousand echoes.
const MICROS: u64 = 20_000;

fn computing(criterion: &mut Criterion) {
    let programs = programs();
    let mut all = USUAL_TRANSPORTS
        .map(|transport| Subject::Outboard {
            runtime: RuntimeKind::TokioThreads,
            transport,
        })
        .to_vec();
    for peer in subjects(&programs) {
        match peer {
            Subject::Tonic => all.push(Subject::TonicThreads),
            Subject::Go(GoProtocol::Grpc) => all.push(peer),
            _ => {}
        }
    }
    for (what, number) in [("4 calls of 20 ms", "ns"), ("a call beside them", "echo")] {
        let mut group = criterion.benchmark_group(format!("computing/{what}"));
        group.sample_size(10);
        for subject in &all {
            let mut session =
                Session::start(*subject, &programs, Placement::Free).expect("a host program");
            session.launch().expect("a plugin");
            group.bench_function(BenchmarkId::from_parameter(subject), |bencher| {
                bencher.iter_custom(|count| {
                    let order = Order::Compute {
                        callers: 4,
                        micros: MICROS,
                    };
                    let mut total = 0.0;
                    for _ in 0..count {
                        let [ns] = session.numbers(order, [number]).expect("calls");
                        total += ns;
                    }
                    nanos(total)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, computing);
criterion_main!(benches);
