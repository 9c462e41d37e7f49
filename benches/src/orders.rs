//! What a host program is told to do, as lines of text.

use std::fmt;
use std::io::Write as _;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::Failure;

/// An order. It is answered with one line of JSON: an object, with `error` in it if it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Launch a plugin and make one call. Answer: the process ids `host` and `plugin`.
    Start,
    /// End that plugin in good order. Answer: `shutdown`, in nanoseconds.
    Stop,
    /// Launch a plugin, make one call, end it; so many times. Answer: `launches`, each with
    /// `total`, `phases` (pairs of name and duration) and `shutdown`, in nanoseconds.
    Dispense(usize),
    /// One call after the other, with so many bytes in both directions. Answer: `samples`, the
    /// duration of each call, and `ns`, that of all together.
    Unary {
        /// Bytes of the payload.
        size: usize,
        /// How many calls.
        count: usize,
    },
    /// So many callers, each making one call after the other. Answer: `calls` and `ns`.
    Load {
        /// Bytes of the payload.
        size: usize,
        /// How many callers.
        callers: usize,
        /// For how long, in milliseconds.
        millis: usize,
    },
    /// A stream from the plugin. Answer: `bytes` and `ns`.
    Download {
        /// Bytes of each message.
        piece: usize,
        /// Bytes in all.
        bytes: usize,
    },
    /// A stream to the plugin. Answer: `bytes` and `ns`.
    Upload {
        /// Bytes of each message.
        piece: usize,
        /// Bytes in all.
        bytes: usize,
    },
    /// Have the plugin serve once more, over the broker, dial that and make one call; so many times. Answer:
    /// `samples`, how long each took from the dial to the reply, and `ns`, that of all together.
    Dial(usize),
    /// So many calls at once that each compute, and an echo beside them. Answer: `ns`, how long all of
    /// them take together, and `echo`, how long that takes.
    Compute {
        /// How many calls.
        callers: usize,
        /// For how long each, in microseconds.
        micros: u64,
    },
    /// So many plugins under one host, launched one after the other, then called in turn. Answer:
    /// `launch` (for all, in nanoseconds), `calls` and `ns`, and `host_kib`, the host's resident
    /// set.
    Plugins {
        /// How many plugins.
        count: usize,
        /// How many calls to each.
        rounds: usize,
    },
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::Stop => f.write_str("stop"),
            Self::Dispense(count) => write!(f, "dispense {count}"),
            Self::Unary { size, count } => write!(f, "unary {size} {count}"),
            Self::Load {
                size,
                callers,
                millis,
            } => write!(f, "load {size} {callers} {millis}"),
            Self::Download { piece, bytes } => write!(f, "download {piece} {bytes}"),
            Self::Upload { piece, bytes } => write!(f, "upload {piece} {bytes}"),
            Self::Dial(count) => write!(f, "dial {count}"),
            Self::Compute { callers, micros } => write!(f, "compute {callers} {micros}"),
            Self::Plugins { count, rounds } => write!(f, "plugins {count} {rounds}"),
        }
    }
}

impl FromStr for Order {
    type Err = Failure;

    fn from_str(line: &str) -> Result<Self, Failure> {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let numbers: Vec<usize> = words.map(str::parse).collect::<Result<_, _>>()?;
        match (name, numbers.as_slice()) {
            ("start", []) => Ok(Self::Start),
            ("stop", []) => Ok(Self::Stop),
            ("dispense", &[count]) => Ok(Self::Dispense(count)),
            ("unary", &[size, count]) => Ok(Self::Unary { size, count }),
            ("load", &[size, callers, millis]) => Ok(Self::Load {
                size,
                callers,
                millis,
            }),
            ("download", &[piece, bytes]) => Ok(Self::Download { piece, bytes }),
            ("upload", &[piece, bytes]) => Ok(Self::Upload { piece, bytes }),
            ("dial", &[count]) => Ok(Self::Dial(count)),
            ("compute", &[callers, micros]) => Ok(Self::Compute {
                callers,
                micros: micros as u64,
            }),
            ("plugins", &[count, rounds]) => Ok(Self::Plugins { count, rounds }),
            _ => Err(format!("no such order: {line:?}").into()),
        }
    }
}

/// Takes orders on stdin until it is closed. Waiting for the next blocks the thread: what is measured
/// has nothing to do then.
///
/// # Errors
/// Those of stdin and stdout. What goes wrong with an order is its answer.
pub async fn serve(
    mut obey: impl AsyncFnMut(Order) -> Result<Value, Failure>,
) -> Result<(), Failure> {
    for line in std::io::stdin().lines() {
        let outcome = match line?.parse() {
            Ok(order) => obey(order).await,
            Err(error) => Err(error),
        };
        let answer = outcome.unwrap_or_else(|error| json!({ "error": chain(&*error) }));
        // In one piece: each write is a system call, and those are counted.
        let answer = format!("{answer}\n");
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(answer.as_bytes())?;
        stdout.flush()?;
    }
    Ok(())
}

/// An error with everything that led to it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// How an order is refused that a subject has nothing for; the report leaves the place empty.
#[must_use]
pub fn unsupported(order: &Order) -> Failure {
    format!("{UNSUPPORTED}: {order}").into()
}

/// What such a refusal begins with.
pub const UNSUPPORTED: &str = "unsupported";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_the_way_through_text() {
        let load = Order::Load {
            size: 16,
            callers: 64,
            millis: 300,
        };
        for order in [Order::Start, Order::Dispense(3), Order::Dial(3), load] {
            let parsed: Order = order.to_string().parse().expect("its own text");
            assert_eq!(parsed, order);
        }
        assert!("load 16".parse::<Order>().is_err());
    }
}
