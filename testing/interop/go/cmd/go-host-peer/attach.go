package main

import (
	"bytes"
	"context"
	"fmt"

	"outboard.dev/interop/internal/peer"
)

// handOn starts the plugin and leaves it running, with its record for the next
// host.
func handOn(_ context.Context, h *host) (findings, error) {
	if _, err := h.dispense("probe"); err != nil {
		return nil, err
	}
	h.leave = true
	return findings{"record": peer.Record(h.client.ReattachConfig())}, nil
}

// missed waits for what the plugin has printed and logged while no host was
// there, up to this number, and returns all of it.
func missed(ctx context.Context, h *host) (findings, error) {
	if _, err := h.dispense("probe"); err != nil {
		return nil, err
	}
	last := h.number("last", 0)
	out, err, log := fmt.Appendf(nil, "out %d\n", last), fmt.Appendf(nil, "err %d\n", last),
		fmt.Appendf(nil, "record %d\"", last)
	failed := until(ctx, "the last has come", func() (bool, error) {
		stderr := h.stderr.bytes()
		return bytes.HasSuffix(h.stdout.bytes(), out) && bytes.Contains(stderr, err) && bytes.Contains(stderr, log), nil
	})
	return findings{"stdout": string(h.stdout.bytes()), "stderr": string(h.stderr.bytes())}, failed
}
