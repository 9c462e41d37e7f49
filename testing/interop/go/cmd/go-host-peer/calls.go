package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"outboard.dev/interop/internal/pb/probepb"
)

func pattern(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)
	}
	return data
}

// echo sends one message of the given size.
func echo(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	data := pattern(h.number("size", 16<<20))
	reply, err := client.Echo(ctx, &probepb.Payload{Data: data})
	if err != nil {
		return findings{"code": grpcstatus.Code(err).String()}, fmt.Errorf("echo: %w", err)
	}
	if !bytes.Equal(reply.Data, data) {
		return nil, fmt.Errorf("the echo of %d bytes differs (%d bytes)", len(data), len(reply.Data))
	}
	return findings{"bytes": len(reply.Data)}, nil
}

// statusDetails wants each status back exactly as sent, details included.
func statusDetails(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	text, err := anypb.New(wrapperspb.String("détail ☃"))
	if err != nil {
		return nil, err
	}
	span, err := anypb.New(durationpb.New(1500 * time.Millisecond))
	if err != nil {
		return nil, err
	}
	var wanted []*status.Status
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		wanted = append(wanted, &status.Status{Code: int32(code), Message: fmt.Sprintf("plain %d", code)})
	}
	wanted = append(wanted,
		&status.Status{Code: int32(codes.NotFound)},
		&status.Status{Code: int32(codes.FailedPrecondition), Message: "naïve 100% ☃\nline two\t🦀", Details: []*anypb.Any{text, span}},
	)
	for _, want := range wanted {
		request := &probepb.FailRequest{Code: want.Code, Message: want.Message, Details: want.Details}
		_, err := client.Fail(ctx, request)
		if got := grpcstatus.Convert(err).Proto(); !proto.Equal(got, want) {
			return nil, fmt.Errorf("got status %v, want %v", got, want)
		}
	}
	return findings{"statuses": len(wanted)}, nil
}

// deadline lets a call run into its deadline; the plugin must have known it.
func deadline(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	const limit = 400 * time.Millisecond
	short, stop := context.WithTimeout(ctx, limit)
	defer stop()
	begin := time.Now()
	_, err = client.Sleep(short, &probepb.SleepRequest{Millis: 60_000})
	took := time.Since(begin)
	if code := grpcstatus.Code(err); code != codes.DeadlineExceeded {
		return nil, fmt.Errorf("the call ended with %v: %v", code, err)
	}
	seen, err := observed(ctx, client, func(seen *probepb.Observed) bool { return seen.Cancelled == 1 })
	if err != nil {
		return nil, err
	}
	if !seen.HadDeadline || seen.RemainingMillis < 1 || seen.RemainingMillis > limit.Milliseconds() {
		return nil, fmt.Errorf("the plugin saw deadline=%v, %d ms left", seen.HadDeadline, seen.RemainingMillis)
	}
	return findings{"millis": took.Milliseconds(), "remaining_millis": seen.RemainingMillis}, nil
}

// cancel gives a running call up; the plugin must notice.
func cancel(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	// Not from ctx: that has a deadline, and this call must not.
	sleeping, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		_, err := client.Sleep(sleeping, &probepb.SleepRequest{Millis: 60_000})
		ended <- err
	}()
	if _, err := observed(ctx, client, func(seen *probepb.Observed) bool { return seen.Started == 1 }); err != nil {
		return nil, err
	}
	stop()
	if code := grpcstatus.Code(<-ended); code != codes.Canceled {
		return nil, fmt.Errorf("the call ended with %v", code)
	}
	seen, err := observed(ctx, client, func(seen *probepb.Observed) bool { return seen.Cancelled == 1 })
	if err != nil {
		return nil, err
	}
	return findings{"cancelled": seen.Cancelled, "finished": seen.Finished, "had_deadline": seen.HadDeadline}, nil
}

