//! Other users of the machine, at sockets whose modes would let them in.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use outboard::hclog::Level;
use outboard_conformance::proto::Probe as _;
use outboard_kit::files::sockets_in;
use outboard_kit::h2_frames;
use rustix::thread::{Gid, Uid, set_thread_gid, set_thread_groups, set_thread_uid};

use crate::broker::{borrow, lend, relay};
use crate::calls::payload;
use crate::harness::{Harness, Rig};
use crate::logs::Records;

/// Who has no name on most machines.
const STRANGER: u32 = 54_321;

/// Whether this machine lets the tests be two users. If not, that is said on stderr itself, since a test
/// that passes keeps back what it prints.
fn are_two_users() -> bool {
    let two = rustix::process::geteuid().is_root();
    if !two {
        let line = "SKIPPED: strangers at sockets: only root can be another user as well\n";
        // A closed stderr leaves nobody to tell.
        let _told = std::io::stderr().write_all(line.as_bytes());
    }
    two
}

/// What a process of this user gets from a socket after it has said what clients of HTTP/2 say.
async fn got_by(h: &Harness, user: u32, socket: PathBuf) -> Vec<u8> {
    let connected = h.elsewhere(move || {
        // Of this thread alone, which ends with it.
        if user != 0 {
            set_thread_groups(&[]).expect("root may");
            set_thread_gid(Gid::from_raw(user)).expect("root may");
            set_thread_uid(Uid::from_raw(user)).expect("root may");
        }
        let mut stream = UnixStream::connect(&socket).expect("the modes let everybody in");
        let settings = h2_frames::Frame::settings(&[]).encode();
        // It may have been hung up on by now.
        let _refused = stream.write_all(&[h2_frames::PREFACE, &settings].concat());
        let mut answer = vec![0; 9];
        match stream.read(&mut answer) {
            Ok(count) => answer[..count].to_vec(),
            Err(_) => Vec::new(),
        }
    });
    h.promptly(connected).await
}

/// Opens a directory, and what is in it, to all users.
fn open_up(dir: &Path) {
    let open = |path: &Path| {
        let all = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(path, all).expect("ours");
    };
    open(dir);
    for socket in sockets_in(dir) {
        open(&socket);
        socket.parent().into_iter().for_each(open);
    }
}

/// The sockets that there are: of the plugin, of what it serves, and of what the host does.
async fn sockets(h: &Harness, rig: &Rig) -> (impl Sized + use<>, Vec<PathBuf>) {
    let lent = lend(rig);
    let (_, borrowed) = borrow(rig).await;
    open_up(h.dir());
    let sockets = sockets_in(h.dir());
    assert_eq!(sockets.len(), 3, "{sockets:?}");
    ((lent, borrowed), sockets)
}

pub async fn strangers_at_the_sockets_are_turned_away(h: Harness) {
    let records = Records::default();
    let rig = h.start_host(records.of(h.host([""; 0]))).await;
    let (held, sockets) = sockets(&h, &rig).await;
    for socket in &sockets {
        let own = rustix::process::geteuid().as_raw();
        let answer = got_by(&h, own, socket.clone()).await;
        assert_eq!(answer.get(3), Some(&h2_frames::SETTINGS), "{socket:?}");
    }
    if are_two_users() {
        for socket in &sockets {
            let answer = got_by(&h, STRANGER, socket.clone()).await;
            assert_eq!(answer, [0; 0], "{socket:?} answers a stranger");
        }
        let told = h.promptly(records.with("a stranger's")).await;
        assert_eq!(told.level, Level::Warn);
        let fields = format!("{told:?}");
        for part in [STRANGER.to_string(), std::process::id().to_string()] {
            assert!(fields.contains(&part), "{fields}");
        }
    }
    // Both go on.
    assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
    let lent = lend(&rig);
    let there = rig.probe.relay(relay(lent.id(), "there")).await;
    assert_eq!(there, Ok(payload("there")));
    drop((held, lent));
    rig.shutdown().await;
}

pub async fn who_is_allowed_may_connect(h: Harness) {
    let stranger = STRANGER.to_string();
    let users = ["--allow-user", &stranger];
    for options in [&users[..], &["--allow-any-user"]] {
        let host = h.host(options);
        let host = match options.len() {
            2 => host.allow_users([STRANGER]),
            _ => host.allow_any_user(true),
        };
        let rig = h.start_host(host).await;
        let (held, sockets) = sockets(&h, &rig).await;
        if are_two_users() {
            for socket in sockets {
                let answer = got_by(&h, STRANGER, socket.clone()).await;
                assert_eq!(answer.get(3), Some(&h2_frames::SETTINGS), "{socket:?}");
            }
        }
        drop(held);
        rig.shutdown().await;
    }
}
