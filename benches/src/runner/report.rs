//! The report: tables in Markdown, plots in SVG.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Failure;
use crate::runtimes::NETRPC;

use super::figures::Figure;
use super::plan::{Names, Outcome, SECTIONS};
use super::proc::Placement;
use super::results::Results;
use super::svg;
use super::targets::{self, Bound, SMOL_TO_TOKIO};

/// Writes `report.md` and its plots into `dir`.
///
/// # Errors
/// If the files cannot be written.
pub fn write(
    dir: &Path,
    header: &[(&'static str, String)],
    outcome: &Outcome,
) -> Result<(), Failure> {
    fs::create_dir_all(dir)?;
    let results = &outcome.results;
    let mut text = String::from("# Performance report\n\n");
    for (name, value) in header {
        writeln!(text, "- {name}: {value}")?;
    }
    text.push_str(
        "\nEach value is the median of the rounds, with the least and the largest behind it.\n",
    );
    goals(&mut text, results)?;
    smol(&mut text, results)?;
    for section in SECTIONS {
        let figures: Vec<Figure> = results.figures();
        let figures: Vec<Figure> = figures
            .into_iter()
            .filter(|f| f.section == section)
            .collect();
        if figures.is_empty() {
            continue;
        }
        writeln!(text, "\n## {section}\n")?;
        table(&mut text, results, &figures)?;
        if section == "unary" {
            system_calls(&mut text, &outcome.names)?;
        }
        for (name, plot) in plots(section, results, &figures) {
            let file = format!("{name}.svg");
            fs::write(dir.join(&file), plot)?;
            writeln!(text, "\n![{name}]({file})")?;
        }
    }
    fs::write(dir.join("report.md"), text)?;
    Ok(())
}

/// Puts a report into a page between these two lines, in place of what stands there, with its
/// headings one level down and without its plots.
///
/// # Errors
/// If the files cannot be read or written, or the page lacks the lines.
pub fn publish(report: &Path, page: &Path) -> Result<(), Failure> {
    const BEGIN: &str = "<!-- figures -->\n";
    const END: &str = "<!-- end of figures -->\n";
    let old = fs::read_to_string(page)?;
    let lines = || format!("{} lacks the line {}", page.display(), BEGIN.trim());
    let (before, rest) = old.split_once(BEGIN).ok_or_else(lines)?;
    let (_, after) = rest.split_once(END).ok_or_else(lines)?;
    let mut figures = String::new();
    for line in fs::read_to_string(report)?.lines().skip(1) {
        match line {
            plot if plot.starts_with("![") => {}
            heading if heading.starts_with('#') => writeln!(figures, "#{heading}")?,
            // One empty line where a plot was.
            "" if figures.ends_with("\n\n") => {}
            line => writeln!(figures, "{line}")?,
        }
    }
    fs::write(page, format!("{before}{BEGIN}{figures}{END}{after}"))?;
    Ok(())
}

fn goals(text: &mut String, results: &Results) -> Result<(), Failure> {
    let mut rows = String::new();
    for target in targets::all() {
        let bound = match target.bound {
            Bound::Most(most) => format!("<= {most}"),
            Bound::Least(least) => format!(">= {least}"),
            Bound::Above(most) => format!("<= {most} {} above", target.figure.unit),
        };
        let against = match (target.bound, target.to) {
            (_, None) => String::new(),
            (Bound::Above(_), Some(to)) => format!(" {to}"),
            (_, Some(to)) => format!(" x {to}"),
        };
        for verdict in target.judge(results) {
            writeln!(
                rows,
                "| {}: {} | {} | {bound}{against} | {} | {} |",
                target.figure.section,
                target.figure.name,
                verdict.subject,
                short(verdict.value),
                if verdict.reached { "yes" } else { "**no**" },
            )?;
        }
    }
    if !rows.is_empty() {
        text.push_str("\n## Goals\n\n| figure | subject | goal | measured | reached |\n|---|---|---|---|---|\n");
        text.push_str(&rows);
    }
    Ok(())
}

/// Where smol is further from tokio than it should be.
fn smol(text: &mut String, results: &Results) -> Result<(), Failure> {
    let mut rows = String::new();
    for figure in results.figures() {
        let part = figure.name.starts_with("of it");
        let larger_is_better = figure.unit.ends_with("/s");
        for transport in ["h2", "stdio", NETRPC] {
            let (smol, tokio) = (format!("{transport}/smol"), format!("{transport}/tokio"));
            let Some(ratio) = results.ratio(&figure, &smol, &tokio) else {
                continue;
            };
            let cost = if larger_is_better { 1.0 / ratio } else { ratio };
            if cost > SMOL_TO_TOKIO && !part {
                let name = &figure.name;
                writeln!(
                    rows,
                    "| {}: {name} | {transport} | {} |",
                    figure.section,
                    short(cost)
                )?;
            }
        }
    }
    if !rows.is_empty() {
        write!(
            text,
            "\n## Where smol costs more than {SMOL_TO_TOKIO} x tokio\n\n\
             | figure | transport | times tokio |\n|---|---|---|\n{rows}"
        )?;
    }
    Ok(())
}

fn table(text: &mut String, results: &Results, figures: &[Figure]) -> Result<(), Failure> {
    let subjects = results.subjects(figures);
    writeln!(text, "| | {} |", subjects.join(" | "))?;
    writeln!(text, "|---|{}", "---|".repeat(subjects.len()))?;
    for figure in figures {
        let unit = match figure.unit {
            "" => String::new(),
            unit => format!(" ({unit})"),
        };
        write!(text, "| {}{unit} |", figure.name)?;
        for subject in &subjects {
            match results.value(figure, subject) {
                Some(value) => write!(text, " {}", short(value))?,
                None => text.push_str(" –"),
            }
            if let Some((least, most)) = results.spread(figure, subject)
                && short(least) != short(most)
            {
                write!(text, " ({}–{})", short(least), short(most))?;
            }
            text.push_str(" |");
        }
        text.push('\n');
    }
    Ok(())
}

fn system_calls(text: &mut String, names: &Names) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    text.push_str(
        "\nSystem calls of a unary call by name, one core, counted by strace, which slows the \
         processes down:\n\n| subject | side | per call |\n|---|---|---|\n",
    );
    for (subject, side, counts) in names {
        let list: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{name} {count:.2}"))
            .collect();
        writeln!(text, "| {subject} | {side} | {} |", list.join(", "))?;
    }
    Ok(())
}

fn plots(section: &str, results: &Results, figures: &[Figure]) -> Vec<(&'static str, String)> {
    let bars = |title: &str, figure: &Figure| {
        let subjects = results.subjects(std::slice::from_ref(figure));
        let values: Vec<(String, f64)> = subjects
            .into_iter()
            .filter_map(|subject| Some((subject.clone(), results.value(figure, &subject)?)))
            .collect();
        svg::bars(title, figure.unit, &values)
    };
    match section {
        "dispense" => {
            let prefix = "of it ";
            let suffix = ", free";
            let phases: Vec<&Figure> = figures
                .iter()
                .filter(|f| f.name.starts_with(prefix) && f.name.ends_with(suffix))
                .collect();
            let rows: Vec<(String, Vec<f64>)> = results
                .subjects(figures)
                .into_iter()
                .map(|subject| {
                    let values = phases.iter().map(|f| results.value(f, &subject));
                    let values = values.map(|value| value.unwrap_or(0.0)).collect();
                    (subject, values)
                })
                .collect();
            let names: Vec<&str> = phases
                .iter()
                .filter_map(|f| f.name.strip_prefix(prefix)?.strip_suffix(suffix))
                .collect();
            vec![(
                "dispense",
                svg::stacked("Launch to first reply, by phase", "ms", &names, &rows),
            )]
        }
        "unary" => vec![(
            "unary",
            bars(
                "16 B call, one core, p50",
                &Figure::unary("p50", Placement::OneCore),
            ),
        )],
        "throughput" => vec![
            (
                "throughput-16B",
                bars(
                    "64 callers, 16 B, one core",
                    &Figure::load(16, 64, Placement::OneCore),
                ),
            ),
            (
                "throughput-64KiB",
                bars(
                    "64 callers, 64 KiB",
                    &Figure::load(64 << 10, 64, Placement::Free),
                ),
            ),
        ],
        "callers" => {
            let series = results.subjects(figures).into_iter().map(|subject| {
                let points = figures.iter().filter_map(|figure| {
                    let count = figure.name.split(' ').rev().nth(3)?.parse().ok()?;
                    Some((count, results.value(figure, &subject)?))
                });
                let points: Vec<(f64, f64)> = points.collect();
                (subject, points)
            });
            let series: Vec<_> = series.collect();
            vec![(
                "callers",
                svg::lines("16 B, one core", "callers", "k calls/s", &series),
            )]
        }
        "memory" => vec![(
            "memory",
            bars("Resident plugin, idle", &Figure::resident("plugin", "idle")),
        )],
        _ => Vec::new(),
    }
}

/// Three significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        1.0..10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
