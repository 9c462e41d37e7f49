//! Plugins in a sandbox: each rule of a policy bites, and a plugin works within all of them.
//!
//! That a rule bites is shown by a program that does what is forbidden, beside the same program without the
//! rule.

use std::fs;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outboard::rt::{BoxFuture, Launch, Process, Runner, SharedRuntime};
use outboard::runner::Wrapper;
use outboard::sandbox::{FileRule, Lack, Lacking, Network, Policy, Sandbox};
use outboard::{
    Checksum, Command, Execute, Exit, ForkExec, Host, HostError, StartError, StartFailure,
};
use outboard_conformance::proto::{PrintRequest, Probe as _, Process as _, print_request::How};
use outboard_conformance::watched::Sink;
use sha2::{Digest as _, Sha256};

use crate::broker::{borrow, lend, relay};
use crate::calls::payload;
use crate::harness::{FAKE, Harness, PLUGIN};

/// Why this host does not start, also if that takes a while.
async fn error_of(h: &Harness, host: Host) -> StartError {
    match h
        .within(Duration::from_secs(60), host.start(h.runtime.clone()))
        .await
    {
        Err(HostError::Start { error, .. }) => *error,
        other => panic!("unexpected outcome {other:?}"),
    }
}

/// What a program says on stderr before it ends.
async fn says(h: &Harness, host: Host) -> String {
    let error = error_of(h, host).await;
    assert_eq!(error.evidence.exit, Some(Exit::Code(3)), "{error:?}");
    error.evidence.stderr.join("\n")
}

/// What a script says without a policy and with it.
async fn beside(h: &Harness, policy: &Policy, script: &str) -> (String, String) {
    let script = format!("{script}; exit 3");
    let free = says(h, h.script(&script)).await;
    let sandbox = Sandbox::new(policy.clone());
    (free, says(h, h.script(&script).runner(sandbox)).await)
}

/// Says on stderr itself that something could not be tried; see the module `diagnosed`.
fn skipped(what: &str, why: &str) {
    let line = format!("SKIPPED: {what}: {why}\n");
    // A closed stderr leaves nobody to tell.
    let _told = std::io::stderr().write_all(line.as_bytes());
}

fn directory(h: &Harness, name: &str) -> std::path::PathBuf {
    let dir = h.dir().join(name);
    fs::create_dir(&dir).expect("made");
    fs::write(dir.join("file"), "text").expect("written");
    fs::write(dir.join("tool"), "#!/bin/sh\necho ran >&2\n").expect("written");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(dir.join("tool"), mode).expect("ours");
    dir
}

pub async fn files_outside_of_the_rules_cannot_be_used(h: Harness) {
    let (open, closed) = (directory(&h, "open"), directory(&h, "closed"));
    // One line for each use that succeeds.
    let script = |dir: &Path| {
        let dir = dir.display();
        format!(
            "cat {dir}/file >/dev/null 2>&1 && echo read >&2; \
             ls {dir} >/dev/null 2>&1 && echo listed >&2; \
             {{ {dir}/tool; }} 2>{dir}.said; \
             [ \"$?\" = 0 ] && echo executed >&2; \
             {{ echo more >>{dir}/file; }} 2>/dev/null && echo written >&2; \
             {{ echo new >{dir}/new; }} 2>/dev/null && rm {dir}/new && echo made >&2"
        )
    };
    // Where the tool says that it ran.
    let said = h.dir().join("open.said");
    let all = "read\nlisted\nexecuted\nwritten\nmade";
    let none = "";
    let cases = [
        (FileRule::read(&open), "read\nlisted"),
        (FileRule::execute(&open), "read\nlisted\nexecuted"),
        (FileRule::write(&open), "read\nlisted\nwritten\nmade"),
        (FileRule::read(open.join("file")), "read"),
    ];
    for (rule, expected) in cases {
        fs::write(&said, "").expect("written");
        fs::write(h.dir().join("closed.said"), "").expect("written");
        let policy = Policy::new().files(FileRule::system()).files([
            rule,
            FileRule::write(&said),
            FileRule::write(h.dir().join("closed.said")),
        ]);
        let (free, bound) = beside(&h, &policy, &script(&open)).await;
        assert_eq!(
            (free.as_str(), bound.as_str()),
            (all, expected),
            "{policy:?}"
        );
        let (free, bound) = beside(&h, &policy, &script(&closed)).await;
        assert_eq!((free.as_str(), bound.as_str()), (all, none), "{policy:?}");
    }
    // Without libraries it does not even start.
    let bare = Sandbox::new(Policy::new().files([]));
    let error = error_of(&h, h.script("exit 3").runner(bare)).await;
    assert_ne!(error.evidence.exit, Some(Exit::Code(3)), "{error:?}");
    for name in ["open.said", "closed.said"] {
        fs::remove_file(h.dir().join(name)).expect("made above");
    }
    for dir in [open, closed] {
        fs::remove_dir_all(dir).expect("made above");
    }
}

