//! Measures outboard over real processes, side by side with other ways to run plugins.
//!
//! Every measured *subject* is a host program that launches its plugin and takes *orders* on its
//! stdin: launch, make so many calls, keep so many callers busy. It measures itself and answers
//! with a line of JSON. So all subjects, in whatever language, are driven in the same way: by the
//! program `outboard-bench`, which interleaves them in rounds and writes a report, by the criterion
//! benches, and by the test that shows that the instrument works.
//!
//! `docs/performance.md` of the repository explains how to run it and how to read the report.

pub mod clock;
pub mod codec;
pub mod drive;
pub mod floor;
#[cfg(feature = "netrpc")]
pub mod netrpc;
pub mod orders;
pub mod outboard_host;
pub mod probe;
pub mod runner;
pub mod runtimes;
pub mod service;

/// What goes wrong here is shown to a person and ends the run.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
