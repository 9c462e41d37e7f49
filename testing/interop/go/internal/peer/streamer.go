package peer

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"outboard.dev/interop/internal/pb/streamerpb"
)

// Streamer reads and writes one file in chunks.
type Streamer struct {
	streamerpb.UnimplementedStreamerServiceServer

	// Broken makes Write end without its response message, the mistake of
	// go-plugin's streaming example. Current gRPC clients refuse that.
	Broken bool

	mu     sync.Mutex
	config streamerpb.Configure_Request
}

// Configure sets the file and the chunk size of later calls.
func (s *Streamer) Configure(_ context.Context, request *streamerpb.Configure_Request) (*streamerpb.Configure_Response, error) {
	if request.ChunkSize < 1 {
		return nil, status.Error(codes.InvalidArgument, "chunk_size must be at least 1")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.Path, s.config.ChunkSize = request.Path, request.ChunkSize
	return &streamerpb.Configure_Response{}, nil
}

// Read sends the file.
func (s *Streamer) Read(_ *streamerpb.Read_Request, stream grpc.ServerStreamingServer[streamerpb.Read_ResponseChunk]) error {
	path, size := s.settings()
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for {
		chunk := make([]byte, size)
		n, err := io.ReadFull(file, chunk)
		if n > 0 {
			if err := stream.Send(&streamerpb.Read_ResponseChunk{ReadBytes: chunk[:n]}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Write replaces the file by what arrives.
func (s *Streamer) Write(stream grpc.ClientStreamingServer[streamerpb.Write_RequestChunk, streamerpb.Write_Response]) error {
	path, _ := s.settings()
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if _, err := file.Write(chunk.BytesToWrite); err != nil {
			return err
		}
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if s.Broken {
		return nil
	}
	return stream.SendAndClose(&streamerpb.Write_Response{})
}

func (s *Streamer) settings() (string, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.Path, s.config.ChunkSize
}

// StreamerService serves a Streamer.
func StreamerService(broken bool) *Service {
	return &Service{Register: func(_ *plugin.GRPCBroker, server *grpc.Server) {
		streamerpb.RegisterStreamerServiceServer(server, &Streamer{Broken: broken})
	}}
}
