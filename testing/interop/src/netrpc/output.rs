//! What plugins print and log.

use outboard::hclog::{Kind, Level};

use super::case::Subject;

/// A MiB, in lines of 64 bytes.
const LINES: i64 = 1 << 14;

/// The lines, with the numbered ones counted.
fn lines(printed: &[u8]) -> (Vec<String>, i64) {
    let text = String::from_utf8(printed.to_vec()).expect("text");
    let (mut others, mut many) = (Vec::new(), 0);
    for line in text.lines() {
        if line == format!("{many:063}") {
            many += 1;
        } else {
            others.push(line.to_owned());
        }
    }
    (others, many)
}

/// What it prints comes byte for byte, on the one it was printed on: between calls and a MiB at once, and
/// from a plugin of ours also before it serves and right before the end. Go's loses what it has not sent
/// when it is asked to end, and cannot print before: what it says on stderr by then is in its log.
///
/// # Panics
/// If not.
pub fn printed(subject: &Subject) {
    subject.each(async |case| {
        let running = case.start("prints").await;
        let greeter = running.greeter().await;
        let print = async |text: &str| {
            let printed = greeter.call::<_, ()>("Plugin.Print", text).await;
            printed.expect("an answer");
        };
        print("between").await;
        let printed = greeter.call::<_, ()>("Plugin.PrintMany", &LINES).await;
        printed.expect("an answer");
        print("last").await;
        let (stdout, stderr) = (running.stdout.clone(), running.stderr.clone());
        let log = running.log.clone();
        if subject.is_go() {
            let last = |printed: &[u8]| printed.ends_with(b"\nlast\n");
            stdout.until(last).await;
            stderr.until(last).await;
        }
        running.end().await;
        for (name, printed) in [("stdout", stdout.now()), ("stderr", stderr.now())] {
            let (others, many) = lines(&printed);
            assert_eq!(many, LINES, "{case:?}: {name}");
            let before = format!("before, on {name}");
            let expected = [&before, "between", "last"];
            let skipped = usize::from(subject.is_go());
            assert_eq!(others, expected[skipped..], "{case:?}: {name}");
        }
        if subject.is_go() {
            let log = log.now();
            let before = log.iter().find(|it| it.message == "before, on stderr");
            assert!(before.is_some(), "{log:?}");
        }
    });
}

/// The records of its log come with their levels and fields.
///
/// # Panics
/// If not.
pub fn logged(subject: &Subject) {
    subject.each(async |case| {
        let (running, greeter) = case.greeter().await;
        let logged = greeter.call::<_, ()>("Plugin.Log", "logged").await;
        logged.expect("an answer");
        let log = running.log.clone();
        let is_it = |message: &str| message == "logged";
        let all = log.until(|log| log.iter().filter(|it| is_it(&it.message)).count() == 5);
        let log = all.await;
        let records: Vec<_> = log.iter().filter(|it| is_it(&it.message)).collect();
        let levels: Vec<Level> = records.iter().map(|it| it.level).collect();
        let expected = [
            Level::Trace,
            Level::Debug,
            Level::Info,
            Level::Warn,
            Level::Error,
        ];
        assert_eq!(levels, expected, "{case:?}");
        for record in records {
            assert_eq!(record.kind, Kind::Structured, "{record:?}");
            assert_eq!(record.fields["count"], 7, "{record:?}");
            assert_eq!(record.fields["text"], "a b", "{record:?}");
            assert_eq!(record.fields["flag"], true, "{record:?}");
            assert!(record.timestamp.is_some(), "{record:?}");
        }
        running.end().await;
    });
}
