//! Generates the interfaces of the probe.

fn main() -> Result<(), outboard_build::Error> {
    // What outboard has on unix alone, as what is here.
    let blocking = std::env::var_os("CARGO_CFG_UNIX").is_some();
    outboard_build::configure()
        .blocking(blocking)
        .compile(&["proto/probe.proto"], &["proto"])
}