pub async fn limits_bite(h: Harness) {
    let has = |script: &str| {
        format!("if {script} 2>/dev/null; then echo had >&2; else echo lacked >&2; fi")
    };
    let outcome = |free: &str, bound: &str| (free.to_owned(), bound.to_owned());
    // Memory.
    let script = has("dd if=/dev/zero of=/dev/null bs=100M count=1");
    let policy = Policy::new().memory(64 << 20);
    assert_eq!(beside(&h, &policy, &script).await, outcome("had", "lacked"));
    let policy = Policy::new().memory(512 << 20);
    assert_eq!(beside(&h, &policy, &script).await, outcome("had", "had"));
    // The size of files; a pipe is none.
    let file = h.dir().join("file");
    let script = has(&format!("head -c 100000 /dev/zero >{}", file.display()));
    let policy = Policy::new().file_size(4096);
    assert_eq!(beside(&h, &policy, &script).await, outcome("had", "lacked"));
    let length = fs::metadata(&file).expect("it was made").len();
    assert_eq!(length, 4096);
    fs::remove_file(&file).expect("it was made");
    let script = has("head -c 100000 /dev/zero | cat >/dev/null");
    assert_eq!(beside(&h, &policy, &script).await, outcome("had", "had"));
    // Processes; threads are none.
    let policy = Policy::new().no_processes();
    let script = "echo here >&2; /bin/true; exit 3";
    assert_eq!(says(&h, h.script(script)).await, "here");
    let bound = h.script(script).runner(Sandbox::new(policy.clone()));
    let error = error_of(&h, bound).await;
    assert_ne!(error.evidence.exit, Some(Exit::Code(3)), "{error:?}");
    let stderr = error.evidence.stderr.join("\n");
    assert!(
        stderr.starts_with("here\n") && stderr.contains("fork"),
        "{stderr}"
    );
    let threads = Command::new(FAKE).args(["try", "thread"]);
    let host = h.host_of(threads).runner(Sandbox::new(policy));
    assert_eq!(says(&h, host).await, "thread: done");
}

pub async fn processor_time_runs_out(h: Harness) {
    let policy = Policy::new().processor_time(Duration::from_secs(1));
    let host = h.script("while :; do :; done");
    let error = error_of(&h, host.runner(Sandbox::new(policy))).await;
    const SIGXCPU: i32 = 24;
    assert_eq!(
        error.evidence.exit.and_then(Exit::signal),
        Some(SIGXCPU),
        "{error:?}"
    );
}

/// A user whom nobody else is, so that nobody else's tasks count as his.
fn stranger() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    0x2000_0000 + (std::process::id() & 0xf_ffff) * 64 + next % 64
}

/// Has a program run as another user: for a host that is root, whom some rules do not bind.
fn become_another(user: u32) -> Wrapper {
    let user = user.to_string();
    Wrapper::new("setpriv").args(["--clear-groups", "--reuid", &user, "--regid", &user])
}

pub async fn tasks_of_the_user_are_limited(h: Harness) {
    let script = "echo here >&2; /bin/true; exit 3";
    let told = Arc::new(Mutex::new(Vec::new()));
    let policy = |count| Policy::new().tasks_of_user(count).lacking(Lacking::Report);
    let sandbox = |count| {
        let told = Arc::clone(&told);
        Sandbox::new(policy(count)).on_lack(move |lacks| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.extend_from_slice(lacks);
        })
    };
    let (few, many) = if rustix::process::getuid().is_root() {
        let another = || become_another(stranger());
        (sandbox(1).over(another()), sandbox(100).over(another()))
    } else {
        (sandbox(0), sandbox(1_000_000))
    };
    assert_eq!(says(&h, h.script(script).runner(many)).await, "here");
    let error = error_of(&h, h.script(script).runner(few)).await;
    assert_ne!(error.evidence.exit, Some(Exit::Code(3)), "{error:?}");
    let stderr = error.evidence.stderr.join("\n");
    assert!(
        stderr.starts_with("here\n") && stderr.contains("fork"),
        "{stderr}"
    );
    // That it does not bind this host's own user is told, each time.
    let told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let each = policy(1).lacks();
    assert_eq!(told, [each.clone(), each.clone()].concat());
    if !each.is_empty() {
        let refusing = Sandbox::new(policy(1).lacking(Lacking::Refuse));
        let error = error_of(&h, h.script(script).runner(refusing)).await;
        assert!(error.to_string().contains("tasks of root"), "{error}");
    }
}

