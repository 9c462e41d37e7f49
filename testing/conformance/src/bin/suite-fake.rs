//! Programs that look like a plugin for a while, without outboard.
//!
//! ```text
//! suite-fake listen PATH HEX [close|hold]   listens at PATH, prints a handshake line for it, sends
//!                                           the bytes HEX on the first connection, and then
//!                                           closes it or keeps it
//! suite-fake flood PATH HEX HEX             as listen with the first bytes, and then sends the second
//!                                           again and again
//! suite-fake stdio HEX [close|hold]         answers with the stdio transport, then as listen, on its
//!                                           own stdout
//! suite-fake flood-stdio HEX HEX            as stdio with the first bytes, and then as flood
//! suite-fake deaf PATH                      as listen, but its queue is full: nobody can connect
//! suite-fake print COUNT TEXT               prints TEXT this often, without a line end
//! suite-fake log HEX COUNT THEN...          writes the bytes HEX this often to stderr, and then
//!                                           becomes the program THEN
//! suite-fake panic TEXT                     panics with TEXT, deep in a stack
//! suite-fake try WHAT...                    tries each, writes a line to stderr that says whether it
//!                                           could, and ends with status 3: tcp, udp, raw and unix make a
//!                                           socket, abstract:NAME and connect:PATH connect to one, ring
//!                                           makes an io_uring, thread a thread
//! ```

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    unix::main()
}

