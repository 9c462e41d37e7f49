//! The behaviour of outboard, written once and run for every combination of host runtime, plugin
//! runtime and transport.
//!
//! A case is an async function that takes a [`Harness`](harness::Harness). Cases are listed once,
//! in [`pairs`], [`layered`], [`within`], [`threads`], [`hosts`] and
//! [`plugins`]; what they run on is listed once, at
//! the end of this file. A further runtime or transport is a value of its enum in
//! `outboard_conformance::axes` and a line here.
//!
//! Linux only, since what a case has left behind is looked up in /proc and waited for by pidfd.
#![cfg(target_os = "linux")]
// A test program has no outside, and the modules no need for two kinds of visibility.
#![allow(unreachable_pub)]

mod again;
mod attached;
mod broker;
mod calls;
mod checksums;
mod contained;
mod crash;
mod deadlines;
mod detached;
mod diagnosed;
mod ends;
mod events;
mod faults;
mod figures;
mod floods;
mod given;
mod harness;
mod hostile;
mod in_a_test;
mod in_memory;
mod inherited;
mod last_words;
mod leftovers;
mod levels;
mod logs;
mod managed;
mod output;
mod raw;
mod reconnect;
mod redial;
mod runners;
mod sandboxed;
mod sealed;
mod shutdown;
mod starts;
mod strangers;
mod streams;
mod supervised;
mod swapped;
mod swept;
mod traces;
mod unread;
mod wrapped;

/// Makes a module of tests of a module of cases. After a semicolon stand the transport in use and,
/// in brackets, the cases that make sense on one transport alone.
macro_rules! group {
    ($module:ident: $($case:ident),* $(,)?) => {
        mod $module {
            $(case!($module $case);)*
        }
    };
    (
        $module:ident: $($case:ident),*;
        $on:ident: $([$only:ident: $($special:ident),* $(,)?])*
    ) => {
        mod $module {
            $(case!($module $case);)*
            $($(only!($only $on $module $special);)*)*
        }
    };
}

/// Makes a test of a case.
macro_rules! case {
    ($module:ident $case:ident) => {
        #[test]
        fn $case() {
            crate::harness::run(super::ON, crate::$module::$case);
        }
    };
}

/// Makes a test of a case if its transport is the one in use. `Socket` stands for gRPC with and without
/// TLS, for cases that look at no byte of it.
macro_rules! only {
    (H2 H2 $module:ident $case:ident) => {
        case!($module $case);
    };
    (Stdio Stdio $module:ident $case:ident) => {
        case!($module $case);
    };
    (H2 H2Spin $module:ident $case:ident) => {
        case!($module $case);
    };
    (Stdio StdioSpin $module:ident $case:ident) => {
        case!($module $case);
    };
    (Socket H2 $module:ident $case:ident) => {
        case!($module $case);
    };
    (Socket H2Spin $module:ident $case:ident) => {
        case!($module $case);
    };
    (Socket H2Tls $module:ident $case:ident) => {
        case!($module $case);
    };
    ($only:ident $on:ident $module:ident $case:ident) => {};
}

/// Deadlines and cancelling.
macro_rules! deadlines {
    () => {
        group!(deadlines:
            the_plugin_sees_the_deadline,
            a_call_ends_at_its_deadline_on_both_sides,
            deadlines_cascade_into_brokered_calls,
            dropping_a_call_cancels_its_handler,
            dropping_many_calls_leaves_the_connection_usable,
            cancelling_reaches_through_a_brokered_call,
        );
    };
}

/// What plugins print. A plugin that has no pipes of its host's for that sends it over the connection.
macro_rules! outputs {
    ($on:ident) => {
        group!(output:
            both_channels_arrive_byte_for_byte,
            prints_from_threads_and_children_arrive,
            programs_that_the_plugin_starts_know_nothing_of_its_host,
            the_plugins_stdin_is_at_its_end,
            what_is_printed_before_serving_arrives,
            a_mebibyte_printed_in_a_handler_does_not_deadlock,
            the_last_output_arrives_before_shutdown_returns,
            a_mebibyte_printed_by_the_last_call_has_been_written,
            what_a_plugin_printed_before_a_crash_has_been_written,
            what_a_plugin_printed_before_it_was_killed_has_been_written,
            a_writer_that_takes_too_long_costs_its_limit_and_no_more,
            a_thread_that_prints_to_the_very_end_harms_nothing,
            output_without_a_sink_is_no_burden,
            a_broken_sink_harms_nothing,
            a_sink_that_panics_is_dropped,
        );
    };
}