pub async fn no_privileges_are_gained(h: Harness) {
    let script = "grep NoNewPrivs /proc/self/status >&2";
    let (free, bound) = beside(&h, &Policy::new(), script).await;
    assert_eq!((&*free, &*bound), ("NoNewPrivs:\t0", "NoNewPrivs:\t1"));
    if !rustix::process::geteuid().is_root() {
        return skipped("a program that is set-user-ID", "only root can make one");
    }
    let dir = tempfile::TempDir::with_prefix("outboard-suid").expect("a directory");
    let id = dir.path().join("id");
    fs::copy("/usr/bin/id", &id).expect("copied");
    for (path, mode) in [(dir.path(), 0o755), (&*id, 0o4755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    }
    let script = format!("{} -u >&2; exit 3", id.display());
    let user = stranger();
    let free = says(&h, h.script(&script).runner(become_another(user))).await;
    if free != "0" {
        return skipped(
            "a program that is set-user-ID",
            "the file system for temporary files takes none",
        );
    }
    let bound = Sandbox::new(Policy::new()).over(become_another(user));
    let bound = says(&h, h.script(&script).runner(bound)).await;
    assert_eq!(bound, user.to_string());
}

pub async fn no_network_is_to_be_had(h: Harness) {
    let name = format!("outboard-suite-{}-{:p}", std::process::id(), &raw const h);
    let address = SocketAddr::from_abstract_name(&name).expect("a short name");
    let _listening = UnixListener::bind_addr(&address).expect("a name of its own");
    let tried = [
        "tcp",
        "udp",
        "raw",
        "ring",
        "unix",
        &format!("abstract:{name}"),
    ];
    let try_all = || Command::new(FAKE).arg("try").args(tried);
    let free = says(&h, h.host_of(try_all())).await;
    for what in ["tcp", "udp", "unix", "abstract"] {
        assert!(free.contains(&format!("{what}: done")), "{what}: {free}");
    }
    for (network, allowed) in [(Network::Unix, &["unix"][..]), (Network::None, &[])] {
        let policy = Policy::new().network(network);
        assert_eq!(policy.lacks(), [], "this kernel is too old for the test");
        let host = h.host_of(try_all()).runner(Sandbox::new(policy));
        let bound = says(&h, host).await;
        for what in ["tcp", "udp", "raw", "ring", "unix", "abstract"] {
            let done = bound.contains(&format!("{what}: done"));
            assert_eq!(
                done,
                allowed.contains(&what),
                "{network:?}, {what}: {bound}"
            );
        }
    }
}

pub async fn what_the_kernel_lacks_is_an_error_or_told(h: Harness) {
    let path = h.dir().join("others");
    let listening = UnixListener::bind(&path).expect("bound");
    let tried = || {
        let connect = format!("connect:{}", path.display());
        Command::new(FAKE).args(["try", &connect])
    };
    let policy = Policy::new().network(Network::OwnSocket);
    let lacks = policy.lacks();
    let host = h.host_of(tried()).runner(Sandbox::new(policy.clone()));
    if lacks.is_empty() {
        assert!(!says(&h, host).await.contains("done"));
    } else {
        assert_eq!(lacks, [Lack::OtherSockets]);
        let error = error_of(&h, host).await;
        assert!(
            matches!(error.failure, StartFailure::Launch(_)),
            "{error:?}"
        );
        assert!(
            error.evidence.exit.is_none(),
            "nothing was launched: {error:?}"
        );
        let text = error.to_string();
        assert!(
            text.contains("socket files of others (Landlock's ABI 9)"),
            "{text}"
        );
        assert!(
            error.evidence.hint.is_none(),
            "it is not the file: {error:?}"
        );
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let sandbox = Sandbox::new(policy.lacking(Lacking::Report));
        let sandbox = sandbox.on_lack(move |lacks| {
            let mut told = telling.lock().unwrap_or_else(PoisonError::into_inner);
            told.extend_from_slice(lacks);
        });
        let said = says(&h, h.host_of(tried()).runner(sandbox)).await;
        assert!(said.contains("connect: done"), "as it is told: {said}");
        let told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(told, lacks);
    }
    drop(listening);
    fs::remove_file(&path).expect("bound above");
}

/// A runner that says nothing of restrictions.
#[derive(Debug)]
struct Plain;

impl Runner for Plain {
    fn launch(
        &self,
        runtime: &SharedRuntime,
        launch: Launch,
    ) -> BoxFuture<'static, std::io::Result<Process>> {
        ForkExec.launch(runtime, launch)
    }
}

