//! The other side of the instrument: what drives the measured programs and writes down what comes
//! of it.

pub mod counters;
pub mod figures;
mod footprint;
mod latency;
pub mod machine;
pub mod plan;
pub mod proc;
pub mod programs;
mod rates;
pub mod report;
pub mod results;
pub mod session;
pub mod stats;
pub mod subject;
pub mod svg;
pub mod targets;
