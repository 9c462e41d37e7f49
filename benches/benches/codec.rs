//! The protocol's machines without IO, in time. `outboard-bench --only codec` counts their
//! instructions.

use criterion::{Criterion, criterion_group, criterion_main};
use outboard_benches::codec;

fn cases(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    for name in codec::CASES {
        let mut work = codec::case(name).expect("a case");
        group.bench_function(name, |bencher| {
            bencher.iter(|| work().expect("it worked before"));
        });
    }
    group.finish();
}

criterion_group!(benches, cases);
criterion_main!(benches);