/// Live interfaces.
macro_rules! brokers {
    ($on:ident) => {
        group!(broker:
            the_plugin_calls_what_the_host_serves,
            the_host_calls_what_the_plugin_serves,
            calls_outlive_the_client_they_were_made_with,
            several_at_once_in_both_directions,
            several_services_share_an_id,
            calls_nest_through_the_broker,
            streams_run_through_the_broker,
            a_hundred_one_after_another,
            a_hundred_dials_at_once_on_both_sides,
            dials_race_with_servers_that_are_dropped,
            dials_that_the_end_cuts_off_are_told_how_it_came,
            what_is_no_longer_served_cannot_be_used,
            an_id_that_nobody_serves_times_out_and_harms_nothing,
            a_dial_can_be_given_up,
            brokered_calls_fail_when_the_plugin_dies,
            an_id_can_be_dialled_once_where_go_plugin_says_so,
        );
    };
}

/// The cases that depend on what is around each stream and on who ends what first, for a combination whose
/// parts, its runtimes and the layers of its transport, have all the cases in others.
macro_rules! layered {
    ($on:ident) => {
        group!(calls:
            every_kind_of_call,
            sixteen_mebibytes_go_both_ways,
            sixty_four_calls_at_once,
        );
        brokers!($on);
        group!(crash:
            a_kill_is_told_with_the_signal,
            everything_pending_fails_at_once,
        );
        group!(shutdown:
            the_plugin_ends_by_itself_and_cleans_up,
            calls_in_flight_are_finished,
            brokered_calls_in_flight_are_finished,
            brokered_calls_in_flight_are_dropped_in_the_end,
            kill_ends_it_at_once,
            dropping_the_handle_kills_and_reaps,
            twenty_times_leave_no_descriptor,
            a_killed_host_takes_its_plugin_along,
        );
    };
}

