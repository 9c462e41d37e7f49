//! A process of a supervised plugin, from the place among those that start to its end.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use outboard_core::rpc::{Code, Connection, Status};
use outboard_core::rt::{BoxFuture, SharedRuntime};
use outboard_core::supervisor::{Cause, Spoken, Stop, SupervisorInput};
use outboard_core::told::Told;

use super::limit::Place;
use super::tracked::{Lease, Tracked};
use crate::host::{Ended, Health, Host, HostError, RunningPlugin, ShutdownError};
use crate::peer::Watched;

/// What there is of a process.
pub(super) enum Process {
    Starting(Starting),
    Up(Up),
}

/// A process that is being started.
pub(super) struct Starting {
    generation: u64,
    /// `None` once it was given up, or is not to be.
    attempt: Option<BoxFuture<'static, Result<RunningPlugin, HostError>>>,
    /// Why, for people.
    given_up: Arc<str>,
    /// Nothing of it runs any more.
    gone: Told<()>,
}

/// A process that is up, or is being ended.
pub(super) struct Up {
    generation: u64,
    plugin: Arc<RunningPlugin>,
    ended: BoxFuture<'static, Ended>,
    probe: Option<(u64, BoxFuture<'static, Result<Health, Status>>)>,
    watch: Watch,
    /// Resolves when nobody uses it, once calls went to it.
    unused: Option<Told<()>>,
    /// Whether that is to be told.
    draining: bool,
}

/// A process that calls go to.
pub(super) struct Admitted {
    pub(super) plugin: Arc<RunningPlugin>,
    pub(super) connection: Arc<dyn Connection>,
    /// Held by whoever uses it otherwise.
    pub(super) lease: Lease,
}

/// What it says by itself of whether it takes calls.
enum Watch {
    /// It is not asked to, or does not.
    Not,
    Open(Watched),
    /// It did on a connection that was lost; with the next ping it is asked again.
    Lost,
}

/// What is to be known of it beside what the machine is told.
pub(super) enum News {
    /// It has ended, and this is wrong about it if it was asked to.
    Ended(Result<(), ShutdownError>),
    /// It did not start, and nothing of it runs.
    NotStarted,
    /// Nothing else.
    Else,
}

impl Process {
    pub(super) fn start(host: &Host, runtime: &SharedRuntime, generation: u64) -> Self {
        let (attempt, gone) = host.start_supervised(runtime);
        Self::Starting(Starting {
            generation,
            attempt: Some(attempt),
            given_up: "its start was given up".into(),
            gone,
        })
    }

    /// Ends it.
    pub(super) fn stop(&mut self, how: Stop) {
        match self {
            // Its drop kills what was started.
            Self::Starting(starting) => starting.attempt = None,
            Self::Up(up) => {
                up.probe = None;
                up.watch = Watch::Not;
                up.ended = up.plugin.stop(how);
            }
        }
    }

    /// What calls are to go through from now on, and the plugin that they go to.
    pub(super) fn admit(&mut self) -> Option<Admitted> {
        let Self::Up(up) = self else {
            return None;
        };
        let (lease, unused) = Lease::new();
        up.unused = Some(unused);
        Some(Admitted {
            plugin: Arc::clone(&up.plugin),
            connection: Tracked::around(up.plugin.connection(), lease.clone()),
            lease,
        })
    }

    /// Has it tell when nobody uses it any more.
    pub(super) fn drain(&mut self) {
        if let Self::Up(up) = self {
            up.draining = true;
        }
    }

    pub(super) fn watch(&mut self) {
        if let Self::Up(up) = self {
            up.watch = Watch::Open(up.plugin.watch());
        }
    }

    pub(super) fn probe(&mut self, probe: u64) {
        if let Self::Up(up) = self {
            up.probe = Some((probe, up.plugin.probe()));
            if matches!(up.watch, Watch::Lost) {
                up.watch = Watch::Open(up.plugin.watch());
            }
        }
    }

