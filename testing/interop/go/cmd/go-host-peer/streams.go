package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"outboard.dev/interop/internal/pb/probepb"
)

// streams uses all three kinds of streaming.
func streams(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	count, size := h.number("count", 500), h.number("size", 4096)
	if err := chat(ctx, client, count); err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	if err := pour(ctx, client, count, size); err != nil {
		return nil, fmt.Errorf("pour: %w", err)
	}
	if err := collect(ctx, client, count, size); err != nil {
		return nil, fmt.Errorf("collect: %w", err)
	}
	return findings{"count": count, "size": size}, nil
}

// chat waits for each echo before it sends the next message.
func chat(ctx context.Context, client probepb.ProbeClient, count int) error {
	stream, err := client.Chat(ctx)
	if err != nil {
		return err
	}
	for n := range count {
		data := []byte(fmt.Sprint("message ", n))
		if err := stream.Send(&probepb.Payload{Data: data}); err != nil {
			return err
		}
		reply, err := stream.Recv()
		if err != nil {
			return err
		}
		if !bytes.Equal(reply.Data, data) {
			return fmt.Errorf("sent %q, got %q", data, reply.Data)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last message: %v", err)
	}
	return nil
}

func pour(ctx context.Context, client probepb.ProbeClient, count, size int) error {
	stream, err := client.Pour(ctx, &probepb.PourRequest{Count: uint64(count), Size: uint64(size)})
	if err != nil {
		return err
	}
	for n := range count {
		message, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("message %d: %w", n, err)
		}
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(n + i)
		}
		if !bytes.Equal(message.Data, want) {
			return fmt.Errorf("message %d differs", n)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last message: %v", err)
	}
	return nil
}

func collect(ctx context.Context, client probepb.ProbeClient, count, size int) error {
	stream, err := client.Collect(ctx)
	if err != nil {
		return err
	}
	for range count {
		if err := stream.Send(&probepb.Payload{Data: make([]byte, size)}); err != nil {
			break
		}
	}
	reply, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	if reply.Messages != uint64(count) || reply.Bytes != uint64(count*size) {
		return fmt.Errorf("the plugin counted %d messages, %d bytes", reply.Messages, reply.Bytes)
	}
	return nil
}