/// The cases that depend on both sides.
macro_rules! pairs {
    ($on:ident) => {
        group!(calls:
            every_kind_of_call,
            sixteen_mebibytes_go_both_ways,
            ten_thousand_small_calls,
            sixty_four_calls_at_once,
            a_call_that_nobody_polls_holds_up_no_other,
            unknown_services_and_methods_are_unimplemented,
            metadata_and_trailers_go_both_ways,
            statuses_keep_code_text_and_details,
            a_panic_fails_its_call_only,
            too_large_a_message_fails_its_call_only,
            pings_and_facts,
            a_name_that_is_not_provided_is_refused_where_names_travel,
            reflection_tells_what_is_served,
        );
        group!(streams:
            a_thousand_messages_each_way_in_lock_step,
            any_number_of_requests_but_one_fails_a_call_that_takes_one,
            a_panic_in_the_requests_ends_their_call_only,
            sixty_four_mebibytes_each_way,
            a_reader_that_stops_holds_up_its_stream_only,
            a_handler_that_does_not_read_holds_up_its_stream_only,
            dropping_a_stream_ends_it_on_the_other_side,
            a_failing_request_stream_ends_the_call,
        );
        deadlines!();
        brokers!($on);
        outputs!($on);
        group!(logs:
            a_program_that_has_logging_of_its_own_is_left_alone,
            records_keep_level_message_and_fields,
            a_panic_is_an_error_record,
            the_raw_sink_gets_every_byte,
            without_parsing_the_raw_sink_still_works,
            a_hook_that_panics_gets_nothing_more,
            a_sink_of_the_log_that_panics_is_told_of_and_dropped,
        );
        group!(levels:
            a_level_is_told_at_the_launch_and_changed_while_it_runs,
            directives_open_other_crates_and_not_beyond_the_level,
            a_program_that_logs_otherwise_is_told_or_says_so,
            variables_of_other_loggers_are_set_where_a_level_is,
            later_processes_have_the_present_level;
            $on:
            [H2: of_several_hosts_the_last_is_heeded]
        );
        group!(traces:
            a_trace_goes_on_through_handlers_and_the_broker,
            a_call_of_no_trace_says_nothing_of_one,
            what_a_handler_says_of_its_calls_itself_wins,
            a_plugin_with_spans_puts_its_own_between,
        );
        group!(crash:
            calls_say_that_the_runtime_is_gone,
            an_exit_in_mid_call_is_told_with_code_and_last_words,
            a_kill_is_told_with_the_signal,
            an_abort_is_told_with_the_signal,
            what_is_written_on_stderr_right_before_the_exit_is_evidence,
            what_ends_a_plugin_before_it_serves_is_told,
            everything_pending_fails_at_once,
            calls_fail_within_milliseconds,
            a_host_with_sigpipe_at_its_default_survives_its_plugins,
            a_crashed_plugin_can_be_shut_down,
            it_can_be_ended_from_several_sides_at_once,
            a_kill_from_outside_is_noticed_without_a_call;
            $on:
            [H2: a_plugin_that_cannot_serve_says_why]
        );
        group!(last_words:
            whatever_ends_a_plugin_what_it_has_written_arrives,
            whatever_ends_it_before_it_serves_what_it_has_written_arrives,
            text_before_serving_is_in_the_log_too,
            events_before_serving_are_logged,
            a_child_that_holds_the_streams_is_not_waited_for,
            a_slow_writer_gets_all_of_a_crash,
            without_pipes_of_its_own_a_plugin_is_heard_all_the_same,
        );
        group!(shutdown:
            the_plugin_ends_by_itself_and_cleans_up,
            calls_in_flight_are_finished,
            brokered_calls_in_flight_are_finished,
            calls_in_flight_are_dropped_in_the_end,
            brokered_calls_in_flight_are_dropped_in_the_end,
            a_stubborn_plugin_is_killed_after_the_grace,
            kill_ends_it_at_once,
            dropping_the_handle_kills_and_reaps,
            dropping_the_start_kills_what_was_launched,
            a_grandchild_with_the_streams_holds_nothing_up,
            a_child_with_the_captured_streams_holds_nothing_up,
            the_health_that_the_plugin_reports,
            twenty_times_leave_no_descriptor,
            a_killed_host_takes_its_plugin_along,
            a_terminated_process_group_leaves_no_files,
            a_host_that_has_forked_takes_its_plugin_along,
            a_handler_that_blocks_does_not_keep_an_orphan,
            a_plugin_may_outlive_its_host,
            many_plugins_at_once,
            the_defaults_of_directory_and_environment;
            $on:
            [H2: one_that_outlives_its_host_ends_when_nobody_comes]
        );
        group!(ends:
            each_stage_of_the_end_is_told,
            handlers_are_told_of_the_end_and_finish,
            a_termination_ends_it_in_good_order,
            a_second_termination_ends_it_at_once,
            a_process_group_ends_with_its_plugin,
            what_a_plugin_that_is_asked_to_end_has_started_goes_along,
            what_a_plugin_that_is_told_to_end_has_started_goes_along,
            a_guard_ends_what_its_plugin_has_started,
            a_killed_host_takes_all_of_a_guarded_plugin_along;
            $on:
            [H2: a_guarded_plugin_that_is_let_go_of_lives_on]
        );
        group!(again:
            a_host_is_started_again_and_again,
            plugins_of_one_host_print_and_log_at_once,
            what_panics_is_gone_for_its_plugin_alone,
        );
        group!(wrapped:
            a_failed_start_takes_what_is_behind_a_wrapper_along,
            a_kill_takes_what_is_behind_a_wrapper_along,
            a_kill_spares_what_it_is_told_to_spare,
        );
        group!(runners:
            a_plugin_elsewhere_has_its_own_names_for_everything,
            a_plugin_without_a_stderr_has_no_log_and_works,
            commands_in_front_of_a_plugin_are_run_first,
            a_command_in_front_that_stays_ends_with_its_plugin,
            a_command_in_front_that_is_missing_is_told,
            what_a_runner_finds_out_is_told,
            a_launch_that_takes_too_long_is_given_up;
            $on:
            [H2:
                an_address_that_cannot_be_translated_is_told,
                what_is_elsewhere_is_attached_to_by_its_runner,
                a_runner_is_told_of_the_directory_for_sockets,
                a_directory_with_too_long_a_path_is_no_obstacle,
            ]
        );
        group!(sandboxed: a_plugin_works_in_a_sandbox,);
        group!(figures:
            calls_are_counted_by_method_if_that_is_wanted,
            the_start_and_the_process_are_told,
            those_of_a_supervised_plugin_are_of_all_its_processes,
        );
        group!(managed:
            one_call_ends_all_in_parallel,
            a_guard_kills_all_when_it_is_dropped,
            a_plugin_of_a_group_ends_with_its_handle,
            candidates_are_tried_side_by_side;
            $on:
            [H2: a_plugin_gets_the_bytes_for_its_stdin]
            [Stdio: bytes_and_calls_do_not_share_a_stdin]
        );
        group!(faults: every_call_is_accounted_for_whatever_happens,);
        group!(supervised:
            a_crash_is_followed_by_another_process_and_clients_stay,
            only_calls_that_are_marked_are_made_again,
            a_lazy_plugin_is_there_while_it_is_needed,
            one_that_crashes_too_often_is_left_alone_until_it_is_told_to_start,
            one_that_says_that_it_takes_no_calls_is_replaced,
            one_that_hangs_is_killed_and_replaced,
            it_ends_with_its_last_clone_or_its_group,
            so_many_start_at_once_and_no_more,
            a_call_waits_no_longer_than_it_may,
            one_whose_broker_is_used_is_not_stopped_for_want_of_calls;
            $on:
            [H2: a_host_that_attaches_is_not_kept_up]
        );
        group!(swapped:
            callers_notice_nothing,
            calls_in_flight_finish_where_they_began,
            an_old_one_that_does_not_finish_is_ended,
            a_program_that_does_not_fit_leaves_the_old_one_serving,
            one_that_owns_something_is_stopped_first,
            what_is_not_up_is_replaced_too,
            an_old_one_that_crashes_meanwhile_is_started_again,
            a_swap_ends_with_its_plugin,
        );
        group!(attached:
            what_has_ended_has_no_record;
            $on:
            [H2:
                what_was_launched_is_used_by_a_second_host_too,
                what_was_attached_to_is_ended_in_good_order,
                what_was_attached_to_is_killed,
                an_end_that_was_not_asked_for_is_noticed,
            ]
            [Stdio: a_plugin_on_its_own_pipes_has_no_record]
        );
        group!(detached: ;
            $on:
            [H2:
                the_next_host_gets_what_nobody_took,
                the_next_host_is_told_what_is_missing,
                what_is_said_while_a_host_has_attached_comes_at_once,
            ]
        );
        group!(in_a_test: ;
            $on:
            [H2:
                hosts_attach_to_what_a_test_serves,
                it_ends_with_its_test,
                what_cannot_be_served_in_a_test_is_told,
                one_that_is_started_by_hand_waits_for_hosts,
            ]
        );
        group!(contained:
            a_contained_plugin_has_paths_and_a_user_of_its_own,
            a_group_lets_host_and_container_use_their_sockets,
            a_container_ends_with_its_plugin,
            a_tool_that_fails_is_told_with_what_was_run;
            $on:
            [H2: a_contained_plugin_on_tcp_is_told_what_to_do]
        );
        group!(hostile:
            a_log_that_is_no_log_harms_nothing,
            a_stopped_plugin_holds_up_no_call_past_its_deadline,
            a_stopped_plugin_holds_no_call_for_ever_where_that_is_asked_for;
            $on:
            [H2:
                strangers_at_the_socket_harm_nothing,
                a_second_host_may_come_beside_the_first,
                who_cannot_be_accepted_for_want_of_descriptors_is_told,
                junk_on_the_real_stdout_is_drained,
            ]
        );
        group!(strangers: ;
            $on:
            [H2:
                strangers_at_the_sockets_are_turned_away,
                who_is_allowed_may_connect,
            ]
        );
        group!(given: ;
            $on:
            [H2:
                a_listener_of_the_programs_own_is_served,
                a_listener_on_all_addresses_is_reached_on_this_machines,
                a_socket_that_it_was_started_with_is_served,
                a_listener_that_does_not_do_is_told,
            ]
            [Stdio: a_listener_that_nothing_speaks_over_is_told]
        );
        group!(swept:
            what_killed_hosts_have_left_goes_with_the_next_launch,
            what_is_alive_is_not_swept;
            $on:
            [H2:
                a_plugin_that_outlives_its_host_keeps_its_directory,
                sockets_without_a_directory_are_swept,
            ]
        );
        group!(reconnect: ;
            $on:
            [Socket:
                a_lost_connection_comes_back,
                what_the_host_serves_outlives_a_lost_connection,
                calls_wait_for_the_connection_within_their_limits,
                a_plugin_that_cannot_be_reached_again_is_reported,
                a_plugin_that_cannot_be_reached_again_is_killed_if_the_host_says_so,
                a_socket_file_that_is_gone_is_told_as_that,
            ]
        );
        group!(redial: ;
            $on:
            [Socket:
                a_brokered_connection_comes_back,
                a_brokered_socket_that_is_gone_is_told_as_that,
            ]
        );
        group!(floods:
            a_plugin_that_floods_its_connection_delays_nobody,
            a_plugin_that_floods_its_log_delays_nobody,
            a_plugin_that_floods_its_output_delays_nobody;
            $on:
            [H2:
                strangers_that_flood_the_sockets_delay_nobody,
            ]
        );
    };
}

