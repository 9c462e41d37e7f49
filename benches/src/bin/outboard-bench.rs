//! Runs everything and writes the report; see `docs/performance.md`.

use std::path::{Path, PathBuf};

use outboard_benches::Failure;
use outboard_benches::runner::counters::Counters;
use outboard_benches::runner::plan::{Amounts, Plan, SECTIONS};
use outboard_benches::runner::programs::Programs;
use outboard_benches::runner::subject::Subject;
use outboard_benches::runner::{machine, report};

const USAGE: &str = "\
usage: outboard-bench [--quick] [--rounds N] [--only SECTION,..] [--peers GROUP,..]
                      [--subjects TEXT,..] [--alone] [--out DIR]
                      [--publish PAGE]

Measures outboard in every combination of runtime and transport, and the peers that --peers or the
environment variable OUTBOARD_BENCH_PEERS asks for: some of go, tonic, floor, async-io, spin, tls,
multiplex, netrpc. Writes report.md and plots to target/outboard-bench, or to DIR.

--quick      little of everything, to see whether a change did anything
--rounds     how often all is repeated
--only       some of dispense, unary, throughput, broker, callers, plugins, memory, codec
--subjects   only those whose name holds one of these texts, such as h2/tokio
--alone      measure with programs of one runtime and one transport each, as authors build them
--publish    also put the report into a page of the documentation, docs/performance.md";

fn main() -> Result<(), Failure> {
    let programs = Programs::beside_program(&std::env::current_exe()?)?;
    let counters = Counters::detect();
    let mut plan = Plan {
        subjects: Subject::outboard(),
        sections: SECTIONS.map(str::to_owned).into(),
        amounts: Amounts::FULL,
        programs,
        counters,
        scratch: PathBuf::new(),
        alone: false,
        progress: |what| eprintln!("{what}"),
    };
    let mut peers = Subject::peers_from_environment()?;
    let mut rounds = None;
    let mut page = None;
    let mut chosen: Option<Vec<String>> = None;
    let mut out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/outboard-bench");
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let mut value = || {
            args.next()
                .ok_or_else(|| format!("{flag} what?\n\n{USAGE}"))
        };
        match flag.as_str() {
            "--quick" => plan.amounts = Amounts::QUICK,
            "--rounds" => rounds = Some(value()?.parse()?),
            "--only" => plan.sections = known_sections(&value()?)?,
            "--peers" => peers = Subject::peers(&value()?)?,
            "--subjects" => chosen = Some(value()?.split(',').map(str::to_owned).collect()),
            "--alone" => plan.alone = true,
            "--publish" => page = Some(PathBuf::from(value()?)),
            "--out" => out = value()?.into(),
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(());
            }
            _ => return Err(format!("what is {flag}?\n\n{USAGE}").into()),
        }
    }
    plan.subjects.extend(peers);
    if let Some(chosen) = chosen {
        let wanted = |subject: &Subject| {
            let name = subject.to_string();
            chosen.iter().any(|text| name.contains(text.as_str()))
        };
        plan.subjects.retain(wanted);
    }
    plan.amounts.rounds = rounds.unwrap_or(plan.amounts.rounds);
    plan.scratch = out.join("scratch");
    if plan.subjects.iter().any(Subject::needs_go) {
        plan.programs.build_go()?;
    }
    let mut header = machine::describe(&plan.counters);
    let outcome = plan.run()?;
    header.push(("load after the run", machine::load()));
    let amounts = plan.amounts;
    header.push(("amounts", format!("{amounts:?}")));
    report::write(&out, &header, &outcome)?;
    let file = out.join("report.md");
    if let Some(page) = page {
        report::publish(&file, &page)?;
    }
    println!("{}", file.display());
    Ok(())
}

fn known_sections(list: &str) -> Result<Vec<String>, Failure> {
    let names = list.split(',').map(|name| {
        if SECTIONS.contains(&name) {
            Ok(name.to_owned())
        } else {
            Err(format!("no such section: {name}; there are {SECTIONS:?}").into())
        }
    });
    names.collect()
}
