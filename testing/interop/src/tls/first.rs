//! A process of the same user that gets at a plugin that multiplexes before its host does.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use outboard::Tokio;
use outboard::rt::SharedRuntime;
use outboard_core::handshake::HandshakeLine;
use outboard_core::rt::BoxByteStream;
use outboard_yamux::{Config, Opener, Role, session};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::Certificates;
use super::strangers::{Known, Stranger};

/// Launches a plugin and takes its one connection, before the host, to which it then gives the plugin's
/// line, can know of it. As every stranger who knows what there is to be read, it tries to be served in
/// streams of it. `said` has the plugin's process id and, for each of them, how it was refused, a line
/// each; after that the connection stays. Ends as the plugin does.
///
/// # Errors
/// If the plugin prints no line with a socket, or the system refuses something.
pub fn run(said: &Path, program: &str, arguments: &[String]) -> io::Result<ExitCode> {
    let mut plugin = Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = plugin.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    let _length = stdout.read_line(&mut line)?;
    let mut said = File::create(said)?;
    writeln!(said, "{}", plugin.id())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let _connection = runtime.block_on(try_all(&line, said))?;
    print!("{line}");
    io::stdout().flush()?;
    thread::spawn(move || io::copy(&mut stdout, &mut io::stdout()));
    let ended = plugin.wait()?;
    let code = ended.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// What keeps the connection is returned.
async fn try_all(line: &str, mut said: File) -> io::Result<Opener> {
    let line = HandshakeLine::parse(line.trim_end()).map_err(io::Error::other)?;
    let endpoint = line.location().endpoint().ok_or(io::ErrorKind::NotFound)?;
    let runtime: SharedRuntime = Tokio::current().into();
    let io = runtime.connect(endpoint).await?;
    let (opener, _incoming, driver) = session(&runtime, io, Config::new(Role::Client));
    runtime.spawn(Box::pin(driver));
    let told = std::env::var("PLUGIN_CLIENT_CERT").map_err(io::Error::other)?;
    let known = CertificateDer::from_pem_slice(told.as_bytes()).map_err(io::Error::other)?;
    let certificates = Certificates::new();
    for stranger in Stranger::all(&certificates, &Known::Public(known)) {
        let stream: BoxByteStream = Box::new(opener.open().await.map_err(io::Error::other)?);
        match stranger.knock_on(stream).await {
            Err(refused) => writeln!(said, "{stranger:?}: {}", refused.0)?,
            Ok(served) => writeln!(said, "{stranger:?}: SERVED {served:?}")?,
        }
    }
    Ok(opener)
}
