//! A host machine and a plugin machine in a simulated world: a process with pipes, a connection,
//! latency, and a clock that jumps from one thing that happens to the next.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test file uses its part"
)]

mod pair;
mod world;

pub use self::pair::Pair;
pub use self::world::{
    MS, SECOND, SIGKILL, SIGTERM, World, epoch, host_config, plugin_config, printing,
};

/// A small generator for tests that need the same numbers again (xorshift).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}
