//! Calls one after the other, 16 bytes in both directions, over real processes.

mod common;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use outboard_benches::orders::Order;
use outboard_benches::runner::proc::Placement;
use outboard_benches::runner::session::Session;

use common::{nanos, programs, subjects};

fn unary(criterion: &mut Criterion) {
    let programs = programs();
    for placement in [Placement::OneCore, Placement::Free] {
        let mut group = criterion.benchmark_group(format!("unary 16 B/{}", placement.name()));
        for subject in subjects(&programs) {
            let mut session =
                Session::start(subject, &programs, placement).expect("a host program");
            session.launch().expect("a plugin");
            group.bench_function(BenchmarkId::from_parameter(subject), |bencher| {
                bencher.iter_custom(|count| {
                    let count = usize::try_from(count).expect("a number that fits");
                    let order = Order::Unary { size: 16, count };
                    let [ns] = session
                        .numbers(order, ["ns"])
                        .expect("every subject has calls");
                    nanos(ns)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, unary);
criterion_main!(benches);
