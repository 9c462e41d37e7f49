//! The sans-IO heart of outboard: go-plugin's protocol as machines and plain functions.
//!
//! Nothing in this crate reads a clock, opens a socket, starts a process or a thread, or looks at
//! the environment. What happens comes in as values, what is to be done comes out as values, and a
//! *driver* in between does it: the crate `outboard` for async programs, a loop over threads, or a
//! test with queues and a clock that it moves by hand.
//!
//! # Machines
//!
//! [`host::Host`] launches a plugin and sees to its end, [`plugin::Plugin`] is its counterpart in
//! the plugin's process, [`broker::Broker`] runs on both sides once they are connected,
//! [`link::Link`] decides when a lost connection is made again, [`supervisor::Supervisor`] when a plugin
//! is started again, and [`acceptor::Acceptor`] which connections a listener takes. They have the same shape:
//!
//! | Method | Direction |
//! | --- | --- |
//! | `new` | the first actions are ready at once |
//! | `handle(now, input)` | something happened outside |
//! | `handle_timeout(now)` | the time of `poll_timeout` has come |
//! | verbs, such as `shutdown(now)` | the user wants something |
//! | `poll_action()` | something for the driver to do |
//! | `poll_event()` | something for the user to know |
//! | `poll_timeout()` | when to call `handle_timeout`, and what for |
//!
//! # The drain contract
//!
//! After each call that takes `&mut self`, call the `poll_*` methods of the machine until each
//! returns `None`, carry out the actions in the order they came, and set one timer to
//! `poll_timeout`, which may be earlier than before. Then wait for that timer or for the next thing
//! to happen.
//!
//! The contract forgives: two inputs in a row cost nothing but the delay of the first one's
//! actions, a late `handle_timeout` only makes things late, an early one does nothing, and inputs
//! that make no sense in a state are ignored. No sequence of calls panics. `now` should not go
//! backwards; if it does, timers expire later.
//!
//! After `handle_timeout(t)`, `poll_timeout` is later than `t` or `None`, so a driver that calls it
//! whenever it is due cannot spin.
//!
//! Enums of actions are exhaustive on purpose: a driver that passes over a new one would wait for what
//! never comes, so it had better not compile. Inputs and events can grow without breaking anybody; an
//! event that a driver does not know is news that it does without.
//!
//! What a driver has to give in return: an answer to each action that asks for one, however late
//! (the machines bound their own waiting by timers), and the bytes of a pipe in order.
//!
//! ```
//! use std::time::Instant;
//!
//! use outboard_core::handshake::{HostExpectation, Protocol};
//! use outboard_core::host::{Host, HostAction, HostConfig, HostEvent, HostInput};
//!
//! let now = Instant::now(); // the driver's clock
//! let expectation = HostExpectation::new([1]).allowing([Protocol::Grpc]);
//! let mut host = Host::new(HostConfig::new(expectation), now);
//!
//! assert_eq!(host.poll_action(), Some(HostAction::Launch));
//! host.handle(now, HostInput::Launched { id: Some("7".to_owned()) });
//! host.handle(now, HostInput::Stdout(b"1|1|unix|/tmp/plugin1|grpc|\n"));
//!
//! assert!(matches!(host.poll_action(), Some(HostAction::Connect { .. })));
//! host.handle(now, HostInput::Connected);
//!
//! assert!(matches!(host.poll_event(), Some(HostEvent::Negotiated(_))));
//! assert_eq!(host.poll_event(), Some(HostEvent::Ready));
//! ```
//!
//! # The rest
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`handshake`], [`env`](mod@env), [`version`] | the one line on stdout, the variables, the choice of a version |
//! | [`grpc`], [`wire`] | message framing and statuses; the messages of go-plugin's own services |
//! | [`rpc`] | calls, channels and transports, as every transport offers them |
//! | [`rt`] | what a driver needs of an async runtime |
//! | [`backlog`] | what a plugin printed and logged and nobody has taken yet |
//! | [`memory`] | a stream of bytes in memory, for tests and examples |
//! | [`checksum`] | whether a program is the expected one |
//! | [`activation`] | sockets that a program is given by whoever starts it |
//! | [`admission`] | who may connect to a unix socket |
//! | [`leftover`] | what killed hosts have left behind, and what of it may be removed |
//! | [`endpoint`], [`exit`], [`fault`] | addresses, process exits, system errors as values |
//! | [`reattach`] | the record of a plugin that runs, for other hosts |
//! | [`lock`], [`queue`] | locks whose order debug builds assert; a queue with keys |
//! | [`trace`] | which trace a call belongs to: W3C Trace Context |
//! | [`turn`] | how much a task does before others get their turn |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "a test's first instant has to come from somewhere"
    )
)]
// What users see can grow. Modules that are allowed not to hold what a driver exchanges with a machine, or a
// transport with the engine of calls, or what was generated: one that does not know an action would not do it.
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
pub mod acceptor;
pub mod activation;
pub mod admission;
pub mod backlog;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
pub mod broker;
pub mod checksum;
pub mod diagnose;
pub mod endpoint;
pub mod env;
pub mod exit;
pub mod fault;
pub mod figures;
pub mod grpc;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
pub mod handshake;
pub mod hclog;
pub mod host;
pub mod later;
pub mod leftover;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
pub mod link;
pub mod lock;
pub mod memory;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
pub mod plugin;
pub mod queue;
pub mod reattach;
pub mod report;
pub mod rpc;
pub mod rt;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
pub mod supervisor;
mod text;
pub mod timer;
pub mod tls;
pub mod told;
pub mod trace;
pub mod turn;
pub mod version;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
pub mod wire;
