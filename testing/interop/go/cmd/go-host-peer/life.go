package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"outboard.dev/interop/internal/pb/probepb"
)

// crash ends the plugin while one call waits and another asks for the crash.
func crash(ctx context.Context, h *host) (findings, error) {
	session, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := client.Sleep(ctx, &probepb.SleepRequest{Millis: 60_000})
		waiting <- err
	}()
	if _, err := observed(ctx, client, func(seen *probepb.Observed) bool { return seen.Started == 1 }); err != nil {
		return nil, err
	}
	way, known := probepb.CrashRequest_Way_value[h.text("way", "EXIT")]
	if !known {
		return nil, fmt.Errorf("unknown way to crash")
	}
	begin := time.Now()
	_, asked := client.Crash(ctx, &probepb.CrashRequest{
		Way: probepb.CrashRequest_Way(way), Code: int32(h.number("code", 7)), Message: h.text("message", "boom"),
	})
	other := <-waiting
	found := findings{"asked": status.Code(asked).String(), "waiting": status.Code(other).String()}
	if asked == nil || other == nil {
		return found, fmt.Errorf("a call succeeded although the plugin crashed")
	}
	select {
	case <-session.Ctx.Done():
	case <-time.After(10 * time.Second):
		return found, fmt.Errorf("the context of the plugin was not cancelled")
	}
	found["noticed_millis"] = time.Since(begin).Milliseconds()
	if err := until(ctx, "the client says exited", func() (bool, error) { return h.client.Exited(), nil }); err != nil {
		return found, err
	}
	found["exit_logs"] = h.logs.with("plugin process exited")
	found["message_logs"] = h.logs.with(h.text("message", "boom"))
	return found, nil
}

// handlerPanic has a handler panic in a plugin that survives it.
func handlerPanic(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	message := h.text("message", "boom")
	_, panicked := client.Crash(ctx, &probepb.CrashRequest{Way: probepb.CrashRequest_HANDLER, Message: message})
	if err := echoNumber(ctx, client, 1); err != nil {
		return nil, fmt.Errorf("after the panic: %w", err)
	}
	if err := until(ctx, "the panic was logged", func() (bool, error) { return h.logs.contains(message), nil }); err != nil {
		return nil, err
	}
	return findings{
		"code": status.Code(panicked).String(), "message": status.Convert(panicked).Message(),
		"message_logs": h.logs.with(message), "exited": h.client.Exited(),
	}, nil
}

// rejected wants the start to fail, and reports how.
func rejected(_ context.Context, h *host) (findings, error) {
	_, err := h.client.Start()
	if err == nil {
		return nil, fmt.Errorf("the plugin was accepted")
	}
	// Waits until go-plugin has read all of stderr.
	h.client.Kill()
	return findings{"start_error": err.Error(), "stderr": string(h.raw.bytes())}, nil
}

// shutdown only starts and uses the plugin; how it ended is in "kill".
func shutdown(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	return nil, echoNumber(ctx, client, 1)
}

// shutdownInCall ends the plugin while a call is running.
func shutdownInCall(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	millis := uint64(h.number("millis", 500))
	ended := make(chan error, 1)
	go func() {
		_, err := client.Sleep(ctx, &probepb.SleepRequest{Millis: millis})
		ended <- err
	}()
	if _, err := observed(ctx, client, func(seen *probepb.Observed) bool { return seen.Started == 1 }); err != nil {
		return nil, err
	}
	h.client.Kill()
	return findings{"call": status.Code(<-ended).String()}, nil
}

// signalPlugin sends INT, which must not matter, or TERM, which ends the plugin.
func signalPlugin(ctx context.Context, h *host) (findings, error) {
	session, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	// An answer shows that the plugin is past the start, where it is deaf to INT.
	if err := echoNumber(ctx, client, 1); err != nil {
		return nil, err
	}
	process, err := os.FindProcess(h.pid)
	if err != nil {
		return nil, err
	}
	if h.text("signal", "INT") == "INT" {
		for range 3 {
			if err := process.Signal(syscall.SIGINT); err != nil {
				return nil, err
			}
			if err := echoNumber(ctx, client, 1); err != nil {
				return nil, fmt.Errorf("after SIGINT: %w", err)
			}
		}
		return findings{"exited": h.client.Exited()}, nil
	}
	if err := process.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	select {
	case <-session.Ctx.Done():
	case <-time.After(10 * time.Second):
		return nil, fmt.Errorf("SIGTERM did not end the plugin")
	}
	return findings{"exit_logs": h.logs.with("plugin process exited")}, nil
}

// hostDeath says who the plugin is and then dies without a word to it, or, with
// how=wait, waits for somebody to kill this process.
func hostDeath(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	if err := echoNumber(ctx, client, 1); err != nil {
		return nil, err
	}
	h.leave = true
	printJSON(findings{"ok": true, "host": os.Getpid(), "plugin": h.pid})
	if h.text("how", "exit") == "exit" {
		os.Exit(0)
	}
	<-ctx.Done()
	h.killHard()
	return nil, fmt.Errorf("nobody killed the host")
}

// grandchild leaves a process behind that holds the plugin's output pipes.
func grandchild(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	millis, err := strconv.ParseUint(h.text("millis", "3000"), 10, 64)
	if err != nil {
		return nil, err
	}
	reply, err := client.Spawn(ctx, &probepb.SpawnRequest{HoldMillis: millis})
	if err != nil {
		return nil, err
	}
	if code := status.Code(echoNumber(ctx, client, 1)); code != codes.OK {
		return nil, fmt.Errorf("after the spawn: %v", code)
	}
	return findings{"grandchild": reply.Pid}, nil
}
