//! The engine of calls over a fake transport, without IO and with a clock that is set by hand.

mod calling;
mod fake;
mod pump;
mod service;
mod serving;