/// The cases of a plugin in memory: all that need no process.
macro_rules! within {
    ($on:ident) => {
        group!(calls:
            every_kind_of_call,
            sixty_four_calls_at_once,
            a_call_that_nobody_polls_holds_up_no_other,
            unknown_services_and_methods_are_unimplemented,
            metadata_and_trailers_go_both_ways,
            statuses_keep_code_text_and_details,
            a_panic_fails_its_call_only,
            a_name_that_is_not_provided_is_refused_where_names_travel,
            reflection_tells_what_is_served,
        );
        group!(streams:
            a_thousand_messages_each_way_in_lock_step,
            a_panic_in_the_requests_ends_their_call_only,
            a_reader_that_stops_holds_up_its_stream_only,
            a_handler_that_does_not_read_holds_up_its_stream_only,
            dropping_a_stream_ends_it_on_the_other_side,
            a_failing_request_stream_ends_the_call,
        );
        deadlines!();
        group!(broker:
            the_plugin_calls_what_the_host_serves,
            the_host_calls_what_the_plugin_serves,
            calls_outlive_the_client_they_were_made_with,
            several_at_once_in_both_directions,
            calls_nest_through_the_broker,
            streams_run_through_the_broker,
            a_hundred_one_after_another,
            a_hundred_dials_at_once_on_both_sides,
            what_is_no_longer_served_cannot_be_used,
            a_dial_can_be_given_up,
            an_id_can_be_dialled_once_where_go_plugin_says_so,
        );
        group!(traces:
            a_trace_goes_on_through_handlers_and_the_broker,
            a_call_of_no_trace_says_nothing_of_one,
            what_a_handler_says_of_its_calls_itself_wins,
        );
        group!(shutdown:
            calls_in_flight_are_finished,
            brokered_calls_in_flight_are_finished,
            the_health_that_the_plugin_reports,
        );
        group!(in_memory:
            it_is_a_plugin_like_any_other,
            the_version_is_agreed_on,
            a_kill_ends_what_runs_in_it,
            it_ends_with_its_handle,
            letting_go_of_it_ends_it,
            what_does_not_start_is_told,
            a_start_that_is_given_up_leaves_nothing,
        );
    };
}

