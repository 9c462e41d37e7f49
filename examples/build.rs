//! Generates the interfaces of the examples.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for name in ["greeter", "kv", "counter", "streamer"] {
        // A directory for each, since several share the package name that go-plugin gave them.
        let dir = out.join(name);
        std::fs::create_dir_all(&dir)?;
        let proto = format!("proto/{name}.proto");
        // As the feature: the code needs that of outboard.
        let blocking = std::env::var_os("CARGO_FEATURE_BLOCKING").is_some();
        outboard_build::configure()
            .blocking(blocking)
            .out_dir(dir)
            .compile(&[proto], &["proto"])?;
    }
    Ok(())
}
