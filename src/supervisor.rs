//! Plugins that are kept up: their processes come and go, and their clients stay valid.
//!
//! [`Host::supervise`](crate::Host::supervise) makes one, by a policy ([`Supervision`]). Decided is all of it by
//! a machine of outboard-core; here are what carries that out, and the handles.
//!
//! # What stays, and what does not
//!
//! Over gRPC and stdio a client that was dispensed once calls whichever process is there. A call that is in
//! flight when a process ends fails at once, with a status for which
//! [`Status::is_connection_lost`](crate::Status::is_connection_lost) holds; where
//! [`Status::is_unsent`](crate::Status::is_unsent) holds as well, the process had seen nothing of it. Calls that
//! have not been sent move to the next process by themselves. Calls that may have been sent are made again only
//! if their method is marked for that in the `.proto`, and has one request and one response:
//!
//! ```proto
//! rpc Get(GetRequest) returns (GetReply) {
//!   option idempotency_level = NO_SIDE_EFFECTS; // or IDEMPOTENT
//! }
//! ```
//!
//! What the plugin keeps in memory is gone with its process, brokered interfaces in both directions too:
//! [`Supervised::broker`] is the present process's. Over Go's net/rpc an instance is made in a process and lives
//! with it: its calls fail for good once that has ended, and [`Supervised::dispense`] makes another one in
//! the next.
//!
//! # Another program
//!
//! [`Supervised::swap`] replaces the program under its callers ([`Swap`]): beside the old one, so that no call
//! fails or waits, or after its end.
//!
//! # Looking on
//!
//! ```no_run
//! # async fn example(plugin: outboard::Supervised) {
//! use outboard::supervisor::Change;
//!
//! let mut events = plugin.events();
//! while let Some(event) = events.next().await {
//!     if let Change::Ended(end) = event.change {
//!         println!("{end}; the next attempt: {:?}", event.next_attempt);
//!     }
//! }
//! # }
//! ```

mod again;
mod board;
mod driver;
mod error;
mod front;
mod handle;
mod level;
mod limit;
mod process;
mod programs;
mod shared;
mod tracked;
mod usage;

pub use outboard_core::supervisor::{
    Backoff, Budget, Cause, Change, End, HealthCheck, Restart, Supervision,
    SupervisorEvent as Event, SupervisorPhase as Phase, SupervisorState as State, Swap,
    SwapFailure, SwapMode, SwapRefusal, SwapReport, SwapStage, SwapState, SwapStep, SwapVersion,
    Waiting,
};

pub use self::board::{Events, States};
pub use self::error::{NotUp, SwapError};
pub use self::handle::Supervised;
pub use self::limit::StartLimit;