/// The cases of a plugin whose runtime has several threads.
macro_rules! threads {
    ($on:ident) => {
        group!(calls: a_handler_that_computes_holds_up_nobody);
    };
}

/// The cases in which no plugin of outboard takes part.
macro_rules! hosts {
    ($on:ident) => {
        group!(starts:
            lines_that_are_no_handshake,
            lines_with_a_field_that_does_not_do,
            a_silent_exit_is_told_with_status_and_stderr,
            closing_stdout_is_no_handshake,
            programs_that_cannot_be_launched,
            the_first_line_says_what_happened,
            a_refused_cookie_is_told,
            a_panic_at_the_start_is_told_by_its_message,
            a_line_that_never_comes_times_out_by_name,
            an_endless_line_is_cut_short,
            hosts_that_are_set_up_wrongly_launch_nothing;
            $on:
            [H2:
                lines_of_all_lengths_are_accepted,
                addresses_where_nobody_is,
                a_connection_that_is_never_taken_times_out_by_name,
                a_socket_that_nobody_was_told_of_goes_with_its_plugin,
            ]
        );
        group!(diagnosed:
            each_kind_of_file_is_told_by_its_own_cause,
            who_may_not_execute_or_search_is_told_by_mode_and_owner,
            a_file_system_without_execution_is_told,
            a_library_or_loader_that_is_missing_is_told,
            a_command_that_env_does_not_find_is_told,
            what_comes_in_place_of_a_handshake_is_told,
            the_end_of_a_program_is_told_by_its_own_cause;
            $on:
            [H2: what_a_plugin_needs_is_told]
        );
        group!(checksums:
            the_right_checksum_lets_a_plugin_start,
            what_does_not_fit_launches_nothing,
            what_cannot_be_hashed_launches_nothing,
            a_list_tells_which_programs_may_run,
            a_file_that_may_not_be_executed_is_told_as_ever;
            $on:
            [H2:
                a_swap_between_hash_and_launch_never_wins,
                without_the_means_the_path_is_executed,
            ]
        );
        group!(logs: what_is_dropped_of_a_log_reaches_the_sink_and_the_evidence,);
        group!(supervised:
            what_never_starts_is_told_and_what_is_set_up_wrongly_at_once,
            who_waits_for_a_start_that_fails_is_told,
        );
        group!(sandboxed:
            files_outside_of_the_rules_cannot_be_used,
            limits_bite,
            processor_time_runs_out,
            tasks_of_the_user_are_limited,
            no_privileges_are_gained,
            no_network_is_to_be_had,
            what_the_kernel_lacks_is_an_error_or_told,
            a_sandbox_that_cannot_be_made_launches_nothing,
            a_command_in_front_is_restricted_with_its_plugin,
            what_was_checked_is_what_runs_in_a_sandbox,
        );
        group!(hostile:
            a_plugin_that_speaks_nonsense_fails_calls_only;
            $on:
            [Stdio: a_plugin_that_breaks_the_protocol_is_told_which_rule]
        );
    };
}