pub async fn a_sandbox_that_cannot_be_made_launches_nothing(h: Harness) {
    let nowhere = Policy::new().files([FileRule::read("/no/such/directory")]);
    for (sandbox, told) in [
        (Sandbox::new(nowhere), "/no/such/directory"),
        (Sandbox::new(Policy::new()).over(Plain), "Runner::confines"),
    ] {
        let error = error_of(&h, h.script("exit 3").runner(sandbox)).await;
        assert!(
            matches!(error.failure, StartFailure::Launch(_)),
            "{error:?}"
        );
        assert!(error.evidence.exit.is_none(), "{error:?}");
        assert!(error.to_string().contains(told), "{error}");
    }
    // What cannot be executed is told as ever.
    let missing = h.host_of(Command::new("/no/such/plugin"));
    let policy = Policy::new().files(FileRule::system());
    let error = error_of(&h, missing.runner(Sandbox::new(policy))).await;
    assert!(
        error.to_string().contains("no file /no/such/plugin"),
        "{error}"
    );
}

pub async fn a_command_in_front_is_restricted_with_its_plugin(h: Harness) {
    let policy = Policy::new().file_size(4096);
    let script = "ulimit -f >&2; exit 3";
    let calm = Wrapper::new("nice").args(["-n", "1"]);
    let sandbox = Sandbox::new(policy).over(calm);
    // In blocks of 512 bytes.
    assert_eq!(says(&h, h.script(script).runner(sandbox)).await, "8");
}

/// All rules that leave a plugin over this transport usable.
fn strict(h: &Harness) -> Policy {
    let network = if h.on.transport.has_sockets() {
        Network::Unix
    } else {
        Network::None
    };
    // The suite's own programs, and its tools, may lie anywhere.
    let programs = Path::new(PLUGIN).parent().expect("it lies somewhere");
    Policy::new()
        .files(FileRule::system())
        .files([FileRule::read(programs)])
        .network(network)
        .memory(16 << 30)
        .processor_time(Duration::from_secs(600))
        .file_size(1 << 20)
        .no_processes()
}

pub async fn a_plugin_works_in_a_sandbox(h: Harness) {
    let policy = strict(&h);
    assert_eq!(policy.lacks(), [], "this kernel is too old for the test");
    let stdout = Sink::default();
    let host = h.host([""; 0]).sync_stdout(stdout.writer());
    let rig = h.start_host(host.runner(Sandbox::new(policy))).await;
    assert_eq!(rig.probe.echo(payload("hello")).await, Ok(payload("hello")));
    let lent = lend(&rig);
    let there = rig.probe.relay(relay(lent.id(), "there")).await;
    assert_eq!(there, Ok(payload("there")));
    let (_, here) = borrow(&rig).await;
    assert_eq!(here.echo(payload("here")).await, Ok(payload("here")));
    let print = |how: How, text: &str| {
        let mut request = PrintRequest {
            text: text.to_owned(),
            ..PrintRequest::default()
        };
        request.set_how(how);
        rig.process.print(request)
    };
    print(How::Thread, "from a thread")
        .await
        .expect("it may print");
    stdout.until_contains("from a thread").await;
    let refused = print(How::Child, "exit 0").await;
    assert!(refused.is_err(), "it may start no process");
    rig.shutdown().await;
}

pub async fn what_was_checked_is_what_runs_in_a_sandbox(h: Harness) {
    let script = h.dir().join("script");
    fs::write(&script, "#!/bin/sh\neval \"$2\"\n").expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("ours");
    for program in [Path::new("/bin/sh"), &script] {
        let digest = Sha256::digest(fs::read(program).expect("it is there")).to_vec();
        for way in [Execute::SealedCopy, Execute::OpenFile] {
            let command = Command::new(program).args(["-c", "echo here >&2; exit 3"]);
            let host = h
                .host_of(command)
                .checksum(Checksum::sha256(digest.clone()).execute(way));
            let host = host.runner(Sandbox::new(strict(&h)));
            assert_eq!(says(&h, host).await, "here", "{program:?}");
        }
    }
    fs::remove_file(&script).expect("it was made");
}
