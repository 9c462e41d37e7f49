//! From dialling what the plugin serves over the broker to the first reply, over real processes.

mod common;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use outboard_benches::orders::Order;
use outboard_benches::runner::proc::Placement;
use outboard_benches::runner::session::Session;
use outboard_benches::runner::subject::{GoProtocol, Subject};

use common::{nanos, programs, subjects};

fn dial(criterion: &mut Criterion) {
    let programs = programs();
    for placement in [Placement::OneCore, Placement::Free] {
        let mut group = criterion.benchmark_group(format!("dial/{}", placement.name()));
        group.sample_size(20);
        for subject in subjects(&programs) {
            // Those without a broker that is dialled like ours.
            if matches!(
                subject,
                Subject::Floor(_)
                    | Subject::Tonic
                    | Subject::NetRpc { .. }
                    | Subject::Go(GoProtocol::NetRpc)
            ) {
                continue;
            }
            let mut session =
                Session::start(subject, &programs, placement).expect("a host program");
            session.launch().expect("a plugin");
            group.bench_function(BenchmarkId::from_parameter(subject), |bencher| {
                bencher.iter_custom(|count| {
                    let count = usize::try_from(count).expect("a number that fits");
                    let [ns] = session
                        .numbers(Order::Dial(count), ["ns"])
                        .expect("every subject here has a broker");
                    nanos(ns)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, dial);
criterion_main!(benches);
