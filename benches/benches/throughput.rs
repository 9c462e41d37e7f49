//! 64 callers on one connection, over real processes: the time per call.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use outboard_benches::orders::Order;
use outboard_benches::runner::figures::bytes;
use outboard_benches::runner::proc::Placement;
use outboard_benches::runner::session::Session;
use outboard_benches::runner::subject::Subject;

use common::{nanos, programs, subjects};

/// How long the callers are kept busy for one sample, in milliseconds.
const MILLIS: usize = 50;

fn throughput(criterion: &mut Criterion) {
    let programs = programs();
    for placement in [Placement::OneCore, Placement::Free] {
        for size in [16, 1 << 10, 64 << 10] {
            let name = format!("64 callers, {}/{}", bytes(size), placement.name());
            let mut group = criterion.benchmark_group(name);
            group.sample_size(20);
            group.throughput(Throughput::Elements(1));
            for subject in subjects(&programs) {
                if matches!(subject, Subject::Floor(_)) {
                    continue;
                }
                let mut session =
                    Session::start(subject, &programs, placement).expect("a host program");
                session.launch().expect("a plugin");
                group.bench_function(BenchmarkId::from_parameter(subject), |bencher| {
                    bencher.iter_custom(|count| {
                        let order = Order::Load {
                            size,
                            callers: 64,
                            millis: MILLIS,
                        };
                        let [calls, ns] = session
                            .numbers(order, ["calls", "ns"])
                            .expect("this subject takes many calls");
                        nanos(ns / calls * count as f64)
                    });
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, throughput);
criterion_main!(benches);