/// The cases in which no host of outboard takes part.
macro_rules! plugins {
    ($on:ident) => {
        group!(raw:
            without_its_cookie_it_explains_itself,
            without_a_cookie_of_its_own_it_blames_its_author,
            a_name_that_is_given_twice_is_refused,
            the_highest_common_version_is_chosen_or_else_the_lowest,
            interrupts_are_ignored_and_termination_is_not,
            a_host_that_does_not_listen_is_no_signal,
            a_hang_up_of_the_terminal_leaves_no_socket,
            nothing_precedes_the_line_and_nothing_follows_it;
            $on:
            [H2:
                the_line_has_six_fields_unless_the_plugin_multiplexes,
                an_interrupt_ends_a_plugin_that_nobody_holds,
                the_socket_is_where_and_whose_it_should_be,
                a_given_sockets_file_is_its_givers,
                what_it_cannot_do_ends_it_with_a_reason,
                tcp_ports_are_of_the_range,
            ]
            [Stdio:
                stdio_is_spoken_only_where_it_is_offered,
                a_host_that_breaks_the_protocol_is_told_which_rule,
            ]
        );
        group!(unread: ;
            $on:
            [H2: a_host_that_does_not_read_the_log_holds_up_none_that_outlives_it]
        );
        group!(inherited: ;
            $on:
            [Stdio:
                shared_streams_keep_their_flags,
                threads_that_are_blocked_hold_nothing_up,
                threads_whose_host_is_gone_raise_no_signal,
            ]
        );
    };
}

