//! One small round of everything that outboard is measured with, so that the instrument works when
//! it is needed.

use std::path::Path;

use outboard_benches::runner::counters::Counters;
use outboard_benches::runner::figures::Figure;
use outboard_benches::runner::plan::{Amounts, Plan};
use outboard_benches::runner::proc::Placement;
use outboard_benches::runner::programs::Programs;
use outboard_benches::runner::report;
use outboard_benches::runner::subject::{Subject, Wire};
use outboard_benches::runtimes::{MULTIPLEXED, RuntimeKind, SECURED, USUAL_RUNTIMES};

#[test]
fn a_round_of_outboard_and_the_floor_gives_a_report() {
    let host = Path::new(env!("CARGO_BIN_EXE_bench-host"));
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outboard-bench-smoke");
    let mut subjects = Subject::outboard();
    let on_demand = SECURED.into_iter().chain(MULTIPLEXED);
    subjects.extend(on_demand.map(|transport| Subject::Outboard {
        runtime: RuntimeKind::Tokio,
        transport,
    }));
    subjects.extend(USUAL_RUNTIMES.map(|runtime| Subject::NetRpc { runtime }));
    subjects.push(Subject::Floor(Wire::Socket));
    let plan = Plan {
        subjects,
        sections: ["dispense", "unary", "throughput", "broker"]
            .map(str::to_owned)
            .into(),
        amounts: Amounts::TINY,
        programs: Programs::beside_program(host).expect("a directory"),
        // Whether this machine has any is not what is tested here.
        counters: Counters {
            perf_syscalls: false,
            strace: false,
            perf_instructions: false,
            callgrind: false,
        },
        scratch: out.join("scratch"),
        alone: false,
        progress: |_| {},
    };
    let outcome = plan.run().expect("a round");
    for subject in &plan.subjects {
        let name = subject.to_string();
        for figure in [
            Figure::dispense("p50", Placement::Free),
            Figure::phase("first call", Placement::Free),
            Figure::shutdown(Placement::Free),
            Figure::unary("p50", Placement::OneCore),
        ] {
            let value = outcome.results.value(&figure, &name);
            let value = value.unwrap_or_else(|| panic!("{name}: no {}", figure.name));
            assert!(value > 0.0, "{name}: {}: {value}", figure.name);
        }
        let is_floor = matches!(subject, Subject::Floor(_));
        let has_broker = !is_floor && !matches!(subject, Subject::NetRpc { .. });
        for (figure, is_there) in [
            (Figure::load(16, 64, Placement::Free), !is_floor),
            (Figure::dial("p50", Placement::Free), has_broker),
        ] {
            let value = outcome.results.value(&figure, &name);
            assert_eq!(value.is_some(), is_there, "{name}: {}", figure.name);
        }
    }
    report::write(&out, &[("machine", "any".to_owned())], &outcome).expect("a report");
    let report = std::fs::read_to_string(out.join("report.md")).expect("the report");
    assert!(
        report.contains("h2/tokio")
            && report.contains("h2+tls/tokio")
            && report.contains("netrpc/smol")
            && report.contains("stdio/smol"),
        "{report}"
    );
    assert!(out.join("dispense.svg").is_file());

    let page = out.join("page.md");
    let empty = "# Page\n\n<!-- figures -->\nold\n<!-- end of figures -->\nend\n";
    std::fs::write(&page, empty).expect("a page");
    report::publish(&out.join("report.md"), &page).expect("a page with both lines");
    let text = std::fs::read_to_string(&page).expect("the page");
    assert!(text.starts_with("# Page\n") && text.ends_with("<!-- end of figures -->\nend\n"));
    assert!(text.contains("\n### unary\n") && !text.contains("old") && !text.contains(".svg"));
}
