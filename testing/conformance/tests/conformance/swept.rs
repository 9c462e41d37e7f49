//! What hosts and plugins that were killed have left, and the launches after them.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use outboard::Host;
use outboard_conformance::proto::Probe as _;
use outboard_kit::files::sockets_in;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::calls::payload;
use crate::harness::Harness;
use crate::leftovers::{self, files_in};
use crate::shutdown::host_and_plugin;

/// Kills both, so that neither can clean up.
async fn kill(h: &Harness, (mut host, plugin): (Child, u32)) {
    let gone = h.elsewhere(move || {
        leftovers::freeze(plugin);
        host.kill().expect("it runs");
        host.wait().expect("it ends");
        leftovers::kill(plugin);
        leftovers::gone(plugin)
    });
    assert!(gone.await);
}

/// Makes everything in this directory an hour old.
fn age(dir: &Path) {
    for name in files_in(dir) {
        let path = dir.join(name);
        if path.is_dir() {
            age(&path);
        }
        let an_hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
        let since = an_hour_ago.duration_since(std::time::UNIX_EPOCH);
        let time = Timespec::try_from(since.expect("after 1970")).expect("not that far");
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("ours");
    }
}

/// Launches a plugin, which works, and ends it.
async fn launch(h: &Harness, set: impl FnOnce(Host) -> Host) {
    let rig = h.start_host(set(h.host([""; 0]))).await;
    assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
    rig.shutdown().await;
}

/// Launches until so many files are left: a process that another case starts right now may still hold
/// what a dead one had.
async fn launch_until_left(h: &Harness, wanted: usize) {
    let began = Instant::now();
    loop {
        launch(h, |host| host).await;
        let left = files_in(h.dir());
        if left.len() == wanted {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{left:?}");
    }
}

pub async fn what_killed_hosts_have_left_goes_with_the_next_launch(h: Harness) {
    for _ in 0..2 {
        let both = host_and_plugin(&h, h.suite_host(&["wait"])).await;
        kill(&h, both).await;
    }
    assert_eq!(files_in(h.dir()).len(), 2, "{:?}", files_in(h.dir()));
    // Both may have been made just now.
    launch(&h, |host| host).await;
    assert_eq!(files_in(h.dir()).len(), 2);
    age(h.dir());
    launch(&h, |host| host.sweep(false)).await;
    assert_eq!(files_in(h.dir()).len(), 2, "it was told not to");
    launch_until_left(&h, 0).await;
}

pub async fn what_is_alive_is_not_swept(h: Harness) {
    let alive = host_and_plugin(&h, h.suite_host(&["wait"])).await;
    let dead = host_and_plugin(&h, h.suite_host(&["wait"])).await;
    kill(&h, dead).await;
    age(h.dir());
    assert_eq!(files_in(h.dir()).len(), 2);
    launch_until_left(&h, 1).await;
    // It can still be connected to, where a second host knows all that it takes.
    let plain = h.on.transport.has_sockets() && !h.on.transport.is_secured();
    for socket in sockets_in(h.dir()).into_iter().filter(|_| plain) {
        let second = h.second_host(&socket).await;
        second.ping().await.expect("it is there");
        second.kill().await;
    }
    kill(&h, alive).await;
    age(h.dir());
    launch_until_left(&h, 0).await;
}

pub async fn a_plugin_that_outlives_its_host_keeps_its_directory(h: Harness) {
    let mut host = h.suite_host(&["wait"]);
    host.arg("--outlive");
    let (mut host, plugin) = host_and_plugin(&h, host).await;
    h.elsewhere(move || {
        host.kill().expect("it runs");
        host.wait().expect("it ends");
    })
    .await;
    age(h.dir());
    launch(&h, |host| host).await;
    let sockets = sockets_in(h.dir());
    assert_eq!(sockets.len(), 1, "{sockets:?}");
    let second = h.second_host(&sockets[0]).await;
    second.ping().await.expect("it is there");
    second.kill().await;
    leftovers::kill(plugin);
    assert!(h.elsewhere(move || leftovers::gone(plugin)).await);
    age(h.dir());
    launch_until_left(&h, 0).await;
}

pub async fn sockets_without_a_directory_are_swept(h: Harness) {
    let at = |name: &str| -> PathBuf { h.dir().join(name) };
    drop(UnixListener::bind(at("plugin1")).expect("bound"));
    let alive = UnixListener::bind(at("plugin2")).expect("bound");
    std::fs::write(at("plugin3"), "no socket").expect("written");
    drop(UnixListener::bind(at("another1")).expect("bound"));
    age(h.dir());
    launch_until_left(&h, 3).await;
    assert!(!at("plugin1").exists());
    drop(alive);
    for name in ["plugin2", "plugin3", "another1"] {
        std::fs::remove_file(at(name)).expect("it is there");
    }
}
