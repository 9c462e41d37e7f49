//! A host without an async runtime: the machines of `outboard-core` and of the stdio transport,
//! driven by plain threads and channels. For unix, because of `waitid`.
//!
//! ```sh
//! cargo run --example threads                  # launches the example `greeter`
//! cargo run --example threads -- PROGRAM ARGS  # or another plugin that greets over stdio
//! ```
//!
//! The main thread owns both machines. Three threads do nothing but block in the system: one reads,
//! one writes, one waits for the exit. All channels are bounded and the main thread never waits to
//! send, so a plugin that floods or does not read neither fills the memory nor holds up a timer.

use std::io::{self, IoSlice, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{error::Error, thread};

use outboard::prost::Message;
use outboard_core::handshake::{Handshake, HostExpectation, Protocol};
use outboard_core::host::{Host, HostAction, HostConfig, HostEvent, HostInput};
use outboard_core::rpc::{Code, Codec as _, Prost, Status};
use outboard_core::{env::HostEnv, exit::Exit, wire::plugin};
use outboard_transport_stdio::wire::{Event, Mux, MuxConfig, OutBuf, close};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

// Only the messages are used; the client is made for async callers.
outboard::include_proto!("greeter/greeter");

const HANDSHAKE: Handshake = Handshake::new(1, "GREETER_PLUGIN", "hello");

/// How the threads tell the main thread what happened.
type Teller = SyncSender<Box<dyn FnOnce(&mut Host, &mut Option<Child>) + Send>>;

/// Launches the plugin, has it greet, and sees to its end. As the drain contract of core wants it,
/// everything that the machines have to say comes first, and then the next thing to happen.
fn greet(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let versions = [HANDSHAKE.protocol_version()];
    let env = HostEnv::new(HANDSHAKE).versions(versions);
    let env = env.transports([Protocol::Stdio]);
    command
        .env_clear()
        .envs(env.merge([], std::env::vars_os(), false));
    // Its log and its complaints go where those of the host go.
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let expectation = HostExpectation::new(versions).allowing([Protocol::Stdio]);

    let (teller, happened) = sync_channel(8);
    let mut host = Host::new(HostConfig::new(expectation), Instant::now());
    let mut calls = Mux::new(MuxConfig::default(), Instant::now());
    let (mut child, mut stdin, mut out) = (None, None, OutBuf::default());
    let (mut greeting, mut goodbye) = (None, None);
    let mut outcome = Err("the plugin went away before it greeted".into());
    loop {
        let now = Instant::now();
        if let Some(action) = host.poll_action() {
            match action {
                HostAction::Launch => match launch(command, &teller) {
                    Ok((launched, writer)) => {
                        let id = Some(launched.id().to_string());
                        (child, stdin) = (Some(launched), Some(writer));
                        host.handle(now, HostInput::Launched { id });
                        host.handle(now, HostInput::StderrClosed);
                    }
                    Err(error) => host.handle(now, HostInput::LaunchFailed(error.into())),
                },
                // The pipes are the connection: nothing else was offered.
                HostAction::Connect { .. } => host.handle(now, HostInput::Connected),
                HostAction::TransportBytes(bytes) if calls.receive(&bytes).is_ok() => {}
                HostAction::TransportBytes(_) => host.handle(now, HostInput::ConnectionLost),
                HostAction::CallShutdown => {
                    let request = Prost::encode(&plugin::Empty {});
                    goodbye = calls.call(plugin::CONTROLLER.methods[0].path, request).ok();
                }
                HostAction::Disconnect => calls.close(close::ORDERLY, "the host is done"),
                // The only way to end a `Child`. Refused, the machine's own timer ends the wait.
                HostAction::Terminate | HostAction::Kill => drop(child.as_mut().map(Child::kill)),
                HostAction::Abandon | HostAction::CloseBroker => {}
                HostAction::Release | HostAction::Cleanup => {}
            }
        } else if let Some(event) = host.poll_event() {
            match event {
                HostEvent::Ready => {
                    let name = "threads".to_owned();
                    let request = Prost::encode(&GreetRequest { name });
                    match calls.call("/greeter.Greeter/Greet", request) {
                        Ok(key) => greeting = Some(key),
                        Err(_) => host.shutdown(now),
                    }
                }
                HostEvent::Disconnected { .. } => host.shutdown(now),
                HostEvent::Failed(error) => outcome = Err(error.into()),
                HostEvent::Exited { exit, reason, .. } => {
                    eprintln!("the plugin {exit}: {reason:?}")
                }
                HostEvent::Finished => return outcome,
                _ => {}
            }
        } else if let Some(event) = calls.poll_event() {
            match event {
                Event::Opened(key, _) => calls.refuse(key, &Status::unimplemented("a mere host")),
                Event::Closed(..) => host.handle(now, HostInput::ConnectionLost),
                _ => {}
            }
        } else if let Some(answer) = greeting.and_then(|key| calls.take_answer(key)) {
            outcome = match answer.map(GreetReply::decode) {
                Ok(reply) => reply.map(|reply| reply.text).map_err(Into::into),
                Err(status) => Err(status.into()),
            };
            host.shutdown(now);
        } else if let Some(answer) = goodbye.and_then(|key| calls.take_answer(key)) {
            // Any other may have died before it answered.
            let input = match answer {
                Err(status) if status.code() == Code::Unimplemented => {
                    HostInput::ShutdownUnsupported
                }
                _ => HostInput::ShutdownAnswered,
            };
            host.handle(now, input);
        } else {
            if let Some(writer) = stdin.as_ref().filter(|_| host.handshake().is_some()) {
                calls.transmit(&mut out);
                let mut piece = [IoSlice::new(&[])];
                out.slices(&mut piece);
                let (batch, len) = (piece[0].to_vec(), piece[0].len());
                if len == 0 && calls.is_close_sent() {
                    stdin = None;
                } else if len > 0 && writer.try_send(batch).is_ok() {
                    out.advance(len);
                }
            }
            let timeout = host.poll_timeout();
            let timeout = timeout.map(|(at, _)| at.saturating_duration_since(now));
            if let Ok(tell) = happened.recv_timeout(timeout.unwrap_or(Duration::MAX)) {
                tell(&mut host, &mut child);
            }
            // Whatever happened: a flood of it must not hold up the timers.
            host.handle_timeout(Instant::now());
        }
    }
}

/// Makes the process and the threads that attend to it. The sender given leads to its stdin.
fn launch(command: &mut Command, teller: &Teller) -> io::Result<(Child, SyncSender<Vec<u8>>)> {
    let mut child = command.spawn()?;
    let (writer, batches) = sync_channel::<Vec<u8>>(1);
    if let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) {
        let to = teller.clone();
        thread::spawn(move || {
            batches
                .into_iter()
                .try_for_each(|batch| match stdin.write_all(&batch) {
                    Ok(()) => to.send(Box::new(|_, _| ())),
                    Err(_) => to.send(Box::new(|host, _| tell(host, HostInput::ConnectionLost))),
                })
        });
        let to = teller.clone();
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                let bytes = buffer[..count].to_vec();
                to.send(Box::new(move |host, _| {
                    tell(host, HostInput::Stdout(&bytes))
                }))?;
            }
            to.send(Box::new(|host, _| {
                tell(host, HostInput::StdoutClosed);
                tell(host, HostInput::ConnectionLost);
            }))
        });
    }
    let (pid, to) = (Pid::from_child(&child), teller.clone());
    thread::spawn(move || {
        // Leaves the reaping to the main thread: a kill must not hit another process by this id.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ended = waitid(WaitId::Pid(pid), ended);
        to.send(Box::new(|host, child| {
            let status = child.as_mut().and_then(|child| child.wait().ok());
            let exit = status.map(|status| Exit::from_wait_status(status.into_raw()));
            tell(host, HostInput::Exited(exit.unwrap_or(Exit::Unknown)));
        }))
    });
    Ok((child, writer))
}

fn tell(host: &mut Host, input: HostInput<'_>) {
    host.handle(Instant::now(), input);
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.is_empty() {
        let this = std::env::current_exe().unwrap_or_default();
        args = vec![this.with_file_name("greeter").into(), "plugin".into()];
    }
    println!("{}", greet(Command::new(&args[0]).args(&args[1..]))?);
    Ok(())
}
