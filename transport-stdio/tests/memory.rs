//! What messages that nobody reads take.

use std::time::Instant;

use outboard_transport_stdio::wire::frame::{Body, Frame, OpenHead};
use outboard_transport_stdio::wire::{MESSAGE_COST, Mux, MuxConfig, Settings, Taken};

/// An allocator that counts.
mod counting {
    #![allow(unsafe_code, reason = "the trait of allocators is unsafe")]

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counting;

    static IN_USE: AtomicUsize = AtomicUsize::new(0);
    static PEAK: AtomicUsize = AtomicUsize::new(0);

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

    pub(super) fn in_use() -> usize {
        IN_USE.load(Ordering::SeqCst)
    }

    /// Starts anew, and gives the most bytes in use at once since it was started last.
    pub(super) fn peak() -> usize {
        PEAK.swap(in_use(), Ordering::SeqCst)
    }
}

fn bytes(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

/// The one test of this file, as it counts everything that the program allocates.
#[test]
fn messages_that_nobody_reads_take_at_most_twice_their_window() {
    for size in [0, 1, 5, 16, 30, 31, 64, 200, 1_000, 5_000, 16_000] {
        // One stream, and as many as the connection has credit for.
        for streams in [1, 32] {
            let mut mux = Mux::new(MuxConfig::default(), Instant::now());
            let settings = MuxConfig::default().settings;
            let mut preface = Vec::new();
            Settings::LEAST.encode(&mut preface);
            mux.receive(&preface).expect("valid");
            let message = vec![7; size];
            let cost = size + MESSAGE_COST as usize;
            let each = settings.stream_window as usize / cost;
            let body = Body::Inline(&message);
            counting::peak();
            let before = counting::in_use();
            let mut calls = Vec::new();
            for stream in 0..streams {
                let open = bytes(&Frame::Open {
                    stream,
                    end: false,
                    head: OpenHead {
                        path: "/a/B",
                        ..OpenHead::default()
                    },
                    body,
                });
                mux.receive(&open).expect("there is credit");
                while let Some(event) = mux.poll_event() {
                    if let outboard_transport_stdio::wire::Event::Opened(key, _) = event {
                        calls.push(key);
                    }
                }
                let more = bytes(&Frame::Message {
                    stream,
                    opener: true,
                    end: false,
                    body,
                });
                for _ in 1..each {
                    mux.receive(&more).expect("there is credit");
                    while mux.poll_event().is_some() {}
                }
            }
            let window = settings.stream_window as usize * streams as usize;
            // The rest is the table of streams, and what is read ahead.
            let most = 2 * window + 150_000;
            let peak = counting::peak() - before;
            assert!(
                peak <= most,
                "{size} bytes, {streams} streams: {peak} of {window}"
            );
            assert!(mux.buffered() as usize > window - 2 * cost * streams as usize);
            // Once they are taken, the memory is free, though the streams live on.
            for key in calls {
                while let Taken::Message(_) = mux.take_message(key) {}
            }
            let left = counting::in_use() - before;
            assert!(
                left < 150_000,
                "{size} bytes, {streams} streams: {left} left"
            );
        }
    }
}
