//! The behaviour of every transport, written once and run over every kind of stream.
//!
//! A case is an async function that takes a [`Bench`](outboard_transports::Bench). Cases are listed
//! once: in [`cases`], or where not every stream is of use in [`wide`], [`counted`], [`long`] or
//! [`ordered`]. What they run on is listed once, at the end of this file. A further transport is a value of `Wire` in `outboard_transports` and a line here.
#![allow(
    unreachable_pub,
    reason = "a test program has no outside, and the modules no need for two kinds of visibility"
)]

mod calls;
mod closing;
mod ends;
mod foreign;
mod keepalive;
mod limits;
mod loss;
mod pressure;
mod requests;
mod support;
mod tasks;
mod wakes;

/// Makes a module of tests of a module of cases.
macro_rules! group {
    ($module:ident: $($case:ident),* $(,)?) => {
        mod $module {
            $(#[test]
            fn $case() {
                outboard_transports::run(super::ON, crate::$module::$case);
            })*
        }
    };
}

/// The cases for every stream.
macro_rules! cases {
    () => {
        group!(calls:
            unary,
            answers_of_a_stream_come_in_order,
            a_stream_without_messages_ends_well,
            client_streaming,
            bidirectional_in_lock_step,
            a_hundred_calls_at_once,
            a_thousand_calls_at_once,
            long_messages_at_once,
            sixteen_mebibytes_go_both_ways_beside_small_calls,
            messages_of_all_sizes_are_flushed,
            metadata_travels_both_ways,
            headers_come_before_the_first_message,
            errors_keep_text_details_and_metadata,
            unknown_methods_and_services_are_told_apart,
            calls_of_one_request_message_fail_with_any_other_number,
            the_size_limit_holds_in_all_four_places,
            messages_over_the_limit_of_either_side_fail_their_call_only,
            a_panic_fails_its_call_only,
            a_panic_leaves_an_error_record,
        );
        group!(limits:
            metadata_of_many_sizes_goes_both_ways,
            metadata_over_the_limit_fails_its_call_alone,
            trailers_over_the_limit_fail_their_call_alone,
            a_status_arrives_whole,
            a_call_that_is_given_up_while_its_head_is_sent_leaves_nothing,
        );
        group!(pressure:
            a_paused_reader_of_small_messages_keeps_its_connection,
            both_sides_write_more_than_everything_holds,
        );
        group!(requests:
            a_failure_ends_the_call_with_it,
            a_panic_fails_the_call_and_is_named,
            a_panic_when_they_are_dropped_takes_nothing_along,
            dropping_a_call_drops_them,
            an_early_answer_stops_them_without_an_error,
            a_call_that_ends_while_they_are_asked_for_lets_go_of_them,
        );
        group!(ends:
            a_unary_deadline_ends_both_sides,
            a_streaming_deadline_ends_both_sides,
            the_earlier_limit_counts,
            a_limit_that_is_over_sends_nothing,
            dropping_a_call_drops_its_handler,
            a_handler_that_reads_hears_that_its_caller_is_gone,
            a_burst_of_cancellations_leaves_the_connection_alone,
            a_call_of_a_peer_that_never_answers_ends_in_time,
        );
        group!(foreign:
            a_status_may_own_a_client_of_its_connection,
            who_is_told_of_the_end_may_ask_for_it_while_it_is_woken,
            a_handler_that_panics_when_it_is_dropped_takes_nothing_along,
        );
        group!(tasks:
            a_call_whose_requests_are_sent_no_more_says_so,
            a_runtime_that_is_shut_down_is_named,
            a_handler_that_is_dropped_answers_with_an_error,
        );
        group!(closing:
            a_draining_client_finishes_its_calls,
            a_drain_finishes_calls_that_have_yet_to_be_sent,
            a_drained_connection_ends_well_though_its_stream_cannot_be_closed,
            a_draining_server_finishes_its_calls,
            an_idle_server_drains_at_once,
            a_server_that_nobody_has_called_drains_at_once,
            abort_fails_everything_with_its_status,
            an_aborted_server_drops_its_handlers,
            dropping_the_last_handle_closes,
            calls_of_a_channel_hold_its_connection_until_they_end,
            a_drained_connection_is_retiring,
        );
        group!(loss:
            a_torn_stream_fails_the_calls_and_drops_the_handlers,
            the_lost_hook_explains_once,
            a_lost_hook_that_panics_has_nothing_to_say,
            a_call_that_is_cut_off_during_a_drain_is_told_why,
            an_abort_does_not_wait_for_the_lost_hook,
            calls_that_begin_while_the_loss_is_explained_are_told_too,
            a_lost_connection_says_so_before_anybody_knows_why,
            what_arrived_before_the_loss_is_delivered,
        );
        group!(keepalive:
            a_silent_peer_is_found_out_by_both_sides_with_keepalive,
            a_peer_that_has_never_said_anything_is_found_out_too,
            without_keepalive_nobody_is_asked,
            a_peer_that_answers_pings_may_take_its_time,
        );
    };
}

/// Those for streams that take every write whole and let megabytes through in a moment.
macro_rules! wide {
    () => {
        group!(pressure:
            a_slow_reader_holds_up_its_sender_and_nobody_else,
            paused_readers_do_not_stall_a_sibling,
        );
    };
}

/// Those that count writes: on such a stream, with both sides on one thread.
macro_rules! counted {
    () => {
        group!(pressure:
            a_lone_call_is_one_write_each_way,
            what_is_ready_together_leaves_together,
        );
    };
}

/// Those that take seconds, and in which the stream makes no difference.
macro_rules! long {
    () => {
        group!(limits:
            metadata_up_to_the_limit_goes_both_ways,
            a_status_up_to_the_limits_arrives_whole,
            a_longer_text_is_cut_and_says_so,
        );
    };
}

/// Those that have to know when all tasks have done what they can: on one thread with the case.
macro_rules! ordered {
    () => {
        group!(loss:
            answers_are_read_also_after_a_write_has_failed,
        );
    };
}

macro_rules! on {
    ($($wire:ident $of_wire:ident: $($stream:ident $of_stream:ident [$($more:ident)*]),*;)*) => {
        $(mod $wire {
            $(mod $stream {
                use outboard_transports::{On, Stream, Wire};

                const ON: On = On {
                    wire: Wire::$of_wire,
                    stream: Stream::$of_stream,
                };

                cases!();

                $(mod $more {
                    use super::ON;

                    $more!();
                })*
            })*
        })*
    };
}

on! {
    h2 H2:
        whole Whole [wide counted long ordered],
        cut Cut [ordered],
        slow Slow [ordered],
        buffering Buffering [wide counted ordered],
        memory Memory [wide counted ordered];
    stdio Stdio:
        whole Whole [wide counted long ordered],
        cut Cut [ordered],
        slow Slow [ordered],
        buffering Buffering [wide counted ordered],
        memory Memory [wide counted ordered];
}

#[cfg(unix)]
mod sockets {
    on! {
        h2 H2: sockets Sockets [wide];
        stdio Stdio: sockets Sockets [wide];
    }
}
