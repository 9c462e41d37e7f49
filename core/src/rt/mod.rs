//! What the driver needs of the world around it, as traits without any implementation.
//!
//! | Trait | What it is for | Who has one |
//! | --- | --- | --- |
//! | [`Runtime`] | time, tasks, connections, listeners | `outboard-runtime-tokio`, `outboard-runtime-smol`, or your own |
//! | [`Descriptors`] | pipes and other descriptors that somebody else has made | the same, where the system has any |
//! | [`Runner`] | how a process comes about and ends | `outboard-unix` (fork and exec), or your own: containers, other machines |
//!
//! An adapter is one value that implements [`Runtime`]; everything else in outboard takes it as
//! `Arc<dyn Runtime>`. So no type parameter for the runtime reaches users' clients or servers, and two
//! runtimes can live in one program. Boxes are made only where connections, processes and timers are
//! made, never per call.
//!
//! IO objects are [`futures_io`] streams: the neutral choice, with no dependencies of its own.
//! Reads and writes take `&mut self`, so one task at a time polls an object and one waker per
//! direction is enough.

#[cfg(target_os = "linux")]
mod confinement;
mod descriptors;
#[cfg(unix)]
mod image;
mod joined;
mod runner;
mod runtime;
mod span_left;
mod stream;

#[cfg(target_os = "linux")]
pub use self::confinement::{Confinement, FilterStep, Limit};
pub use self::descriptors::Descriptors;
#[cfg(unix)]
pub use self::image::OpenProgram;
pub use self::joined::Joined;
pub use self::runner::{AddressTranslator, Child, Launch, Process, Runner, SharedRunner, Stdin};
pub use self::runtime::{
    Accepted, Listener, OsSocket, OwnAddresses, Runtime, SharedRuntime, Timer,
};
pub use self::span_left::SpanLeft;
pub use self::stream::{BoxByteStream, BoxFuture, BoxReader, BoxWriter, ByteStream};
