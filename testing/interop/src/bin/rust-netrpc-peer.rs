//! A plugin over net/rpc, made by hand of `outboard-transport-netrpc`; see `outboard_interop::netrpc`.

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use outboard::Tokio;

    if std::env::var("BASIC_PLUGIN").as_deref() != Ok("hello") {
        return Err("this is a plugin, which a host starts".into());
    }
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let shared = Tokio::from_handle(runtime.handle().clone()).into();
    runtime.block_on(outboard_interop::netrpc::plugin(shared, dir.path()));
    Ok(())
}

#[cfg(not(unix))]
fn main() {}
