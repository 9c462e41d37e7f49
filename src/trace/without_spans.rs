//! Traces of calls in builds without spans: what a handler's caller sent goes on.

use outboard_core::rpc::{Call, CallContext, CallHead, Status};

use crate::codegen::{StreamAnswer, UnaryAnswer};
use crate::context;

/// A call that is made.
pub(crate) struct Calling;

/// A call that is answered.
pub(crate) struct Serving;

/// Has a call that is made now go on in the trace it belongs to.
pub(crate) fn calling(head: &mut CallHead) -> Calling {
    context::pass_trace_on(head);
    Calling
}

/// Begins with the answer to a call.
pub(crate) fn serving(_context: &mut CallContext) -> Serving {
    Serving
}

impl Calling {
    pub(crate) fn ended(&mut self, _failure: Option<&Status>) {}

    pub(crate) fn streaming(self, call: Box<dyn Call>) -> Box<dyn Call> {
        call
    }
}

impl Serving {
    pub(crate) fn unary(self, answer: UnaryAnswer) -> UnaryAnswer {
        answer
    }

    pub(crate) fn streaming(self, answer: StreamAnswer) -> StreamAnswer {
        answer
    }
}