/// The tests that use it run on unix only.
#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod unix {
    use std::error::Error;
    use std::io::{self, Read as _, Write as _};
    use std::os::unix::net::UnixListener;
    use std::os::unix::process::CommandExt as _;
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

    /// Bounds what sleeps on purpose.
    const FOREVER: Duration = Duration::from_secs(600);

    pub(super) fn main() -> Result<(), Box<dyn Error>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match arguments.as_slice() {
            ["listen", path, hex, end] => listen(path, &bytes(hex)?, *end == "close"),
            ["flood", path, hex, again] => flood(path, &bytes(hex)?, &bytes(again)?),
            ["flood-stdio", hex, again] => flood_stdio(&bytes(hex)?, &bytes(again)?),
            ["stdio", hex, end] => stdio(&bytes(hex)?, *end == "close"),
            ["deaf", path] => deaf(path),
            ["bound", told] => bound(Path::new(told)),
            ["print", count, text] => {
                for _ in 0..count.parse::<u64>()? {
                    // The host may have seen enough.
                    io::stdout().write_all(text.as_bytes())?;
                }
                io::stdout().flush()?;
                std::thread::sleep(FOREVER);
                Ok(())
            }
            ["panic", text] => panics(text, 20),
            ["try", what @ ..] => {
                what.iter().for_each(|what| attempt(what));
                std::process::exit(3)
            }
            ["log", hex, count, program, then @ ..] => {
                let bytes = bytes(hex)?;
                for _ in 0..count.parse::<u64>()? {
                    io::stderr().write_all(&bytes)?;
                }
                Err(Command::new(program).args(then).exec().into())
            }
            other => Err(format!("unknown arguments {other:?}").into()),
        }
    }

    /// Listens where the host says, notes that it does, and never says so.
    fn bound(told: &Path) -> Result<(), Box<dyn Error>> {
        let dir = std::env::var_os("PLUGIN_UNIX_SOCKET_DIR").ok_or("no directory is given")?;
        let _listener = UnixListener::bind(Path::new(&dir).join("plugin1"))?;
        std::fs::write(Path::new(&dir).join("more"), "")?;
        std::fs::write(told, dir.to_str().ok_or("no text")?)?;
        std::thread::sleep(FOREVER);
        Ok(())
    }

    fn announce(path: &str) -> io::Result<()> {
        println!("1|1|unix|{path}|grpc");
        io::stdout().flush()
    }

    /// Nothing here may be inlined into the next.
    #[inline(never)]
    fn panics(text: &str, depth: u32) -> Result<(), Box<dyn Error>> {
        assert!(depth > 0, "{text}");
        panics(std::hint::black_box(text), std::hint::black_box(depth - 1))?;
        std::hint::black_box(Ok(()))
    }

    fn listen(path: &str, bytes: &[u8], close: bool) -> Result<(), Box<dyn Error>> {
        let listener = UnixListener::bind(path)?;
        announce(path)?;
        let (mut stream, _) = listener.accept()?;
        // The host may close as soon as it has seen enough.
        let _refused = stream.write_all(bytes);
        if close {
            drop(stream);
            std::thread::sleep(FOREVER);
        } else {
            // What the host sends is read and thrown away.
            let mut buffer = [0; 4096];
            while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
            std::thread::sleep(FOREVER);
        }
        Ok(())
    }

    fn flood(path: &str, first: &[u8], again: &[u8]) -> Result<(), Box<dyn Error>> {
        let listener = UnixListener::bind(path)?;
        announce(path)?;
        let (mut stream, _) = listener.accept()?;
        stream.write_all(first)?;
        // Answers must not fill the host's side up, or it would stop to read.
        let mut answers = stream.try_clone()?;
        std::thread::spawn(move || io::copy(&mut answers, &mut io::sink()));
        let many = again.repeat(100_000 / again.len());
        // Until the host hangs up, or ends it.
        while stream.write_all(&many).is_ok() {}
        std::thread::sleep(FOREVER);
        Ok(())
    }

    fn stdio(bytes: &[u8], close: bool) -> Result<(), Box<dyn Error>> {
        let mut stdout = announce_stdio()?;
        // The host may close as soon as it has seen enough.
        let _refused = stdout.write_all(bytes);
        if close {
            drop(stdout);
            rustix::stdio::dup2_stdout(std::fs::File::open("/dev/null")?)?;
        }
        std::thread::sleep(FOREVER);
        Ok(())
    }

    fn announce_stdio() -> io::Result<std::fs::File> {
        // Not through a handle of the standard library, which cannot be closed.
        let stdout = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
        let mut stdout = std::fs::File::from(stdout);
        stdout.write_all(b"1|1|stdio|-|stdio\n")?;
        Ok(stdout)
    }

    fn flood_stdio(first: &[u8], again: &[u8]) -> Result<(), Box<dyn Error>> {
        let mut stdout = announce_stdio()?;
        stdout.write_all(first)?;
        // What the host says must not fill the pipe up, or it might wait for that.
        std::thread::spawn(|| io::copy(&mut io::stdin(), &mut io::sink()));
        let many = again.repeat(100_000 / again.len());
        // Until the host hangs up, or ends it.
        while stdout.write_all(&many).is_ok() {}
        std::thread::sleep(FOREVER);
        Ok(())
    }

    fn deaf(path: &str) -> Result<(), Box<dyn Error>> {
        let _listener = UnixListener::bind(path)?;
        // Connections that nobody accepts, until the kernel takes no more.
        let address = SocketAddrUnix::new(path)?;
        let mut waiting = Vec::new();
        loop {
            let kind = SocketType::STREAM;
            let socket = rustix::net::socket(AddressFamily::UNIX, kind, None)?;
            rustix::io::ioctl_fionbio(&socket, true)?;
            match rustix::net::connect(&socket, &address) {
                Ok(()) => waiting.push(socket),
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        announce(path)?;
        std::thread::sleep(FOREVER);
        Ok(())
    }

    /// Tries something, and says how that went.
    fn attempt(what: &str) {
        let (what, argument) = what.split_once(':').unwrap_or((what, ""));
        let made = |made: rustix::io::Result<_>| made.map(drop).map_err(io::Error::from);
        let outcome = match what {
            "tcp" => std::net::TcpListener::bind("127.0.0.1:0").map(drop),
            "udp" => std::net::UdpSocket::bind("127.0.0.1:0").map(drop),
            "raw" => made(rustix::net::socket(
                AddressFamily::PACKET,
                SocketType::DGRAM,
                None,
            )),
            "unix" => made(rustix::net::socket(
                AddressFamily::UNIX,
                SocketType::STREAM,
                None,
            )),
            "connect" => std::os::unix::net::UnixStream::connect(argument).map(drop),
            "abstract" => abstract_name(argument),
            "ring" => ring(),
            "thread" => std::thread::Builder::new()
                .spawn(|| ())
                .and_then(|thread| thread.join().map_err(|_| io::Error::other("it panicked"))),
            other => Err(io::Error::other(format!("what is {other}?"))),
        };
        match outcome {
            Ok(()) => eprintln!("{what}: done"),
            Err(error) => eprintln!("{what}: {error}"),
        }
    }

    #[cfg(target_os = "linux")]
    fn abstract_name(name: &str) -> io::Result<()> {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::{SocketAddr, UnixStream};

        let address = SocketAddr::from_abstract_name(name)?;
        UnixStream::connect_addr(&address).map(drop)
    }

    #[cfg(not(target_os = "linux"))]
    fn abstract_name(_: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(target_os = "linux")]
    #[allow(unsafe_code)]
    fn ring() -> io::Result<()> {
        // More than any kernel's `struct io_uring_params`.
        let mut parameters = [0_u8; 512];
        // SAFETY: the kernel reads and writes what it is given, which is large enough and zeroed.
        let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
        // The descriptor goes with this process.
        if ring < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn ring() -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn bytes(hex: &str) -> Result<Vec<u8>, Box<dyn Error>> {
        let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16);
        Ok((0..hex.len())
            .step_by(2)
            .map(pair)
            .collect::<Result<_, _>>()?)
    }
}
