//! Whether tasks belong to the span in which they are spawned.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

thread_local! {
    static LEFT: Cell<bool> = const { Cell::new(false) };
}

/// As long as this is there, what is spawned on this thread does not belong to the span of `tracing` that is
/// current. A handler runs so where it has a span: that is to end with the handler, and would be held open by
/// whatever it brings about that lives longer, such as the connection that it dials through the broker.
pub struct SpanLeft {
    before: bool,
    /// It is of this thread.
    of_thread: PhantomData<*const ()>,
}

impl SpanLeft {
    /// From now on.
    #[must_use]
    pub fn enter() -> Self {
        let before = LEFT.try_with(|left| left.replace(true));
        Self {
            // A thread that is ending spawns nothing.
            before: before.unwrap_or(true),
            of_thread: PhantomData,
        }
    }

    /// Whether it is so here: asked by runtimes, when a task is spawned.
    #[must_use]
    pub fn is_left() -> bool {
        LEFT.try_with(Cell::get).unwrap_or(true)
    }
}

impl Drop for SpanLeft {
    fn drop(&mut self) {
        let _ending = LEFT.try_with(|left| left.set(self.before));
    }
}

impl fmt::Debug for SpanLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpanLeft")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_nests_and_ends() {
        assert!(!SpanLeft::is_left());
        let outer = SpanLeft::enter();
        drop(SpanLeft::enter());
        assert!(SpanLeft::is_left());
        drop(outer);
        assert!(!SpanLeft::is_left());
    }
}
