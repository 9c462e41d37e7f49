//! A host program that runs and takes orders.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::Value;

use crate::Failure;
use crate::orders::{Order, UNSUPPORTED};

use super::proc::Placement;
use super::programs::Programs;
use super::subject::Subject;

/// A host program. Dropping it closes the program's stdin and waits for it and its plugin to end.
#[derive(Debug)]
pub struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    subject: Subject,
}

impl Session {
    /// Starts the host program of a subject.
    ///
    /// # Errors
    /// If it has not been built or cannot be started.
    pub fn start(
        subject: Subject,
        programs: &Programs,
        placement: Placement,
    ) -> Result<Self, Failure> {
        let mut command = subject.command(programs)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // The Go runtime looks at its placement when it starts, so it must be right by then.
        let mut child = placement.during(|| Ok(command.spawn()?))?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().ok_or("a child without stdout")?);
        Ok(Self {
            child,
            stdin,
            stdout,
            subject,
        })
    }

    /// Has the host carry out an order; nothing if it has nothing for it.
    ///
    /// # Errors
    /// If the order failed or the program is gone.
    pub fn order(&mut self, order: Order) -> Result<Option<Value>, Failure> {
        let stdin = self.stdin.as_mut().ok_or("the session is over")?;
        writeln!(stdin, "{order}")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)
            .map_err(|error| format!("{}, {order}: {error} in {line:?}", self.subject))?;
        match answer.get("error").and_then(Value::as_str) {
            None => Ok(Some(answer)),
            Some(error) if error.starts_with(UNSUPPORTED) => Ok(None),
            Some(error) => Err(format!("{}, {order}: {error}", self.subject).into()),
        }
    }

    /// Numbers of the answer to an order.
    ///
    /// # Errors
    /// If the host has nothing for it, it failed, or one of them is not in its answer.
    pub fn numbers<const N: usize>(
        &mut self,
        order: Order,
        names: [&str; N],
    ) -> Result<[f64; N], Failure> {
        let answer = self.order(order)?;
        let answer = answer.ok_or_else(|| format!("{}: no way to {order}", self.subject))?;
        let mut numbers = [0.0; N];
        for (slot, name) in numbers.iter_mut().zip(names) {
            *slot = number(&answer, name)?;
        }
        Ok(numbers)
    }

    /// Has the host launch its plugin; the process ids of both.
    ///
    /// # Errors
    /// If that fails.
    pub fn launch(&mut self) -> Result<[u32; 2], Failure> {
        let answer = self.order(Order::Start)?.ok_or("no way to start")?;
        Ok([pid(&answer, "host")?, pid(&answer, "plugin")?])
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stdin = None;
        let _ended = self.child.wait();
    }
}

/// A number in an answer.
///
/// # Errors
/// If there is none of that name.
pub fn number(answer: &Value, name: &str) -> Result<f64, Failure> {
    let found = answer.get(name).and_then(Value::as_f64);
    found.ok_or_else(|| format!("no {name} in {answer}").into())
}

fn pid(answer: &Value, name: &str) -> Result<u32, Failure> {
    let found = answer.get(name).and_then(Value::as_u64);
    let found = found.and_then(|pid| u32::try_from(pid).ok());
    found.ok_or_else(|| format!("no {name} in {answer}").into())
}
