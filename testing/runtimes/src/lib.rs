//! What every runtime adapter of outboard must do, as tests.
//!
//! An adapter's test file says how to run a case on its runtime and instantiates the suite once
//! for each way of running it:
//!
//! ```ignore
//! fn run(case: outboard_runtimes::Case) {
//!     let runtime = /* a fresh runtime */;
//!     runtime.block_on(case(runtime.adapter()));
//!     // The runtime shuts down here.
//! }
//! outboard_runtimes::conformance!(run);
//! ```
//!
//! The cases of [`alone`] look at the whole process, so they have a test binary to themselves:
//! [`conformance_alone!`].
#![cfg(unix)]

pub mod alone;
pub mod net;
pub mod pipes;
pub mod process;
pub mod tasks;
pub mod timers;
pub mod watch;

mod support;

pub use support::{Case, Run};

/// One `#[test]` per case. Takes the name of a `fn(Case)` in scope.
#[macro_export]
macro_rules! conformance {
    ($run:ident) => {
        $crate::__cases! { $run,
            timers {
                fires_not_before_its_deadline,
                past_deadline_fires_at_once,
                reset_to_later,
                reset_to_earlier,
                reset_to_the_past,
                stays_ready_until_reset,
                drop_disarms,
                works_from_any_thread,
            }
            tasks {
                spawned_task_runs,
                spawns_from_any_thread,
                task_is_dropped_at_shutdown,
                span_is_carried_into_the_task,
                a_span_that_is_left_is_not_carried,
                looking_again_lets_events_through,
                a_busy_task_lets_timers_and_events_through,
                waking_after_io_from_any_thread,
            }
            process {
                arguments_arrive_as_given,
                environment_is_exactly_the_given_one,
                directory_is_the_given_one,
                null_stdin_is_empty,
                piped_stdin_arrives_and_ends,
                stdout_and_stderr_are_apart,
                failures_to_start_are_the_systems,
                exit_status,
                exit_signal,
                kill_ends_it,
                kill_twice_and_after_the_exit,
                waiting_reaps,
                exit_is_noticed_while_a_grandchild_holds_the_pipes,
                abandoned_wait_loses_nothing,
                drop_kills_and_reaps,
                drop_reaps_what_has_ended,
                drop_after_shutdown_reaps,
                many_children_at_once,
                launches_from_any_thread,
                kill_takes_descendants_along,
                drop_takes_descendants_along,
                kill_spares_descendants_if_asked_to,
                outlives_the_thread_that_launched_it,
            }
            pipes {
                a_mebibyte_through_a_child_and_back,
                full_pipe_pushes_back,
                partial_reads,
                close_ends_the_stream,
                drop_ends_the_stream,
                write_without_reader_fails,
                abandoned_read_loses_nothing,
                vectored_writes_are_one_call,
            }
            net {
                unix_echo,
                tcp_echo,
                who_connects_is_told,
                tcp_by_name_and_without_host,
                abstract_echo,
                errors_are_the_systems,
                accept_survives_a_connection_that_closes_at_once,
                abandoned_connect,
                abandoned_accept_loses_nothing,
                abandoned_read_loses_nothing,
                close_is_a_half_close,
                both_sides_write_a_mebibyte,
                room_is_noticed_every_time,
                vectored_writes_are_one_call,
                listener_keeps_its_address_and_file,
                connects_from_any_thread,
            }
            watch {
                readable,
                end_of_a_child,
                writing_end_whose_reader_closes,
                flags_stay,
                files_cannot_be_watched,
            }
        }
    };
}

/// The cases of [`alone`], as one `#[test]` that must be the only one of its binary.
#[macro_export]
macro_rules! conformance_alone {
    ($($run:path),+) => {
        #[test]
        fn alone() {
            $($crate::alone::all($crate::Run::new($run));)+
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    ($run:ident, $($module:ident { $($case:ident,)+ })+) => {
        $(mod $module {
            $(#[test]
            fn $case() {
                $crate::$module::$case($crate::Run::new(super::$run));
            })+
        })+
    };
}