    /// What has happened to it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(SupervisorInput, News)> {
        match self {
            Self::Starting(starting) => {
                let Poll::Ready(outcome) = starting.poll(cx) else {
                    return Poll::Pending;
                };
                let generation = starting.generation;
                match outcome {
                    Ok(plugin) => {
                        let plugin = Arc::new(plugin);
                        let input = SupervisorInput::Started {
                            generation,
                            id: plugin.id(),
                            pid: plugin.pid(),
                            spoken: Spoken::new(plugin.negotiated_version(), plugin.protocol()),
                        };
                        *self = Self::Up(Up {
                            generation,
                            ended: plugin.ended(),
                            plugin,
                            probe: None,
                            watch: Watch::Not,
                            unused: None,
                            draining: false,
                        });
                        Poll::Ready((input, News::Else))
                    }
                    Err(input) => Poll::Ready((input, News::NotStarted)),
                }
            }
            Self::Up(up) => {
                let generation = up.generation;
                if let Poll::Ready(ended) = up.ended.as_mut().poll(cx) {
                    let input = SupervisorInput::Exited {
                        generation,
                        cause: ended.cause,
                        text: ended.text,
                    };
                    return Poll::Ready((input, News::Ended(ended.judged)));
                }
                if up.draining && up.is_unused(cx) {
                    up.draining = false;
                    return Poll::Ready((SupervisorInput::Drained { generation }, News::Else));
                }
                up.poll_health(cx).map(|input| (input, News::Else))
            }
        }
    }
}

impl Starting {
    /// The plugin, or what the machine is told of a start that failed or was given up.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<RunningPlugin, SupervisorInput>> {
        let generation = self.generation;
        let Some(attempt) = &mut self.attempt else {
            return Pin::new(&mut self.gone).poll(cx).map(|_| {
                Err(SupervisorInput::Exited {
                    generation,
                    cause: Cause::Ended,
                    text: Arc::clone(&self.given_up),
                })
            });
        };
        match ready!(attempt.as_mut().poll(cx)) {
            Ok(plugin) => Poll::Ready(Ok(plugin)),
            Err(error) if error.is_end() => {
                // What was launched may have to be killed yet.
                self.given_up = error.to_string().into();
                self.attempt = None;
                self.poll(cx)
            }
            Err(error) => Poll::Ready(Err(SupervisorInput::StartFailed {
                generation,
                // Its sources and all.
                text: format!("{error:?}").into(),
                lasting: matches!(error, HostError::Config(_)),
            })),
        }
    }
}

impl Up {
    fn is_unused(&mut self, cx: &mut Context<'_>) -> bool {
        let unused = self.unused.as_mut();
        unused.is_none_or(|unused| Pin::new(unused).poll(cx).is_ready())
    }

    fn poll_health(&mut self, cx: &mut Context<'_>) -> Poll<SupervisorInput> {
        let generation = self.generation;
        // An answer that has come is not to lose against the time for it.
        if let Some((probe, answer)) = &mut self.probe
            && let Poll::Ready(answer) = answer.as_mut().poll(cx)
        {
            let probe = *probe;
            self.probe = None;
            return Poll::Ready(SupervisorInput::Probed {
                generation,
                probe,
                serving: is_well(&answer),
            });
        }
        if let Watch::Open(watch) = &mut self.watch
            && let Poll::Ready(told) = watch.as_mut().poll_next(cx)
        {
            match told {
                Some(Ok(health)) => {
                    return Poll::Ready(SupervisorInput::Told {
                        generation,
                        serving: health != Health::NotServing,
                    });
                }
                Some(Err(status)) if status.is_connection_lost() => self.watch = Watch::Lost,
                // It does not tell, or no more. It is pinged all the same.
                Some(Err(_)) | None => self.watch = Watch::Not,
            }
        }
        Poll::Pending
    }
}

/// Whether who answers so takes calls. One that has no health service answers, too.
fn is_well(answer: &Result<Health, Status>) -> bool {
    match answer {
        Ok(health) => *health != Health::NotServing,
        Err(status) => status.code() == Code::Unimplemented,
    }
}

/// The place among those that start, where there is a limit.
pub(super) struct Queue {
    generation: u64,
    place: Option<Place>,
    told: bool,
}

impl Queue {
    pub(super) fn new(generation: u64, place: Option<Place>) -> Self {
        Self {
            generation,
            place,
            told: false,
        }
    }

    /// That it is its turn, once.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<SupervisorInput> {
        if self.told {
            return Poll::Pending;
        }
        if let Some(place) = &self.place
            && place.poll(cx).is_pending()
        {
            return Poll::Pending;
        }
        self.told = true;
        let generation = self.generation;
        Poll::Ready(SupervisorInput::Placed { generation })
    }
}
