package main

import (
	"bytes"
	"context"
	"fmt"

	"outboard.dev/interop/internal/pb/probepb"
)

// stdio wants what the plugin prints, byte for byte, on both channels.
func stdio(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	var stdout, stderr []byte
	for _, print := range []*probepb.PrintRequest{
		{Stdout: []byte("hello\nworld!"), Stderr: []byte("and some error\n messages!")},
		{Stdout: all, Stderr: all},
		{Stdout: pattern(h.number("size", 300_000))},
		{Stderr: pattern(h.number("size", 300_000) / 3)},
	} {
		if _, err := client.Print(ctx, print); err != nil {
			return nil, err
		}
		stdout, stderr = append(stdout, print.Stdout...), append(stderr, print.Stderr...)
	}
	err = until(ctx, "all output came", func() (bool, error) {
		return h.stdout.len() >= len(stdout) && h.stderr.len() >= len(stderr), nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w; got %d and %d bytes", err, h.stdout.len(), h.stderr.len())
	}
	if !bytes.Equal(h.stdout.bytes(), stdout) || !bytes.Equal(h.stderr.bytes(), stderr) {
		return nil, fmt.Errorf("the output differs from what was printed")
	}
	return findings{"stdout": len(stdout), "stderr": len(stderr)}, nil
}

// logs has the plugin log at each level and returns what arrived here.
func logs(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	const message = "a record ☃ \"quoted\"\nsecond line"
	levels := []string{"trace", "debug", "info", "warn", "error"}
	for _, level := range levels {
		request := &probepb.LogRequest{Level: level, Message: message, Fields: []*probepb.LogField{
			{Key: "text", Value: &probepb.LogField_Text{Text: "naïve = \"x\""}},
			{Key: "number", Value: &probepb.LogField_Number{Number: -12}},
			{Key: "flag", Value: &probepb.LogField_Flag{Flag: true}},
		}}
		if _, err := client.Log(ctx, request); err != nil {
			return nil, err
		}
	}
	err = until(ctx, "all records came", func() (bool, error) {
		return len(h.logs.with(message)) >= len(levels), nil
	})
	if err != nil {
		return nil, err
	}
	return findings{"records": h.logs.with(message)}, nil
}

// rawStderr returns the records that come from plain text on stderr.
func rawStderr(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	const last = "the last line"
	text := "[WARN] marked line\nunmarked line\n" + last + "\n"
	request := &probepb.RawRequest{Target: probepb.RawRequest_STDERR, Data: []byte(text)}
	if _, err := client.WriteRaw(ctx, request); err != nil {
		return nil, err
	}
	if err := until(ctx, "the text came", func() (bool, error) { return h.logs.contains(last), nil }); err != nil {
		return nil, err
	}
	if !bytes.Contains(h.raw.bytes(), []byte(text)) {
		return nil, fmt.Errorf("the raw sink did not get the text as written")
	}
	return findings{"records": append(h.logs.with("marked line"), h.logs.with(last)...)}, nil
}
