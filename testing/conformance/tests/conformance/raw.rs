//! A plugin as its host sees it: what it prints and does, without a host of outboard's.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use outboard_core::handshake::Refusal;
use outboard_kit::h2_frames;
use outboard_kit::stdio_frames::{CLOSE, MAGIC, PREFACE, VIOLATION};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Harness, PLUGIN};
use crate::hostile::violations;
use crate::leftovers::{self, files_in};

/// The plugin's command with what every host sets.
pub fn plugin(h: &Harness, options: &[&str]) -> Command {
    let mut command = Command::new(PLUGIN);
    command
        .args([h.on.plugin.to_string(), h.on.transport.to_string()])
        .args(options)
        .env_clear()
        .env("TMPDIR", h.dir())
        .env("SUITE_COOKIE", "a plugin of the suite")
        .env("PLUGIN_MIN_PORT", "10000")
        .env("PLUGIN_MAX_PORT", "25000")
        .env("PLUGIN_PROTOCOL_VERSIONS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if !h.on.transport.has_sockets() {
        command
            .env("OUTBOARD_TRANSPORTS", "stdio")
            .stdin(Stdio::piped());
    }
    command
}

/// A plugin that has printed its line.
pub struct Serving {
    pub child: Child,
    stdout: BufReader<ChildStdout>,
    line: String,
}

impl Serving {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it prints text");
        Self {
            child,
            stdout,
            line,
        }
    }

    pub fn fields(&self) -> Vec<&str> {
        let line = self.line.strip_suffix('\n').expect("a whole line");
        line.split('|').collect()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Hangs up, as a dying host does, and waits for the end. Gives the rest of stderr.
    fn end(mut self) -> (ExitStatus, String) {
        let mut stderr = self.child.stderr.take().expect("piped");
        let pid = self.pid();
        drop((self.child.stdin.take(), self.stdout));
        // stderr hangs up last: until then the host may only have closed the plugin's stdout.
        let text = read_available(&mut stderr);
        drop(stderr);
        assert!(leftovers::gone(pid), "it notices");
        (self.child.wait().expect("a child"), text)
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid")).expect("not 0");
        kill_process(pid, signal).expect("it runs");
    }
}

