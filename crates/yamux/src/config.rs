//! What a session is set up with.

use std::time::Duration;

/// What every yamux peer assumes of a window at first.
pub(crate) const INITIAL_WINDOW: u32 = 256 * 1024;

/// Which side of the session this is. Both may open streams; they differ in the numbers they give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opens streams 1, 3, 5 and so on. In go-plugin's protocol this is the host.
    Client,
    /// Opens streams 2, 4, 6 and so on. In go-plugin's protocol this is the plugin.
    Server,
}

impl Role {
    pub(crate) fn first_id(self) -> u32 {
        match self {
            Self::Client => 1,
            Self::Server => 2,
        }
    }

    /// Whether this side gives such numbers.
    pub(crate) fn gives(self, id: u32) -> bool {
        id != 0 && id % 2 == self.first_id() % 2
    }
}

/// Limits and times of a session. The values of [`new`](Self::new) are those of `hashicorp/yamux`,
/// where it has them.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Which side this is.
    pub role: Role,
    /// How many streams of the peer may wait to be accepted, and how many of this side to be
    /// acknowledged. The peer's next is refused, this side's next waits. 256.
    pub backlog: usize,
    /// How many streams the peer may have open at once; the next is refused. 16,384.
    pub max_streams: usize,
    /// How many bytes may come on a stream before they are read, at first. The protocol fixes what a
    /// peer assumes, so that less than 262,144 is raised to it. 262,144.
    pub window: u32,
    /// How far that grows for a stream whose reader keeps up. 1 MiB.
    pub max_window: u32,
    /// How long the peer may take to acknowledge a stream, before the session is given up. 75 seconds.
    pub open_timeout: Duration,
    /// How long a stream that this side has finished waits for the peer to finish it. It is reset
    /// then. 5 minutes.
    pub close_timeout: Duration,
    /// How often the peer is pinged; never if it is `None`. 30 seconds.
    pub ping_interval: Option<Duration>,
    /// How long the peer may take to answer that, before the session is given up. 10 seconds.
    pub ping_timeout: Duration,
    /// How long the connection may take none of the bytes that wait to be written, before the session
    /// is given up. 10 seconds.
    pub write_timeout: Duration,
}

impl Config {
    /// The usual values.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            backlog: 256,
            max_streams: 16_384,
            window: INITIAL_WINDOW,
            max_window: 1024 * 1024,
            open_timeout: Duration::from_secs(75),
            close_timeout: Duration::from_secs(5 * 60),
            ping_interval: Some(Duration::from_secs(30)),
            ping_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
        }
    }
}
