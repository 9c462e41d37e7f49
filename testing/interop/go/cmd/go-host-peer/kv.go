package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc/status"

	"outboard.dev/interop/internal/pb/kvpb"
)

// kv puts a value, gets it back, and gets a key that does not exist.
func kv(ctx context.Context, h *host) (findings, error) {
	session, err := h.dispense("kv")
	if err != nil {
		return nil, err
	}
	client := kvpb.NewKVClient(session.Conn)
	found, err := putGet(ctx, h, client)
	if err != nil {
		return nil, err
	}
	_, err = client.Get(ctx, &kvpb.GetRequest{Key: "missing"})
	if err == nil {
		return found, fmt.Errorf("a missing key was found")
	}
	found["missing_code"] = status.Code(err).String()
	found["missing_message"] = status.Convert(err).Message()
	// A plugin may print while it works; with await-stdout that is waited for.
	if want, ok := h.options.params["await-stdout"]; ok {
		err := until(ctx, "the plugin's print came", func() (bool, error) {
			return string(h.stdout.bytes()) == want+"\n", nil
		})
		if err != nil {
			return found, fmt.Errorf("%w; got %q", err, h.stdout.bytes())
		}
	}
	return found, nil
}

// negotiated does the same with whatever version was agreed on. With read-only
// nothing is put before.
func negotiated(ctx context.Context, h *host) (findings, error) {
	session, err := h.dispense("kv")
	if err != nil {
		return nil, err
	}
	found, err := putGet(ctx, h, kvpb.NewKVClient(session.Conn))
	if err != nil {
		return nil, err
	}
	found["version"] = h.client.NegotiatedVersion()
	return found, nil
}

func putGet(ctx context.Context, h *host, client kvpb.KVClient) (findings, error) {
	key := h.text("key", "hello")
	value := []byte(h.text("value", "world"))
	if _, readOnly := h.options.params["read-only"]; !readOnly {
		if _, err := client.Put(ctx, &kvpb.PutRequest{Key: key, Value: value}); err != nil {
			return nil, fmt.Errorf("put: %w", err)
		}
	}
	reply, err := client.Get(ctx, &kvpb.GetRequest{Key: key})
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	return findings{"value": string(reply.Value)}, nil
}
