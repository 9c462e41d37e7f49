//! A Rust panic as a Go host recognises it.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::MAX_LINE;
use super::print::floor_char_boundary;

/// The text of a Rust panic for the plugin's real stderr, in the form of a Go panic: `panic: ` and
/// the message first, then where it happened and the stack. Every line ends with LF.
///
/// Rust's own text begins `thread '…' panicked at`, which a Go host files under debug. From the
/// first line of this one on it takes every plain line for an error. All lines but the first are
/// indented, or marked with a bar where that is not enough, so that none looks like a record of
/// its own, and none is longer than [`MAX_LINE`].
#[must_use]
pub fn format_panic(
    message: &str,
    location: Option<&str>,
    thread: Option<&str>,
    backtrace: Option<&str>,
) -> String {
    let mut text = String::new();
    let mut lines = message.lines();
    push_line(&mut text, "panic: ", lines.next().unwrap_or("(no message)"));
    for line in lines {
        push_line(&mut text, "\t", line);
    }
    let place = match (thread, location) {
        (Some(thread), Some(location)) => Some(format!("in thread '{thread}' at {location}")),
        (Some(thread), None) => Some(format!("in thread '{thread}'")),
        (None, Some(location)) => Some(format!("at {location}")),
        (None, None) => None,
    };
    for line in place.iter().flat_map(|place| place.lines()) {
        push_line(&mut text, "\t", line);
    }
    for line in backtrace.unwrap_or_default().lines() {
        push_line(&mut text, "\t", line);
    }
    text
}

/// Appends a line, cut into several if it is too long.
fn push_line(text: &mut String, indent: &str, line: &str) {
    // A lone CR would overwrite the line on a terminal.
    let line: Cow<'_, str> = if line.contains('\r') {
        line.replace('\r', "\\r").into()
    } else {
        line.into()
    };
    let (mut indent, mut rest) = (indent, &*line);
    loop {
        // White space before JSON does not make it text.
        if indent == "\t" && rest.trim_start().starts_with(['{', 'n']) {
            indent = "\t| ";
        }
        let end = floor_char_boundary(rest, MAX_LINE - indent.len());
        let (head, tail) = rest.split_at(end);
        let _ = writeln!(text, "{indent}{head}");
        if tail.is_empty() {
            return;
        }
        (indent, rest) = ("\t", tail);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::hclog::{Kind, Level, LogOptions, LogReader};

    #[test]
    fn it_reads_like_a_go_panic() {
        assert_eq!(
            format_panic(
                "boom",
                Some("src/main.rs:3:5"),
                Some("main"),
                Some("0: f\n1: g\n")
            ),
            "panic: boom\n\tin thread 'main' at src/main.rs:3:5\n\t0: f\n\t1: g\n"
        );
        assert_eq!(format_panic("", None, None, None), "panic: (no message)\n");
    }

    proptest! {
        #[test]
        fn every_line_is_an_error_for_a_host(
            message in "([a-z\n\r]|\\[INFO\\]|\\{\\}){0,30}", repeat in 1usize..4000,
        ) {
            let text = format_panic(&message.repeat(repeat), Some("x"), None, Some("[INFO]\n{}"));
            let now = Instant::now();
            let mut reader = LogReader::new(LogOptions::default().gathering_panics(false));
            reader.handle_bytes(now, text.as_bytes());
            while let Some(record) = reader.poll_record() {
                prop_assert_eq!((record.level, record.kind), (Level::Error, Kind::Panic));
            }
            prop_assert!(reader.partial_line().is_empty());
        }
    }
}
