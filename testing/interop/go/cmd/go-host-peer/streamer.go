package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"google.golang.org/grpc/status"

	"outboard.dev/interop/internal/pb/streamerpb"
)

// streamer writes a file through the plugin and reads it back.
func streamer(ctx context.Context, h *host) (findings, error) {
	content := make([]byte, h.number("size", 100_000))
	for i := range content {
		content[i] = byte(i * 31)
	}
	chunk := h.number("chunk", 1000)
	client, err := configured(ctx, h, chunk)
	if err != nil {
		return nil, err
	}
	if err := write(ctx, client, content, chunk); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	stream, err := client.Read(ctx, &streamerpb.Read_Request{})
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	var back []byte
	chunks := 0
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		if len(message.ReadBytes) > chunk {
			return nil, fmt.Errorf("a chunk of %d bytes, asked for %d", len(message.ReadBytes), chunk)
		}
		back = append(back, message.ReadBytes...)
		chunks++
	}
	if !bytes.Equal(back, content) {
		return nil, fmt.Errorf("read %d bytes that differ from the %d written", len(back), len(content))
	}
	return findings{"bytes": len(back), "chunks": chunks}, nil
}

// streamerBroken reports how a Write without a response message shows.
func streamerBroken(ctx context.Context, h *host) (findings, error) {
	client, err := configured(ctx, h, 10)
	if err != nil {
		return nil, err
	}
	err = write(ctx, client, []byte("some text"), 10)
	if err == nil {
		return nil, fmt.Errorf("a Write without a response succeeded")
	}
	return findings{"code": status.Code(err).String(), "message": status.Convert(err).Message()}, nil
}

func configured(ctx context.Context, h *host, chunk int) (streamerpb.StreamerServiceClient, error) {
	session, err := h.dispense("streamer")
	if err != nil {
		return nil, err
	}
	client := streamerpb.NewStreamerServiceClient(session.Conn)
	path := filepath.Join(h.options.dir, "streamed")
	request := &streamerpb.Configure_Request{Path: path, ChunkSize: int64(chunk)}
	if _, err := client.Configure(ctx, request); err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	return client, nil
}

func write(ctx context.Context, client streamerpb.StreamerServiceClient, content []byte, chunk int) error {
	stream, err := client.Write(ctx)
	if err != nil {
		return err
	}
	for begin := 0; begin < len(content); begin += chunk {
		part := content[begin:min(begin+chunk, len(content))]
		if err := stream.Send(&streamerpb.Write_RequestChunk{BytesToWrite: part}); err != nil {
			// The stream ended early; CloseAndRecv says why.
			break
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}
