//! An allocator that counts. Not among the modules of `support`, since whoever has it is counted.
#![allow(dead_code, reason = "not every test uses all of it")]
#![allow(unsafe_code, reason = "the trait of allocators is unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let in_use = IN_USE.fetch_add(layout.size(), Ordering::SeqCst) + layout.size();
        PEAK.fetch_max(in_use, Ordering::SeqCst);
        // SAFETY: as the caller has promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: as the caller has promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Starts counting, and gives what it is to be counted from.
pub(crate) fn start() -> usize {
    let in_use = IN_USE.load(Ordering::SeqCst);
    PEAK.store(in_use, Ordering::SeqCst);
    in_use
}

/// How many more bytes are in use than then.
pub(crate) fn held(start: usize) -> usize {
    IN_USE.load(Ordering::SeqCst).saturating_sub(start)
}

/// The most bytes in use at once since then.
pub(crate) fn peak(start: usize) -> usize {
    PEAK.load(Ordering::SeqCst).saturating_sub(start)
}