// observed waits until the plugin's Sleep counts satisfy a condition.
func observed(ctx context.Context, client probepb.ProbeClient, condition func(*probepb.Observed) bool) (*probepb.Observed, error) {
	var seen *probepb.Observed
	err := until(ctx, "the plugin saw it", func() (bool, error) {
		var err error
		seen, err = client.Observe(ctx, &probepb.Nothing{})
		return err == nil && condition(seen), err
	})
	if err != nil {
		return nil, fmt.Errorf("%w; last seen: %v", err, seen)
	}
	return seen, nil
}

// metadataBothWays sends text and binary metadata and wants it in the reply,
// the headers and the trailers.
func metadataBothWays(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	sent := metadata.Pairs(
		"x-text", "first", "x-text", "second value",
		"x-raw-bin", string([]byte{0, 1, 127, 128, 255}),
		"x-empty-bin", "",
	)
	var headers, trailers metadata.MD
	reply, err := client.Metadata(metadata.NewOutgoingContext(ctx, sent), &probepb.Nothing{},
		grpc.Header(&headers), grpc.Trailer(&trailers))
	if err != nil {
		return nil, err
	}
	received := metadata.MD{}
	for _, entry := range reply.Entries {
		received.Append(entry.Key, string(entry.Value))
	}
	for key, values := range sent {
		for where, got := range map[string][]string{
			"the plugin's reply": received.Get(key),
			"the headers":        headers.Get("h-" + key),
			"the trailers":       trailers.Get("t-" + key),
		} {
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", values) {
				return nil, fmt.Errorf("%s: %s has %q, sent %q", key, where, got, values)
			}
		}
	}
	// The trace of a call is metadata like any other.
	trace := metadata.Pairs(
		"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
	)
	traced, err := client.Metadata(metadata.NewOutgoingContext(ctx, trace), &probepb.Nothing{})
	if err != nil {
		return nil, err
	}
	seen := metadata.MD{}
	for _, entry := range traced.Entries {
		seen.Append(entry.Key, string(entry.Value))
	}
	for key, values := range trace {
		if got := seen.Get(key); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", values) {
			return nil, fmt.Errorf("the plugin's reply: %s has %q, sent %q", key, got, values)
		}
	}
	return findings{"user_agent": received.Get("user-agent"), "authority": received.Get(":authority")}, nil
}

// sequential makes many small calls one after another.
func sequential(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	count := h.number("count", 1000)
	for n := range count {
		if err := echoNumber(ctx, client, n); err != nil {
			return nil, err
		}
	}
	return findings{"calls": count}, nil
}

// parallel makes calls of different sizes at once.
func parallel(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	const tasks, calls = 32, 20
	errors := make(chan error, tasks)
	var group sync.WaitGroup
	for task := range tasks {
		group.Go(func() {
			for n := range calls {
				if err := echoNumber(ctx, client, task*3001+n); err != nil {
					errors <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errors)
	if err := <-errors; err != nil {
		return nil, err
	}
	return findings{"calls": tasks * calls}, nil
}

// echoNumber makes the size and the content depend on n.
func echoNumber(ctx context.Context, client probepb.ProbeClient, n int) error {
	data := append([]byte(fmt.Sprint(n)), pattern(n)...)
	reply, err := client.Echo(ctx, &probepb.Payload{Data: data})
	if err != nil {
		return fmt.Errorf("call %d: %w", n, err)
	}
	if !bytes.Equal(reply.Data, data) {
		return fmt.Errorf("call %d: the echo differs", n)
	}
	return nil
}

// unknownMethod wants UNIMPLEMENTED for both kinds of unknown.
func unknownMethod(ctx context.Context, h *host) (findings, error) {
	session, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	found := findings{}
	for name, path := range map[string]string{
		"method":  "/outboard.interop.Probe/Nope",
		"service": "/no.such.Service/Method",
	} {
		err := session.Conn.Invoke(ctx, path, &probepb.Nothing{}, &probepb.Nothing{})
		if code := grpcstatus.Code(err); code != codes.Unimplemented {
			return nil, fmt.Errorf("%s: %v", path, err)
		}
		found[name] = grpcstatus.Convert(err).Message()
	}
	return found, echoNumber(ctx, client, 1)
}
