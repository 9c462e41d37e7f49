//! placeholder
mod output;
