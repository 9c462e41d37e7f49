use std::io::{BufRead as _, BufReader, PipeReader};
use std::os::fd::OwnedFd;
use std::thread;

use bytes::Bytes;
use outboard_core::backlog::{Backlog, Missing, Source};
use outboard_core::hclog::{self, UnixTime};

use super::*;
use crate::sys::events::Stream;

fn tell(missing: &Missing) -> String {
    missing.to_line(UnixTime::from(Duration::ZERO))
}

/// What a plugin that outlives its host keeps, or one that does not.
struct Keeper(Mutex<Backlog>, bool);

impl Events for Keeper {
    fn printed(&self, _: Stream, _: &[u8]) {}

    fn host_gone(&self) -> Option<Duration> {
        None
    }

    fn orphaned(&self) {}

    fn released(&self) -> bool {
        false
    }

    fn unsent_stderr(&self) -> Vec<u8> {
        Vec::new()
    }

    fn keeps_log(&self) -> bool {
        self.1
    }

    fn log(&self, line: &[u8]) -> Option<Waker> {
        self.0.lock().push(Source::Log, line);
        None
    }

    fn log_before_all(&self, lines: &[u8]) -> Option<Waker> {
        self.0.lock().push_before_all(lines);
        None
    }

    fn first_logged(&self) -> Option<(Option<String>, i64, Bytes)> {
        self.0.lock().first_logged(tell)
    }

    fn told_logged(&self) {
        self.0.lock().told_logged();
    }

    fn logged(&self, number: i64) {
        self.0.lock().logged(number);
    }
}

fn log(outlives: bool) -> (Log, Arc<Keeper>, PipeReader) {
    let (reader, writer) = io::pipe().expect("a pipe");
    let log = Log::new(File::from(OwnedFd::from(writer)));
    let backlog = Backlog::new(Backlog::DEFAULT_LIMIT);
    let keeper = Arc::new(Keeper(Mutex::new(Rank::Backlog, backlog), outlives));
    log.kept_by(Arc::clone(&keeper) as Arc<dyn Events>);
    (log, keeper, reader)
}

/// A line with a number, far shorter than what is written at once.
fn line(number: usize) -> String {
    format!("{number:0>199}\n")
}

fn write(log: &Log, numbers: std::ops::Range<usize>) {
    for number in numbers {
        log.write_line(line(number).as_bytes(), true)
            .expect("it is taken or kept");
    }
}

/// What a host that attaches gets.
fn next_host(keeper: &Keeper) -> String {
    let mut backlog = keeper.0.lock();
    backlog.leave();
    backlog.begin(true);
    let mut text = Vec::new();
    while let Some((source, bytes)) = backlog.take(1024, tell) {
        assert_eq!(source, Source::Log);
        text.extend_from_slice(&bytes);
    }
    String::from_utf8(text).expect("text")
}

#[test]
fn long_lines_of_several_threads_do_not_mix() {
    const LINES: usize = 40;
    for outlives in [false, true] {
        let (log, _keeper, reader) = log(outlives);
        let lines: Vec<String> = thread::scope(|scope| {
            let writing = scope.spawn(|| {
                let log = log;
                thread::scope(|scope| {
                    for letter in [b'a', b'b', b'c'] {
                        let log = &log;
                        scope.spawn(move || {
                            // Longer than a pipe holds, so that each write is cut.
                            let mut line = vec![letter; 100_000];
                            line.push(b'\n');
                            for _ in 0..LINES {
                                log.write_line(&line, true).expect("writes");
                            }
                        });
                    }
                });
            });
            let lines = BufReader::new(reader).lines();
            let lines = lines.map(|line| line.expect("text")).collect();
            writing.join().expect("no panic");
            lines
        });
        // On a machine that takes its time, some may be kept.
        assert!(outlives || lines.len() == 3 * LINES, "{}", lines.len());
        for line in lines {
            if outlives && Missing::of(&hclog::parse(line.as_bytes())).is_some() {
                continue;
            }
            let first = line.as_bytes()[0];
            assert!(line.bytes().all(|byte| byte == first), "a mixed line");
        }
    }
}

