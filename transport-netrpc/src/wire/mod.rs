//! The wire of net/rpc, without IO: what stands in front of each value, which call an answer is for, and
//! which stream goes to which id of the broker.

mod boxes;
mod calls;
mod header;
mod ids;

pub use self::boxes::{AlreadyAccepting, Arrival, BoxTimer, Boxes};
pub use self::calls::{Answered, Calls};
pub use self::header::{NOTHING, Nothing, Request, Response, ServiceMethod};
pub use self::ids::BrokerIds;
