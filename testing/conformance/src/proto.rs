//! Generated from `proto/probe.proto`.

outboard::include_proto!("outboard.suite");
