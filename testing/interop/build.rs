//! Generates the interfaces of the peers' services.

fn main() -> Result<(), outboard_build::Error> {
    let files = ["kv", "counter", "streamer", "probe"].map(|name| format!("proto/{name}.proto"));
    // What outboard has on unix alone.
    let blocking = std::env::var_os("CARGO_CFG_UNIX").is_some();
    outboard_build::configure()
        .blocking(blocking)
        .compile(&files, &["proto"])
}
