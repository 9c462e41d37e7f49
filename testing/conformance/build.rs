//! Generates the interfaces of the probe.

fn main() -> Result<(), outboard_build::Error> {
    outboard_build::compile(&["proto/probe.proto"], &["proto"])
}
