//! What is wanted of a descriptor.

/// How often in one poll a descriptor is tried that has nothing to give although its event said so:
/// an event may come in the middle of an attempt, and is worth another. Before more the thread gets
/// to others.
pub(crate) const ATTEMPTS: u32 = 2;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// Which events of a descriptor are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Interest {
    Read,
    Write,
    /// Reading, and writing while there is no room. A peer that reads frees room in this side's
    /// socket: as an event that is always wanted it would wake the thread once per message.
    Both,
}
