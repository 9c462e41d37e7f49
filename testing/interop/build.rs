//! Generates the interfaces of the peers' services.

fn main() -> Result<(), outboard_build::Error> {
    let files = ["kv", "counter", "streamer", "probe"].map(|name| format!("proto/{name}.proto"));
    outboard_build::compile(&files, &["proto"])
}
