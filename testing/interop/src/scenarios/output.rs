//! What the plugin prints and logs.

use super::{Subject, assert_ended_gracefully, with_level};

/// What the plugin prints arrives byte for byte on both channels.
pub fn stdio(subject: &Subject<'_>) {
    let found = subject.run(&["probe"]).expect("stdio", &[]);
    assert!(found["stdout"].as_u64() > Some(300_000), "{found:#}");
    assert!(found["stderr"].as_u64() > Some(100_000), "{found:#}");
    assert_ended_gracefully(&found);
}

/// Each level arrives once, with message, pairs and time.
pub fn logs(subject: &Subject<'_>) {
    let found = subject.run(&["probe"]).expect("logs", &[]);
    for level in ["trace", "debug", "info", "warn", "error"] {
        let records = with_level(&found["records"], level);
        let [record] = records[..] else {
            panic!("{level}: {records:?}")
        };
        assert_eq!(record["text"], "naïve = \"x\"");
        assert_eq!(record["number"], -12);
        assert_eq!(record["flag"], true);
        assert_ne!(record["timestamp"], "0001-01-01T00:00:00.000Z", "no time");
    }
    assert_ended_gracefully(&found);
}

/// Plain text on the real stderr: the prefix decides on the level.
pub fn raw_stderr(subject: &Subject<'_>) {
    let found = subject.run(&["probe"]).expect("raw-stderr", &[]);
    assert_eq!(with_level(&found["records"], "warn").len(), 1, "{found:#}");
    assert_eq!(with_level(&found["records"], "debug").len(), 2, "{found:#}");
    assert_ended_gracefully(&found);
}
