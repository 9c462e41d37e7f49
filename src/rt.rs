//! For those who bring a runtime of their own, or another way for processes to come about.
//!
//! | Trait | What it is for | Who has one |
//! | --- | --- | --- |
//! | [`Runtime`] | time, tasks, connections, listeners | `Tokio`, `Smol`, or your own |
//! | [`Descriptors`] | pipes and other descriptors that somebody else has made | the same, where the system has any |
//! | [`Runner`] | how a process comes about and ends | `ForkExec`, or your own: containers, other machines |
//!
//! An adapter is one value that implements [`Runtime`]; everything else takes it as a
//! [`SharedRuntime`], so that no client or server has a type parameter for it. A runner is given to
//! [`Host::runner`](crate::Host::runner).

pub use outboard_core::admission::Credentials;
#[cfg(unix)]
pub use outboard_core::rt::OpenProgram;
pub use outboard_core::rt::{
    Accepted, AddressTranslator, BoxByteStream, BoxFuture, BoxReader, BoxWriter, ByteStream, Child,
    Descriptors, Joined, Launch, Listener, OsSocket, OwnAddresses, Process, Runner, Runtime,
    SharedRunner, SharedRuntime, SpanLeft, Stdin, Timer,
};
#[cfg(target_os = "linux")]
pub use outboard_core::rt::{Confinement, FilterStep, Limit};
