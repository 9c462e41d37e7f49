use super::*;

#[test]
fn the_last_lines_are_kept_in_any_split() {
    let text = b"one\r\ntwo\n\n \nthree\nfour";
    for size in 1..text.len() {
        let mut tail = Tail::new(3, 100);
        for chunk in text.chunks(size) {
            tail.push(chunk);
        }
        assert_eq!(tail.lines(), ["two", "three", "four"], "split by {size}");
    }
}

#[test]
fn what_is_printed_beside_the_log_does_not_cut_its_lines() {
    let mut tail = Tail::new(4, 4000);
    tail.push_printed(b"out of ");
    tail.push(br#"{"@level":"error","@message":"it "#);
    tail.push_printed(b"cheese\nand ");
    tail.push(b"broke\"}\nof the log");
    tail.push_printed(b"bread");
    assert_eq!(
        tail.lines(),
        [
            "out of cheese",
            "[ERROR] it broke",
            "of the log",
            "and bread"
        ]
    );
}

#[test]
fn what_outboard_logs_on_the_way_is_no_evidence() {
    let mut tail = Tail::new(9, 4000);
    for (module, level, kept) in [
        ("outboard", "debug", false),
        ("outboard", "warn", false),
        ("outboard", "error", true),
        ("outboard_transport_h2::server", "debug", false),
        ("outboard_transport_stdio::session::after", "warn", false),
        ("outboard_shop", "debug", true),
        ("outboards", "debug", true),
        ("shop", "trace", true),
    ] {
        let before = tail.lines().len();
        let record =
            format!(r#"{{"@level":"{level}","@message":"of {module}","@module":"{module}"}}"#);
        tail.push(record.as_bytes());
        assert_eq!(tail.lines().len() > before, kept, "{module}, unended");
        tail.push(b"\n");
        assert_eq!(tail.lines().len() > before, kept, "{module}");
    }
}

#[test]
fn log_records_are_shown_as_text() {
    let mut tail = Tail::new(3, 4000);
    tail.push(br#"{"@level":"error","@message":"it broke\nat x","@module":"m","n":3}"#);
    tail.push(b"\nplain\n");
    assert_eq!(tail.lines(), ["[ERROR] it broke n=3", "plain"]);
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut tail = Tail::new(4, 64);
    for _ in 0..1000 {
        tail.push(&[b'x'; 50]);
        assert!(tail.held <= 64);
    }
    tail.push(b"\nlast\n");
    // A quarter of the bytes is all that one line gets.
    assert_eq!(tail.lines(), ["x".repeat(16).as_str(), "last"]);
    for _ in 0..1000 {
        tail.push(b"line\n");
    }
    assert_eq!(tail.lines().len(), 4);
    assert_eq!(tail.held, 16);
}

#[test]
fn other_bytes_than_text_are_replaced() {
    let mut tail = Tail::new(4, 64);
    tail.push(b"a\xffb\n");
    assert_eq!(tail.lines(), ["a\u{fffd}b"]);
}

/// The lines and the panic after all this.
fn after(text: &str) -> (Vec<String>, Option<String>) {
    let mut tail = Tail::new(4, 4000);
    tail.push(text.as_bytes());
    (tail.lines(), tail.panic())
}

fn stack(lines: usize) -> String {
    (0..lines).map(|n| format!("\t{n}: frame\n")).collect()
}

#[test]
fn the_head_of_a_panic_stays_beside_its_end() {
    let rust = "thread 'main' (77) panicked at src/main.rs:4:9:\nout of cheese\n";
    let ours = "panic: out of cheese\n\tin thread 'main' at src/main.rs:4:9\n";
    let go = "panic: out of cheese\n\ngoroutine 1 [running]:\n";
    for head in [rust, ours, go] {
        let (lines, panic) = after(&format!("before\n{head}{}", stack(50)));
        assert_eq!(panic.as_deref(), Some("out of cheese"));
        let begin: Vec<&str> = head.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines[..2], begin, "{head}");
        // Six lines of the head, the note, four of the end.
        assert_eq!(lines[6], "[42 lines are left out]", "{lines:#?}");
        assert_eq!(
            lines[7..],
            ["\t46: frame", "\t47: frame", "\t48: frame", "\t49: frame"]
        );
    }
}

#[test]
fn no_line_of_a_panic_is_shown_twice() {
    for frames in 0..9 {
        let (lines, _) = after(&format!("panic: boom\n{}", stack(frames)));
        let mut all = vec!["panic: boom".to_owned()];
        all.extend(stack(frames).lines().map(str::to_owned));
        assert_eq!(lines, all);
    }
    let (lines, _) = after(&format!("panic: boom\n{}", stack(10)));
    assert_eq!(lines[6], "[1 lines are left out]", "{lines:#?}");
}

#[test]
fn the_first_words_of_a_go_panic_in_a_panic_are_kept() {
    let text = "panic: first\n\tpanic: second\n\ngoroutine 1 [running]:\n";
    assert_eq!(after(text).1.as_deref(), Some("first"));
    let text = "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1:\n";
    let panic = after(text).1;
    assert_eq!(
        panic.as_deref(),
        Some("fatal error: all goroutines are asleep - deadlock!")
    );
}

#[test]
fn a_panic_that_was_survived_is_forgotten() {
    let record = "{\"@level\":\"info\",\"@message\":\"on it goes\"}\n";
    let (_, panic) = after(&format!("panic: boom\n{}", record.repeat(2)));
    assert_eq!(
        panic.as_deref(),
        Some("boom"),
        "others may log while it dies"
    );
    let (lines, panic) = after(&format!("panic: boom\n{}", record.repeat(20)));
    assert_eq!((lines.len(), panic), (4, None));
    // The last one counts.
    let (_, panic) = after(&format!(
        "panic: boom\n{record}panic: at last\n{}",
        stack(9)
    ));
    assert_eq!(panic.as_deref(), Some("at last"));
}

#[test]
fn the_memory_of_a_head_is_bounded() {
    let mut tail = Tail::new(4, 64);
    for _ in 0..100 {
        tail.push(format!("panic: {}\n", "x".repeat(100)).as_bytes());
        tail.push(&[b'y'; 1000]);
        let head = tail.head.as_ref().expect("there was one");
        assert!(head.held <= 16 && head.lines.len() <= HEAD_LINES);
    }
}