/// What is in the pipe now.
fn read_available(pipe: &mut (impl std::io::Read + std::os::fd::AsFd)) -> String {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec::default();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&now)).expect("works") > 0 {
        match pipe.read(&mut buffer).expect("readable") {
            0 => break,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A plugin that does not come to serve: how it ended, what it printed where.
fn refused(command: &mut Command) -> (ExitStatus, String, String) {
    let output = command.output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status, text(output.stdout), text(output.stderr))
}

pub async fn without_its_cookie_it_explains_itself(h: Harness) {
    for cookie in [None, Some(""), Some("of another plugin")] {
        let mut command = plugin(&h, &[]);
        match cookie {
            Some(cookie) => command.env("SUITE_COOKIE", cookie),
            None => command.env_remove("SUITE_COOKIE"),
        };
        let (status, stdout, stderr) = refused(&mut command);
        assert_eq!((status.code(), stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains("plugin"), "{stderr}");
        assert!(!stderr.contains('{'), "it is text for people: {stderr}");
    }
}

pub async fn without_a_cookie_of_its_own_it_blames_its_author(h: Harness) {
    let (status, stdout, stderr) = refused(&mut plugin(&h, &["--no-cookie"]));
    assert_eq!((status.code(), stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("misconfigured"), "{stderr}");
    assert!(stderr.contains("author"), "{stderr}");
}

pub async fn a_name_that_is_given_twice_is_refused(h: Harness) {
    let (status, stdout, stderr) = refused(&mut plugin(&h, &["--twice"]));
    let told = "two interfaces under the name \"probe\" in version 1";
    // What the program makes of `ServeError::DuplicateName`.
    assert_eq!(status.code(), Some(4), "{status}, {stderr}");
    assert!(stderr.contains(told), "{stderr}");
    let refusal = Refusal::parse(&stdout).expect("told on stdout, too");
    assert!(refusal.reason().contains(told), "{stdout}");
}

pub async fn the_line_has_six_fields_unless_the_plugin_multiplexes(h: Harness) {
    let serving = Serving::start(&mut plugin(&h, &[]));
    let fields = serving.fields();
    assert_eq!(
        (&fields[..3], &fields[4..]),
        (&["1", "1", "unix"][..], &["grpc", ""][..])
    );
    // It listens before it says so.
    drop(UnixStream::connect(fields[3]).expect("it listens"));
    serving.end();
    // Who mentions it at all is told that this plugin can, as Go's tells.
    for value in ["true", "1", "T", "false", "garbage", ""] {
        let serving = Serving::start(plugin(&h, &[]).env("PLUGIN_MULTIPLEX_GRPC", value));
        let fields = serving.fields();
        let mentioned: &[&str] = if value.is_empty() { &[] } else { &["true"] };
        assert_eq!((fields[4], fields[5]), ("grpc", ""), "{value}");
        assert_eq!(&fields[6..], mentioned, "{value}");
        // Only if it is wanted, the connection has other frames outside, and gRPC's are none of those.
        let mut host = UnixStream::connect(fields[3]).expect("it listens");
        host.write_all(h2_frames::PREFACE).expect("it reads");
        let settings = h2_frames::head(0, h2_frames::SETTINGS, 0, 0);
        host.write_all(&settings).expect("it reads");
        let mut answer = [0; h2_frames::HEAD];
        let answered = host.read_exact(&mut answer).is_ok() && answer[3] == h2_frames::SETTINGS;
        let multiplexes = ["true", "1", "T"].contains(&value);
        assert_eq!(answered, !multiplexes, "{value}: {answer:?}");
        serving.end();
    }
}

pub async fn the_highest_common_version_is_chosen_or_else_the_lowest(h: Harness) {
    let cases = [
        (Some("2"), "2"),
        (Some("3,2"), "3"),
        (Some("2,3,9"), "3"),
        (Some("9"), "2"),
        (Some(""), "2"),
        (None, "2"),
        (Some("three,2"), "2"),
        (Some(" 3,2"), "2"),
        (Some("+3"), "3"),
    ];
    for (offered, chosen) in cases {
        let mut command = plugin(&h, &["--versions", "2,3"]);
        match offered {
            Some(offered) => command.env("PLUGIN_PROTOCOL_VERSIONS", offered),
            None => command.env_remove("PLUGIN_PROTOCOL_VERSIONS"),
        };
        let serving = Serving::start(&mut command);
        assert_eq!(serving.fields()[1], chosen, "{offered:?}");
        let (_, stderr) = serving.end();
        let invalid = offered.is_some_and(|list| list.contains(['t', ' ']));
        let noted: Vec<&str> = stderr
            .lines()
            .filter(|line| line.contains("\"warn\""))
            .collect();
        assert_eq!(noted.len(), usize::from(invalid), "{offered:?}: {stderr}");
        for line in stderr.lines() {
            let record: serde_json::Value = serde_json::from_str(line).expect("a log line");
            assert!(record["@message"].is_string(), "{line}");
        }
    }
    let serving =
        Serving::start(plugin(&h, &["--versions", "0"]).env("PLUGIN_PROTOCOL_VERSIONS", "0"));
    assert_eq!(serving.fields()[1], "0");
    serving.end();
}

pub async fn the_socket_is_where_and_whose_it_should_be(h: Harness) {
    let own = rustix::process::getgid().as_raw().to_string();
    let chosen = h.dir().join("sockets");
    std::fs::create_dir(&chosen).expect("made");
    for (dir, group, mode) in [
        (None, None, 0o600),
        (Some(&chosen), None, 0o600),
        (Some(&chosen), Some(own.as_str()), 0o660),
    ] {
        let mut command = plugin(&h, &[]);
        if let Some(dir) = dir {
            command.env("PLUGIN_UNIX_SOCKET_DIR", dir);
        }
        if let Some(group) = group {
            command.env("PLUGIN_UNIX_SOCKET_GROUP", group);
        }
        let serving = Serving::start(&mut command);
        let path = Path::new(serving.fields()[3]).to_owned();
        assert_eq!(
            path.parent(),
            Some(dir.map_or_else(|| h.dir(), PathBuf::as_path))
        );
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        assert!(name.starts_with("plugin"), "{name}");
        let meta = std::fs::metadata(&path).expect("it is there");
        assert!(meta.file_type().is_socket());
        assert_eq!(meta.mode() & 0o777, mode);
        let (status, _) = serving.end();
        assert!(status.success(), "{status}");
        assert!(!path.exists(), "it is removed");
    }
    std::fs::remove_dir(chosen).expect("empty");
}

pub async fn what_it_cannot_do_ends_it_with_a_reason(h: Harness) {
    let nowhere = "/no/such/directory";
    let long = format!("/tmp/{}", "x".repeat(120));
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 7] = [
        (&[], &[("PLUGIN_UNIX_SOCKET_DIR", nowhere)], nowhere),
        (&[], &[("PLUGIN_UNIX_SOCKET_DIR", &long)], "limit"),
        (
            &[],
            &[("PLUGIN_UNIX_SOCKET_GROUP", "no-such-group")],
            "no-such-group",
        ),
        (&["--tcp"], &[("PLUGIN_MIN_PORT", "30000")], "30000"),
        (&["--tcp"], &[("PLUGIN_MIN_PORT", "x")], "PLUGIN_MIN_PORT"),
        (
            &["--tcp"],
            &[("PLUGIN_MIN_PORT", "10000"), ("PLUGIN_MAX_PORT", "100000")],
            "100000",
        ),
        (&["--versions", "1,1"], &[], "two interfaces under the name"),
    ];
    for (options, environment, told) in cases {
        let mut command = plugin(&h, options);
        command.envs(environment.iter().copied());
        let (status, stdout, stderr) = refused(&mut command);
        assert!(
            status.code().is_some_and(|code| code != 0),
            "{environment:?}: {status}"
        );
        // Hosts that do not know the line quote it in their error.
        let line = stdout.strip_suffix('\n').expect("a line");
        assert!(!line.contains(['\n', '|']), "{line}");
        let refusal = Refusal::parse(line).expect("no handshake");
        assert!(refusal.reason().contains(told), "{told:?} in {line}");
        assert!(stderr.contains(told), "{told:?} in {stderr}");
        let record = stderr
            .lines()
            .any(|line| line.contains("\"@level\":\"error\""));
        assert!(record, "any host shows it: {stderr}");
    }
}

pub async fn tcp_ports_are_of_the_range(h: Harness) {
    let serving = Serving::start(
        plugin(&h, &["--tcp"])
            .env("PLUGIN_MIN_PORT", "31000")
            .env("PLUGIN_MAX_PORT", "31999"),
    );
    let fields = serving.fields();
    assert_eq!(fields[2], "tcp");
    let (host, port) = fields[3].rsplit_once(':').expect("host and port");
    assert_eq!(host, "127.0.0.1");
    assert!((31_000..=31_999).contains(&port.parse::<u16>().expect("a port")));
    drop(std::net::TcpStream::connect(fields[3]).expect("it listens"));
    serving.end();
    // Both missing, or 0: any port.
    let mut command = plugin(&h, &["--tcp"]);
    command
        .env_remove("PLUGIN_MIN_PORT")
        .env("PLUGIN_MAX_PORT", "0");
    let serving = Serving::start(&mut command);
    assert!(serving.fields()[3].starts_with("127.0.0.1:"));
    serving.end();
}

pub async fn stdio_is_spoken_only_where_it_is_offered(h: Harness) {
    let serving = Serving::start(&mut plugin(&h, &[]));
    assert_eq!(serving.fields()[..5], ["1", "1", "stdio", "-", "stdio"]);
    assert_eq!(files_in(h.dir()), [""; 0], "it needs no files");
    serving.end();
    let (status, stdout, stderr) = refused(
        plugin(&h, &[])
            .env_remove("OUTBOARD_TRANSPORTS")
            .stdin(Stdio::null()),
    );
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
    let refusal = Refusal::parse(&stdout).expect("told on stdout, too");
    assert!(refusal.reason().contains("stdin and stdout"), "{stdout}");
    assert!(stderr.contains("stdin and stdout"), "{stderr}");
}

pub async fn a_host_that_breaks_the_protocol_is_told_which_rule(h: Harness) {
    for (frame, told) in violations() {
        let mut serving = Serving::start(&mut plugin(&h, &[]));
        let mut stdin = serving.child.stdin.take().expect("piped");
        stdin.write_all(&[PREFACE, &frame].concat()).expect("read");
        let mut bytes = Vec::new();
        serving.stdout.read_to_end(&mut bytes).expect("readable");
        assert!(bytes.starts_with(&PREFACE[..9]), "{told}: {bytes:?}");
        // Its last words are the code and the rule, in a frame of the connection.
        let close = [&[CLOSE, 0, 0, 0, 0][..], &VIOLATION.to_le_bytes()].concat();
        let text = bytes.windows(close.len()).position(|part| part == close);
        let text = &bytes[text.expect("CLOSE") + close.len()..];
        let text = String::from_utf8_lossy(text);
        assert!(text.contains(told), "{told:?} in {text:?}");
        // Nothing more can come from this host, though it is there: that is the end.
        assert!(leftovers::gone(serving.pid()), "{told}: it ends");
        let ended = serving.child.wait_with_output().expect("a child");
        assert!(ended.status.success(), "{told}: {}", ended.status);
        let stderr = String::from_utf8_lossy(&ended.stderr);
        let record = stderr.lines().find(|line| line.contains("\"warn\""));
        let record = record.unwrap_or_else(|| panic!("no warning: {stderr}"));
        assert!(record.contains(told), "{told:?} in {record}");
        drop(stdin);
    }
}

/// With SIGPIPE at its default: what a plugin writes to a host that is gone fails, and it ends as it
/// would otherwise.
pub async fn a_host_that_does_not_listen_is_no_signal(h: Harness) {
    let nobody = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        writer
    };
    // Nobody reads the log, in which it notes first of all that it serves.
    let serving = Serving::start(plugin(&h, &["--sigpipe"]).stderr(nobody()));
    let Serving {
        mut child, stdout, ..
    } = serving;
    drop((child.stdin.take(), stdout));
    assert!(leftovers::gone(child.id()), "it notices");
    let status = child.wait().expect("a child");
    assert!(status.success(), "{status}");
    // Nobody reads the line, or what stands in its place.
    for (how, code) in [("", 1), ("return", 2), ("panic", 101), ("exit", 3)] {
        let mut options = vec!["--sigpipe"];
        if !how.is_empty() {
            options.extend(["--fail-first", how]);
        }
        let mut command = plugin(&h, &options);
        command.stdout(nobody());
        let mut child = command.spawn().expect("it starts");
        let stderr = child.stderr.take().expect("piped");
        let told = std::io::read_to_string(stderr).expect("text");
        let status = child.wait().expect("a child");
        assert_eq!(status.code(), Some(code), "{how:?}: {status}, {told}");
    }
}

pub async fn interrupts_are_ignored_and_termination_is_not(h: Harness) {
    let mut serving = Serving::start(&mut plugin(&h, &[]));
    let stderr = BufReader::new(serving.child.stderr.take().expect("piped"));
    let mut counted = stderr.lines().filter_map(|line| {
        let record: serde_json::Value =
            serde_json::from_str(&line.expect("text")).expect("a log line");
        let ignored = record["@message"] == "interrupt ignored";
        ignored.then(|| (record["@level"].clone(), record["count"].clone()))
    });
    for count in 1..=3 {
        // The next one only then: the system keeps one of several that wait.
        serving.signal(Signal::INT);
        assert_eq!(counted.next(), Some(("trace".into(), count.into())));
    }
    let pid = serving.pid();
    serving.signal(Signal::TERM);
    assert!(leftovers::gone(pid), "it ends");
    let status = serving.child.wait().expect("a child");
    assert!(status.success(), "in good order: {status}");
    assert_eq!(files_in(h.dir()), [""; 0], "its socket went first");
}

pub async fn a_hang_up_of_the_terminal_leaves_no_socket(h: Harness) {
    let mut serving = Serving::start(&mut plugin(&h, &[]));
    serving.signal(Signal::HUP);
    let status = serving.child.wait().expect("a child");
    assert_eq!(status.signal(), Some(Signal::HUP.as_raw()));
    assert_eq!(files_in(h.dir()), [""; 0]);
}

pub async fn an_interrupt_ends_a_plugin_that_nobody_holds(h: Harness) {
    // As at a terminal: what holds the other end of its stdout is no host.
    let line = h.dir().join("line");
    let mut command = plugin(&h, &[]);
    command.stdout(std::fs::File::create(&line).expect("made"));
    let mut child = command.spawn().expect("it starts");
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut lines = stderr.lines().map(|line| line.expect("text"));
    assert!(lines.any(|line| line.contains("\"serving\"")));
    assert_eq!(files_in(h.dir()).len(), 2, "the line's and the socket");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).expect("it runs");
    assert!(leftovers::gone(child.id()), "it ends");
    let status = child.wait().expect("a child");
    assert!(status.success(), "in good order: {status}");
    std::fs::remove_file(line).expect("there");
}

