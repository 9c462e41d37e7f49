package main

import (
	"context"

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
