//! From launch to first reply, over real processes.

mod common;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use outboard_benches::orders::Order;
use outboard_benches::runner::proc::Placement;
use outboard_benches::runner::session::{Session, number};

use common::{nanos, programs, subjects};

fn dispense(criterion: &mut Criterion) {
    let programs = programs();
    for what in ["total", "shutdown"] {
        let mut group = criterion.benchmark_group(format!("dispense/{what}"));
        group.sample_size(20);
        for subject in subjects(&programs) {
            let mut session =
                Session::start(subject, &programs, Placement::Free).expect("a host program");
            group.bench_function(BenchmarkId::from_parameter(subject), |bencher| {
                bencher.iter_custom(|count| {
                    let count = usize::try_from(count).expect("a small number");
                    let answer = session.order(Order::Dispense(count)).expect("launches");
                    let answer = answer.expect("every subject can launch");
                    let launches = answer.get("launches").and_then(|l| l.as_array());
                    let times = launches.expect("launches").iter();
                    nanos(times.map(|l| number(l, what).expect("a time")).sum())
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, dispense);
criterion_main!(benches);
