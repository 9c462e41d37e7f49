//! Plots, as small as they can be.

use std::fmt::Write as _;

/// Colours that are told apart by most people (Okabe and Ito).
const COLOURS: [&str; 8] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442",
];
const WIDTH: f64 = 760.0;
const LABELS: f64 = 150.0;
const ROW: f64 = 26.0;
const TOP: f64 = 50.0;

/// Horizontal bars.
#[must_use]
pub fn bars(title: &str, unit: &str, values: &[(String, f64)]) -> String {
    let rows: Vec<(String, Vec<f64>)> = values
        .iter()
        .map(|(label, value)| (label.clone(), vec![*value]))
        .collect();
    stacked(title, unit, &[], &rows)
}

/// Horizontal bars of several parts.
#[must_use]
pub fn stacked(title: &str, unit: &str, parts: &[&str], rows: &[(String, Vec<f64>)]) -> String {
    let total = |values: &[f64]| values.iter().sum::<f64>();
    let most = rows
        .iter()
        .map(|(_, v)| total(v))
        .fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - LABELS - 90.0) / most;
    let mut body = String::new();
    for (row, (label, values)) in rows.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        text(&mut body, LABELS - 8.0, y + 15.0, "end", label);
        let mut x = LABELS;
        for (value, colour) in values.iter().zip(COLOURS.iter().cycle()) {
            let width = value * scale;
            let _infallible = write!(
                body,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="20" fill="{colour}"/>"#
            );
            x += width;
        }
        let sum = format!("{:.4} {unit}", total(values));
        text(&mut body, x + 6.0, y + 15.0, "start", &sum);
    }
    legend(&mut body, parts.iter().copied());
    page(title, TOP + ROW * rows.len() as f64 + 10.0, &body)
}

/// Lines over a logarithmic axis.
#[must_use]
pub fn lines(
    title: &str,
    across: &str,
    unit: &str,
    series: &[(String, Vec<(f64, f64)>)],
) -> String {
    let height = 320.0;
    let points = || series.iter().flat_map(|(_, points)| points);
    let right = points().map(|p| p.0).fold(10.0, f64::max).log10();
    let most = points().map(|p| p.1).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| 70.0 + value.max(1.0).log10() / right * (WIDTH - 100.0);
    let y = |value: f64| TOP + 20.0 + height * (1.0 - value / most);
    let mut body = String::new();
    for step in 0..=4 {
        let value = most * f64::from(step) / 4.0;
        let at = y(value);
        let _infallible = write!(
            body,
            r##"<line x1="70" x2="{:.1}" y1="{at:.1}" y2="{at:.1}" stroke="#ddd"/>"##,
            WIDTH - 30.0
        );
        text(&mut body, 62.0, at + 4.0, "end", &format!("{value:.0}"));
    }
    let mut ticks: Vec<f64> = points().map(|p| p.0).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    for tick in ticks {
        text(
            &mut body,
            x(tick),
            TOP + height + 40.0,
            "middle",
            &format!("{tick}"),
        );
    }
    for ((_, points), colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let path: Vec<String> = points
            .iter()
            .map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b)))
            .collect();
        let _infallible = write!(
            body,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            path.join(" ")
        );
    }
    legend(&mut body, series.iter().map(|(name, _)| name.as_str()));
    let title = format!("{title}: {unit} by {across}");
    page(&title, TOP + height + 60.0, &body)
}

fn legend<'a>(body: &mut String, names: impl Iterator<Item = &'a str>) {
    let mut x = 10.0;
    for (name, colour) in names.zip(COLOURS.iter().cycle()) {
        let _infallible = write!(
            body,
            r#"<rect x="{x:.1}" y="30" width="10" height="10" fill="{colour}"/>"#
        );
        text(body, x + 14.0, 40.0, "start", name);
        // About the width of a letter.
        x += 30.0 + 7.0 * name.len() as f64;
    }
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, what: &str) {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    let _infallible = write!(
        body,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{what}</text>"#
    );
}

fn page(title: &str, height: f64, body: &str) -> String {
    let mut heading = String::new();
    text(&mut heading, 10.0, 20.0, "start", title);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>{heading}{body}</svg>
"#
    )
}