#[test]
fn what_a_dead_host_has_not_read_is_the_next_ones_first() {
    let (log, keeper, reader) = log(true);
    write(&log, 0..10);
    drop(reader);
    write(&log, 10..1000);
    log.host_gone();
    write(&log, 1000..1010);
    let first = if cfg!(target_os = "linux") { 0 } else { 10 };
    let expected: String = (first..1010).map(line).collect();
    assert_eq!(next_host(&keeper), expected);
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_that_somebody_else_holds_open_is_left_once_the_host_is_gone() {
    let (log, keeper, reader) = log(true);
    write(&log, 0..10);
    log.host_gone();
    write(&log, 10..2000);
    assert_eq!(next_host(&keeper), (0..2000).map(line).collect::<String>());
    drop(reader);
}

#[test]
fn a_host_that_does_not_read_is_waited_for_once_and_gets_the_newest_if_it_does_after_all() {
    let (log, keeper, reader) = log(true);
    keeper.0.lock().set_limit(100 * 1024);
    let began = Instant::now();
    // A long one among them is cut by the end of the room, or fits as a whole.
    write(&log, 0..100);
    let long = format!("{}\n", "long".repeat(20_000));
    log.write_line(long.as_bytes(), true).expect("kept");
    write(&log, 100..3000);
    let took = began.elapsed();
    assert!(took >= PATIENCE && took < 10 * PATIENCE, "{took:?}");
    let mut reader = BufReader::new(reader);
    let mut text = String::new();
    for _ in 0..100 {
        reader.read_line(&mut text).expect("what fitted");
    }
    thread::scope(|scope| {
        let read = scope.spawn(|| {
            while !text.ends_with(&line(3000)) {
                reader.read_line(&mut text).expect("text");
            }
        });
        // With room there is a next line, before which stands what was kept.
        while !read.is_finished() {
            write(&log, 3000..3001);
            thread::yield_now();
        }
        read.join().expect("no panic");
    });
    let first: String = (0..100).map(line).collect();
    let rest = text.strip_prefix(&first).expect("what fitted");
    let notice = rest.lines().find_map(|line| {
        let record = hclog::parse(line.as_bytes());
        Missing::of(&record).map(|missing| (line, missing))
    });
    let (notice, missing) = notice.expect("it is told");
    assert_eq!(missing.stdout, Default::default());
    // A part of the long line is there, and then the line counts as missing.
    let (cut, newest) = rest.split_once(notice).expect("it is in there");
    assert!(
        cut.len() < long.len() && long.starts_with(cut.trim_end()),
        "a part"
    );
    let of_long = long.len() as u64;
    assert_eq!(missing.log.bytes - of_long, (missing.log.lines - 1) * 200);
    let from = 99 + usize::try_from(missing.log.lines).expect("few");
    let expected: String = (from..3000).map(line).collect();
    assert!(
        from < 3000 && newest.trim_start().starts_with(&expected),
        "in order"
    );
}

#[test]
fn a_plugin_that_goes_with_its_host_keeps_nothing() {
    let (log, keeper, reader) = log(false);
    drop(reader);
    let broken = log.write_line(b"nobody is there\n", true);
    assert_eq!(
        broken.map_err(|error| error.kind()),
        Err(ErrorKind::BrokenPipe)
    );
    log.host_gone();
    assert_eq!(next_host(&keeper), "");
}

#[test]
fn what_is_not_lasting_is_for_the_first_host_alone() {
    let (log, keeper, reader) = log(true);
    log.write_line(b"of a transport\n", false).expect("taken");
    let mut text = String::new();
    let mut reader = BufReader::new(reader);
    reader.read_line(&mut text).expect("text");
    assert_eq!(text, "of a transport\n");
    drop(reader);
    log.write_line(b"of a transport\n", false)
        .expect("left out");
    log.write_line(b"of the program\n", true).expect("kept");
    assert_eq!(next_host(&keeper), "of the program\n");
}

/// A line that the pipe has no room for: it is begun there, and kept as a whole.
fn cut(log: &Log) -> String {
    let long = format!("{}\n", "long".repeat(20_000));
    log.write_line(long.as_bytes(), true).expect("kept");
    assert!(log.line.lock().cut, "a part is in the pipe");
    long
}

#[cfg(target_os = "linux")]
#[test]
fn of_a_line_that_was_cut_the_next_host_gets_no_part() {
    let (log, keeper, reader) = log(true);
    write(&log, 0..10);
    let long = cut(&log);
    drop(reader);
    log.host_gone();
    let lines: String = (0..10).map(line).collect();
    assert_eq!(next_host(&keeper), lines + &long);
}

#[test]
fn at_the_end_a_host_that_reads_again_gets_what_was_kept() {
    let (log, keeper, mut reader) = log(true);
    let long = cut(&log);
    let (begun, has_begun) = std::sync::mpsc::channel();
    let reading = thread::spawn(move || {
        let mut text = vec![0; 1024];
        reader.read_exact(&mut text).expect("a part of it");
        let _told = begun.send(());
        reader.read_to_end(&mut text).expect("text");
        String::from_utf8(text).expect("text")
    });
    has_begun.recv().expect("it reads");
    // A pipe may say that it has room only when a whole page of it is free.
    while keeper.0.lock().first_logged(tell).is_some() {
        log.flush();
    }
    drop(log);
    let text = reading.join().expect("no panic");
    let (part, whole) = text.split_once('\n').expect("lines");
    assert!(long.starts_with(part) && part.len() < long.len());
    assert_eq!(whole, long);
}
