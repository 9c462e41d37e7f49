//! What counting calls costs one that is made alone: with figures, and beside it without, over real processes
//! and in one host.
//!
//! The two are two plugins of one program, measured in turn, many times: a machine that is busy slows both.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use outboard::{Command, Host, RunningPlugin, Tokio};
use outboard_benches::runtimes::TransportKind;
use outboard_benches::service::{Bench as _, BenchClient, HANDSHAKE, NAME, Payload};

/// Calls in a row of one of them.
const TURN: u64 = 200;

async fn start(transport: TransportKind, figures: bool) -> (RunningPlugin, BenchClient) {
    let command = Command::new(env!("CARGO_BIN_EXE_bench-plugin"))
        .args(["tokio", &transport.to_string()])
        .inherit_stdin(false);
    let host = Host::new(HANDSHAKE).command(command).figures(figures);
    let host = match transport {
        TransportKind::Stdio => host.transport(outboard::Stdio::new()),
        _ => host.transport(outboard::H2::new()),
    };
    let plugin = host.start(Tokio::current()).await.expect("it starts");
    let client = plugin.dispense(NAME).await.expect("it is provided");
    (plugin, client)
}

/// How long so many calls of each took.
async fn in_turn(clients: [&BenchClient; 2], count: u64) -> [Duration; 2] {
    let mut took = [Duration::ZERO; 2];
    let mut left = count;
    while left > 0 {
        let turn = left.min(TURN);
        left -= turn;
        for (client, took) in clients.into_iter().zip(&mut took) {
            let began = Instant::now();
            for _ in 0..turn {
                let data = vec![0; 16];
                client.echo(Payload { data }).await.expect("an answer");
            }
            *took += began.elapsed();
        }
    }
    took
}

fn figures(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    for transport in [TransportKind::H2, TransportKind::Stdio] {
        let mut group = criterion.benchmark_group(format!("unary 16 B with figures/{transport}"));
        let [plain, counted] =
            [false, true].map(|figures| runtime.block_on(start(transport, figures)));
        for (index, name) in ["without", "with"].into_iter().enumerate() {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter_custom(|count| {
                    runtime.block_on(in_turn([&plain.1, &counted.1], count))[index]
                });
            });
        }
        let calls = counted.0.figures().calls.expect("they are counted");
        assert!(calls[0].latency.count() > 0, "{calls:?}");
        assert_eq!(plain.0.figures().calls, None);
        for (plugin, _) in [plain, counted] {
            runtime.block_on(plugin.shutdown()).expect("in good order");
        }
        group.finish();
    }
}

criterion_group!(benches, figures);
criterion_main!(benches);
