//! Where a stream is in its life: one state for each half, and what moves it.
//!
//! Every transition of a stream is a method here, and nothing else changes a state. Those that the
//! peer causes give an [`Invalid`] where its frame has no place; those of this side are total: where
//! nothing is to happen, nothing does.
//!
//! What this side sends; what the arrows say in parentheses is the frame that is encoded with it:
//!
//! ```text
//! of a call of this side                                        of a call of the peer
//!
//! Unopened ----- opened (OPEN) -----.                           Open
//!    | heading (first PART)         |                             | finish
//!    v                              v                             v
//! Heading ------ opened (OPEN) ---> Open -- finish --> Finishing  Finishing
//!    |                              |                    |        | last_sent (STATUS)
//!    |                              |                    |        v
//!    |                              |    last_sent (END) |       Sent
//!    |                              |                    v
//!    | cancel                cancel |<--- cancel ---  Sent --.
//!    v                              v                    ^   | the peer's end
//! Cancelling(Head)          Cancelling(Messages, Ended)  |   |
//!    | cancel_sent (CANCEL)         | cancel_sent        `---'
//!    v                              v (CANCEL)
//!  Sent, and Ended               Cancelled
//! ```
//!
//! An OPEN, message or chunk with the flag END goes from `Open` or `Finishing` to `Sent` at once. An
//! unopened call that is cancelled is over without a frame. The peer's end turns `Cancelling(Ended)`
//! back into `Sent`: there is nobody left to tell.
//!
//! What comes from the peer:
//!
//! ```text
//! Start -- HEADERS --> Headers -- message --> Messages -- END, STATUS or CANCEL --> Ended
//! ```
//!
//! Each may be skipped. A stream is over when this side has sent its last frame and the peer has
//! ended; a call of this side is kept until, moreover, nobody is interested in it any more.

use super::violation::Violation;

/// What this side sends on a stream; see the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// A call of this side of which nothing has left. `finished`: all its messages are queued.
    Unopened { finished: bool },
    /// The call has a number, and parts of its head have left.
    Heading { finished: bool },
    /// Messages may be queued.
    Open,
    /// All messages are queued, and the last frame has not left.
    Finishing,
    /// The call is given up and the peer is yet to be told. Nothing else is sent.
    Cancelling(Abandoned),
    /// The peer was told.
    Cancelled,
    /// The last frame has left: `END` of the opener, `STATUS` of the acceptor.
    Sent,
}

/// What had left of a call when it was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abandoned {
    /// Parts of its head; the peer says nothing to that.
    Head,
    /// Perhaps messages, but not their end. `CANCEL` is that.
    Messages,
    /// All of it. `CANCEL` is a favour, not owed to a peer that has ended.
    Ended,
}

/// What has come from the peer on a stream; see the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Receiving {
    /// Nothing.
    Start,
    /// Headers.
    Headers,
    /// A message, or the announcement of one.
    Messages,
    /// The end: no more messages come.
    Ended,
    /// The end, and nothing before it.
    EndedAtOnce,
}

/// Whether somebody on this side is interested in what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    Listening,
    Gone,
}

/// A frame of the peer that has no place in the state its stream is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    /// The stream has not been opened yet.
    #[error("before the stream was opened")]
    NotOpen,
    /// The peer's last frame has come.
    #[error("after the peer's last frame")]
    AfterEnd,
    /// Headers after others or after a message.
    #[error("headers after headers or a message")]
    LateHeaders,
}

impl Invalid {
    /// What it is of a frame of type `kind` for a stream.
    pub(super) fn of(self, kind: u8, stream: u32) -> Violation {
        match self {
            Self::NotOpen => Violation::WrongStream { kind, stream },
            Self::AfterEnd => Violation::AfterEnd { kind, stream },
            Self::LateHeaders => Violation::LateHeaders { stream },
        }
    }
}

/// What is to be done about a call that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The peer is to be told, at the stream's next turn.
    Due,
    /// Nothing: it never was opened, it is over, or `CANCEL` is on its way or has left.
    None,
}

/// The state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    sending: Sending,
    receiving: Receiving,
    audience: Audience,
}

impl State {
    /// Of a call of this side, which may have all its messages already.
    pub(super) fn opener(finished: bool) -> Self {
        Self {
            sending: Sending::Unopened { finished },
            receiving: Receiving::Start,
            audience: Audience::Listening,
        }
    }

    /// Of a call of the peer.
    pub(super) fn acceptor() -> Self {
        Self {
            sending: Sending::Open,
            receiving: Receiving::Start,
            audience: Audience::Listening,
        }
    }

    pub(super) fn sending(self) -> Sending {
        self.sending
    }

    /// Whether messages may be queued.
    pub(super) fn takes_messages(self) -> bool {
        matches!(
            self.sending,
            Sending::Open
                | Sending::Unopened { finished: false }
                | Sending::Heading { finished: false }
        )
    }

    /// Whether all messages are queued and the last frame is yet to leave.
    pub(super) fn is_finishing(self) -> bool {
        matches!(
            self.sending,
            Sending::Finishing
                | Sending::Unopened { finished: true }
                | Sending::Heading { finished: true }
        )
    }

