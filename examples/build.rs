//! Generates the interfaces of the examples.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One output per file, as the Kv and Counter protos share go-plugin's package name.
    for name in ["greeter", "kv", "counter", "streamer"] {
        outboard_build::configure()
            .file_name(name)
            .compile(&[format!("proto/{name}.proto")], &["proto"])?;
    }
    Ok(())
}