pub async fn a_given_sockets_file_is_its_givers(h: Harness) {
    let path = h.dir().join("given");
    let at = path.to_str().expect("text");
    for (options, stays) in [
        (&["--listen-on", at][..], true),
        (&["--activated-at", at], true),
        (&["--listen-on", at, "--remove-socket"], false),
    ] {
        let serving = Serving::start(&mut plugin(&h, options));
        assert_eq!(serving.fields()[2..4], ["unix", at], "{options:?}");
        drop(UnixStream::connect(&path).expect("it listens"));
        serving.end();
        assert_eq!(path.exists(), stays, "{options:?}");
        if stays {
            std::fs::remove_file(&path).expect("it is there");
        }
    }
}

pub async fn nothing_precedes_the_line_and_nothing_follows_it(h: Harness) {
    let mut serving = Serving::start(&mut plugin(&h, &["--print-first", "early"]));
    assert!(serving.line.starts_with("1|1|"), "{}", serving.line);
    let mut rest = Vec::new();
    if !h.on.transport.has_sockets() {
        // The plugin's side of the connection, which is not waited for: magic and version, the length
        // of the settings, and those; then the names of what it provides.
        let mut preface = [0; 12];
        serving.stdout.read_exact(&mut preface).expect("it comes");
        assert_eq!(preface[..10], *MAGIC);
        let length = u16::from_le_bytes([preface[10], preface[11]]);
        let mut settings = vec![0; length.into()];
        serving.stdout.read_exact(&mut settings).expect("they come");
        const NAMES: &[u8] = b"\x0e\0\0\x80\0\0\0\0\x05probe\x07process";
        let mut names = [0; NAMES.len()];
        serving.stdout.read_exact(&mut names).expect("they come");
        assert_eq!(names, NAMES);
    }
    // One that it ends by at once: in good order it would say so.
    serving.signal(Signal::HUP);
    serving.stdout.read_to_end(&mut rest).expect("readable");
    assert_eq!(rest, b"");
    serving.child.wait().expect("a child");
}
