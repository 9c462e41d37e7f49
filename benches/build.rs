//! Generates the measured service, for outboard and for the tonic peer.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    outboard_build::compile(&["proto/bench.proto"], &["proto"])?;
    #[cfg(feature = "tonic")]
    {
        let out = std::path::Path::new(&std::env::var("OUT_DIR")?).join("tonic");
        std::fs::create_dir_all(&out)?;
        let files = protox::compile(["proto/bench.proto"], ["proto"])?;
        tonic_prost_build::configure()
            .out_dir(out)
            .compile_fds(files)?;
    }
    Ok(())
}
