//! Plugins in containers: namespaces for users, mounts and the network, where they have another user and
//! other paths than their host.

use std::io::Write as _;
use std::process::Command as Program;
use std::sync::OnceLock;

use outboard::runner::Container;
use outboard::{ExitReason, Host, StartFailure};
use outboard_conformance::proto::{Nothing, PrintRequest, Probe as _, Process as _};
use outboard_conformance::watched::Sink;

use crate::broker::{borrow, lend, relay};
use crate::calls::payload;
use crate::harness::{Harness, OCI};
use crate::leftovers::{gone, processes_of};

/// Where the sockets are inside.
const INSIDE: &str = "/mnt/sockets";

/// Whether this machine lets its users have namespaces, which a container of its own may not. If not, that is
/// said on stderr itself, since a test that passes keeps back what it prints. It is no failure under `CI=true`
/// either: unlike a toolchain, nobody can install it.
fn namespaces() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        let set_up = "mount -t tmpfs none /mnt && \
                      exec unshare --user --map-user=1234 --map-group=1234 -- true";
        let tried = Program::new("/usr/bin/unshare")
            .args(["--user", "--map-root-user", "--mount", "--net", "--"])
            .args(["/bin/sh", "-c", set_up])
            .output();
        let why = match tried {
            Ok(output) if output.status.success() => return true,
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        let line = format!("SKIPPED: plugins in containers: no user namespaces: {why}\n");
        // A closed stderr leaves nobody to tell.
        let _told = std::io::stderr().write_all(line.as_bytes());
        false
    })
}

fn container(h: &Harness, image: &str) -> Container {
    Container::new(OCI, image)
        .socket_dir(INSIDE)
        .options(["--hide".as_ref(), h.dir().as_os_str()])
}

fn contained(h: &Harness) -> Host {
    h.host([""; 0]).runner(container(h, "any"))
}

pub async fn a_contained_plugin_has_paths_and_a_user_of_its_own(h: Harness) {
    if !namespaces() {
        return;
    }
    let stdout = Sink::default();
    let host = contained(&h).sync_stdout(stdout.writer());
    let rig = h.start_host(host).await;
    let id = rig.plugin.id().expect("it runs");
    assert!(id.starts_with("outboard-"), "{id}");
    assert_eq!(rig.plugin.pid(), None);
    let facts = rig.process.facts(Nothing {}).await.expect("ok");
    assert_eq!(facts.user, 1234);
    // Over its own pipes it makes no sockets, and has no directory of its own for them.
    if h.on.transport.to_string().starts_with("h2") {
        let dir = facts.environment.get("PLUGIN_UNIX_SOCKET_DIR");
        assert_eq!(dir.map(String::as_str), Some(INSIDE));
    }
    let lent = lend(&rig);
    let there = rig.probe.relay(relay(lent.id(), "there")).await;
    assert_eq!(there, Ok(payload("there")));
    let (_, here) = borrow(&rig).await;
    assert_eq!(here.echo(payload("here")).await, Ok(payload("here")));
    let text = "from inside\n".to_owned();
    let print = PrintRequest {
        text,
        ..PrintRequest::default()
    };
    rig.process.print(print).await.expect("it prints");
    rig.shutdown().await;
    assert_eq!(stdout.bytes(), b"from inside\n");
}

pub async fn a_group_lets_host_and_container_use_their_sockets(h: Harness) {
    if !namespaces() {
        return;
    }
    let own = rustix::process::getegid().as_raw().to_string();
    let host = h.host([""; 0]).socket_group(&own);
    let host = host.runner(container(&h, "any").group_inside(1234));
    let rig = h.start_host(host).await;
    let facts = rig.process.facts(Nothing {}).await.expect("ok");
    let group = facts.environment.get("PLUGIN_UNIX_SOCKET_GROUP");
    assert_eq!(group.map(String::as_str), Some("1234"));
    let (_, here) = borrow(&rig).await;
    assert_eq!(here.echo(payload("here")).await, Ok(payload("here")));
    drop(here);
    rig.shutdown().await;
}

/// A container does not end with the tool that runs it: that is killed with it here.
pub async fn a_container_ends_with_its_plugin(h: Harness) {
    if !namespaces() {
        return;
    }
    let rig = h.start_host(contained(&h)).await;
    let inside = processes_of(h.dir());
    assert!(inside.len() > 1, "the tool and what it runs: {inside:?}");
    let report = rig.plugin.kill().await;
    assert_eq!(report.reason, ExitReason::Killed);
    let left: Vec<u32> = inside.into_iter().filter(|pid| !gone(*pid)).collect();
    assert_eq!(left, [0; 0]);
    // Nobody says so, and it hears nothing.
    let rig = h
        .start_host(h.host(["--stubborn"]).runner(container(&h, "any")))
        .await;
    let inside = processes_of(h.dir());
    drop(rig);
    let left = move || -> Vec<u32> { inside.into_iter().filter(|pid| !gone(*pid)).collect() };
    assert_eq!(h.elsewhere(left).await, [0; 0]);
}

pub async fn a_tool_that_fails_is_told_with_what_was_run(h: Harness) {
    let host = h.host([""; 0]).runner(container(&h, "absent"));
    let error = h.start_error(host).await;
    let told = error.evidence.diagnosis.as_deref().unwrap_or_default();
    assert!(told.contains("it was run as: /"), "{error:?}");
    assert!(told.contains(" absent "), "{error:?}");
    assert!(told.contains("125 is the tool's own failure"), "{error:?}");
    let stderr = error.evidence.stderr.join("\n");
    assert!(stderr.contains("there is no image absent"), "{error:?}");
    let nowhere = Container::new("/no/such/tool", "any");
    let error = h.start_error(h.host([""; 0]).runner(nowhere)).await;
    assert!(
        matches!(error.failure, StartFailure::Launch(_)),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("the tool /no/such/tool does not start"),
        "{text}"
    );
}

pub async fn a_contained_plugin_on_tcp_is_told_what_to_do(h: Harness) {
    if !namespaces() {
        return;
    }
    let host = h.host(["--tcp"]).runner(container(&h, "any"));
    let error = h.start_error(host).await;
    let text = error.to_string();
    assert!(text.contains("must listen on a unix socket"), "{text}");
}