    /// Whether the peer is yet to see the stream opened.
    pub(super) fn is_opening(self) -> bool {
        matches!(
            self.sending,
            Sending::Unopened { .. } | Sending::Heading { .. }
        )
    }

    /// Whether nothing is left to send but credit and grants.
    pub(super) fn is_sent(self) -> bool {
        matches!(self.sending, Sending::Sent | Sending::Cancelled)
    }

    /// Whether the peer has sent its last message.
    pub(super) fn is_ended(self) -> bool {
        matches!(self.receiving, Receiving::Ended | Receiving::EndedAtOnce)
    }

    /// Whether something came before which headers would have come.
    pub(super) fn has_passed_headers(self) -> bool {
        matches!(self.receiving, Receiving::Messages | Receiving::Ended)
    }

    /// Whether nobody is interested in what comes.
    pub(super) fn is_deaf(self) -> bool {
        self.audience == Audience::Gone
    }

    /// Whether both sides have sent their last frames.
    pub(super) fn is_over(self) -> bool {
        self.is_sent() && self.is_ended()
    }

    /// No more messages will be queued. Whether that was news.
    pub(super) fn finish(&mut self) -> bool {
        let next = match self.sending {
            Sending::Unopened { finished: false } => Sending::Unopened { finished: true },
            Sending::Heading { finished: false } => Sending::Heading { finished: true },
            Sending::Open => Sending::Finishing,
            Sending::Unopened { finished: true }
            | Sending::Heading { finished: true }
            | Sending::Finishing
            | Sending::Cancelling(_)
            | Sending::Cancelled
            | Sending::Sent => return false,
        };
        self.sending = next;
        true
    }

    /// A first part of the call's head leaves.
    pub(super) fn heading(&mut self) {
        if let Sending::Unopened { finished } = self.sending {
            self.sending = Sending::Heading { finished };
        }
    }

    /// The frame that opens the stream leaves.
    pub(super) fn opened(&mut self) {
        self.sending = match self.sending {
            Sending::Unopened { finished: false } | Sending::Heading { finished: false } => {
                Sending::Open
            }
            Sending::Unopened { finished: true } | Sending::Heading { finished: true } => {
                Sending::Finishing
            }
            other => other,
        };
    }

    /// The last frame leaves.
    pub(super) fn last_sent(&mut self) {
        if matches!(self.sending, Sending::Open | Sending::Finishing) {
            self.sending = Sending::Sent;
        }
    }

    /// The opener gives its call up.
    pub(super) fn cancel(&mut self) -> Notice {
        let abandoned = match self.sending {
            Sending::Unopened { .. } => {
                // Nobody has heard of it.
                self.sending = Sending::Sent;
                self.receiving = Receiving::Ended;
                return Notice::None;
            }
            Sending::Heading { .. } => Abandoned::Head,
            Sending::Open | Sending::Finishing => Abandoned::Messages,
            Sending::Sent if !self.is_ended() => Abandoned::Ended,
            Sending::Sent | Sending::Cancelling(_) | Sending::Cancelled => return Notice::None,
        };
        self.sending = Sending::Cancelling(abandoned);
        Notice::Due
    }

    /// The frame that tells the peer leaves, if one is due.
    pub(super) fn cancel_sent(&mut self) -> bool {
        let Sending::Cancelling(abandoned) = self.sending else {
            return false;
        };
        self.sending = Sending::Cancelled;
        if abandoned == Abandoned::Head {
            self.sending = Sending::Sent;
            self.receiving = Receiving::Ended;
        }
        true
    }

    /// Nobody is interested any more in what comes.
    pub(super) fn deafen(&mut self) {
        self.audience = Audience::Gone;
    }

    /// Whether the peer may send anything on the stream.
    pub(super) fn check_receiving(self) -> Result<(), Invalid> {
        if self.is_opening() || self.sending == Sending::Cancelling(Abandoned::Head) {
            // It may have a number, and the peer does not know it yet.
            return Err(Invalid::NotOpen);
        }
        if self.is_ended() {
            return Err(Invalid::AfterEnd);
        }
        Ok(())
    }

    /// Headers of the acceptor came.
    pub(super) fn headers_came(&mut self) -> Result<(), Invalid> {
        self.check_receiving()?;
        if self.receiving > Receiving::Start {
            return Err(Invalid::LateHeaders);
        }
        self.receiving = Receiving::Headers;
        Ok(())
    }

    /// A message came, or the announcement of one.
    pub(super) fn message_came(&mut self) -> Result<(), Invalid> {
        self.check_receiving()?;
        self.receiving = Receiving::Messages;
        Ok(())
    }

    /// The peer's last frame came. One that is too late changes nothing.
    pub(super) fn end_came(&mut self) {
        self.receiving = match self.receiving {
            Receiving::Start | Receiving::EndedAtOnce => Receiving::EndedAtOnce,
            Receiving::Headers | Receiving::Messages | Receiving::Ended => Receiving::Ended,
        };
        if self.sending == Sending::Cancelling(Abandoned::Ended) {
            self.sending = Sending::Sent;
        }
    }
}

#[cfg(test)]
mod tests;