/// What the cases of each list run on: host runtime, plugin runtime, transport, and whether what the
/// plugin prints is `sent` over that.
macro_rules! combinations {
    ($($cases:ident! {
        $($name:ident: $host:ident, $plugin:ident, $transport:ident $(, $sent:ident)?;)*
    })*) => {
        $($(
            mod $name {
                const ON: crate::harness::Combination = crate::harness::Combination {
                    host: outboard_conformance::axes::RuntimeKind::$host,
                    plugin: outboard_conformance::axes::RuntimeKind::$plugin,
                    transport: outboard_conformance::axes::TransportKind::$transport,
                    output: crate::harness::output!($($sent)?),
                };
                $cases!($transport);
            }
        )*)*
    };
}

combinations! {
    pairs! {
        tokio_tokio_h2: Tokio, Tokio, H2;
        tokio_smol_h2: Tokio, Smol, H2;
        smol_tokio_h2: Smol, Tokio, H2;
        smol_smol_h2: Smol, Smol, H2;
        tokio_tokio_stdio: Tokio, Tokio, Stdio;
        tokio_smol_stdio: Tokio, Smol, Stdio;
        smol_tokio_stdio: Smol, Tokio, Stdio;
        smol_smol_stdio: Smol, Smol, Stdio;
        tokio_smol_h2_tls: Tokio, Smol, H2Tls;
        smol_tokio_h2_streams: Smol, Tokio, H2Streams;
        tokio_blocking_h2: Tokio, Blocking, H2;
        smol_blocking_stdio: Smol, Blocking, Stdio;
    }
    layered! {
        tokio_smol_h2_tls_streams: Tokio, Smol, H2TlsStreams;
        smol_threads_h2_tls_streams: Smol, TokioThreads, H2TlsStreams;
        threads_threads_h2: TokioThreads, TokioThreads, H2;
        threads_threads_stdio: TokioThreads, TokioThreads, Stdio;
        smol_threads_h2_spin: Smol, TokioThreads, H2Spin;
        tokio_smol_stdio_spin: Tokio, Smol, StdioSpin;
        smol_threads_h2_tls: Smol, TokioThreads, H2Tls;
        tokio_smol_h2_streams: Tokio, Smol, H2Streams;
        threads_threads_h2_streams: TokioThreads, TokioThreads, H2Streams;
        smol_blocking_h2_tls: Smol, Blocking, H2Tls;
        tokio_blocking_h2_tls_streams: Tokio, Blocking, H2TlsStreams;
    }
    within! {
        tokio_memory_h2: Tokio, Tokio, H2, memory;
        smol_memory_h2_tls: Smol, Smol, H2Tls, memory;
        tokio_memory_h2_streams: Tokio, Tokio, H2Streams, memory;
        threads_memory_stdio: TokioThreads, TokioThreads, Stdio, memory;
    }
    threads! {
        several_threads_h2: Tokio, TokioThreads, H2;
        several_threads_stdio: Smol, TokioThreads, Stdio;
    }
    outputs! {
        tokio_smol_h2_sent: Tokio, Smol, H2, sent;
        smol_threads_h2_sent: Smol, TokioThreads, H2, sent;
        tokio_tokio_stdio_sent: Tokio, Tokio, Stdio, sent;
        threads_smol_stdio_sent: TokioThreads, Smol, Stdio, sent;
    }
    hosts! {
        tokio_host_h2: Tokio, Tokio, H2;
        smol_host_h2: Smol, Smol, H2;
        tokio_host_stdio: Tokio, Tokio, Stdio;
        smol_host_stdio: Smol, Smol, Stdio;
    }
    plugins! {
        tokio_plugin_h2: Tokio, Tokio, H2;
        smol_plugin_h2: Smol, Smol, H2;
        tokio_plugin_stdio: Tokio, Tokio, Stdio;
        smol_plugin_stdio: Smol, Smol, Stdio;
    }
}
