//! What surrounds a call: generated code on either side of it, the call that is being answered, and
//! who waits for its end.

pub mod codegen;
pub mod context;
pub(crate) mod shutdown;
pub(crate) mod tracked;
