//! An allocator that counts.
#![allow(unsafe_code, reason = "the trait of allocators is unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// What an allocation takes: the usual allocators round up and keep a word of their own.
fn real(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = real(layout);
        let in_use = IN_USE.fetch_add(size, Ordering::SeqCst) + size;
        PEAK.fetch_max(in_use, Ordering::SeqCst);
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: as the caller has promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(real(layout), Ordering::SeqCst);
        // SAFETY: as the caller has promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `run` gives, the most bytes that were in use at once for it, and how often it allocated.
pub(crate) fn counted<T>(run: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = IN_USE.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    let calls = CALLS.load(Ordering::SeqCst);
    let value = run();
    let peak = PEAK.load(Ordering::SeqCst) - before;
    (value, peak, CALLS.load(Ordering::SeqCst) - calls)
}
