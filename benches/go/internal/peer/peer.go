// Package peer is what the Go host and the Go plugin share: the handshake, and
// the measured service over go-plugin's two protocols.
package peer

import (
	"context"
	"errors"
	"io"
	"net/rpc"
	"time"

	"github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"outboard.dev/benches/internal/benchpb"
)

// Handshake is the same as that of the Rust peers, so that hosts and plugins
// of both languages go together.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "OUTBOARD_BENCH",
	MagicCookieValue: "measured",
}

// Name is what the service is dispensed as.
const Name = "bench"

// Monotonic is the system's monotonic clock, which all processes share, in
// nanoseconds.
func Monotonic() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return uint64(now.Nano())
}

// Service is the service over gRPC.
type Service struct {
	plugin.NetRPCUnsupportedPlugin
	// When main began.
	BornAt uint64
}

// GRPCServer is called in the plugin.
func (s Service) GRPCServer(broker *plugin.GRPCBroker, server *grpc.Server) error {
	benchpb.RegisterBenchServer(server, &implementation{bornAt: s.BornAt, broker: broker})
	return nil
}

// GRPCClient is called in the host.
func (Service) GRPCClient(_ context.Context, broker *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return Client{BenchClient: benchpb.NewBenchClient(conn), Broker: broker}, nil
}

// Client is what the host dispenses over gRPC.
type Client struct {
	benchpb.BenchClient
	Broker *plugin.GRPCBroker
}

type implementation struct {
	benchpb.UnimplementedBenchServer
	bornAt uint64
	broker *plugin.GRPCBroker
}

// Offer serves until the plugin ends.
func (s *implementation) Offer(context.Context, *benchpb.Payload) (*benchpb.Offered, error) {
	id := s.broker.NextId()
	go s.broker.AcceptAndServe(id, func(options []grpc.ServerOption) *grpc.Server {
		server := grpc.NewServer(options...)
		benchpb.RegisterBenchServer(server, s)
		return server
	})
	return &benchpb.Offered{Id: id}, nil
}

func (*implementation) Echo(_ context.Context, request *benchpb.Payload) (*benchpb.Payload, error) {
	return request, nil
}

func (*implementation) Compute(_ context.Context, request *benchpb.Work) (*benchpb.Payload, error) {
	begin := time.Now()
	for time.Since(begin) < time.Duration(request.Micros)*time.Microsecond {
	}
	return &benchpb.Payload{}, nil
}

func (s *implementation) Born(context.Context, *benchpb.Payload) (*benchpb.Moment, error) {
	return &benchpb.Moment{MonotonicNs: s.bornAt}, nil
}

func (*implementation) Download(request *benchpb.Transfer, stream grpc.ServerStreamingServer[benchpb.Payload]) error {
	if request.Piece == 0 {
		return errors.New("the piece must have a size")
	}
	for sent := uint64(0); sent < request.Bytes; sent += uint64(request.Piece) {
		// A fresh buffer for each piece, as a plugin that reads a file would have.
		if err := stream.Send(&benchpb.Payload{Data: make([]byte, request.Piece)}); err != nil {
			return err
		}
	}
	return nil
}

func (*implementation) Upload(stream grpc.ClientStreamingServer[benchpb.Payload, benchpb.Transfer]) error {
	var taken uint64
	for {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&benchpb.Transfer{Bytes: taken})
		}
		if err != nil {
			return err
		}
		taken += uint64(len(piece.Data))
	}
}

// RPCService is the service over net/rpc.
type RPCService struct {
	BornAt uint64
}

// Server is called in the plugin.
func (s RPCService) Server(*plugin.MuxBroker) (any, error) {
	return &RPCServer{bornAt: s.BornAt}, nil
}

// Client is called in the host.
func (RPCService) Client(_ *plugin.MuxBroker, client *rpc.Client) (any, error) {
	return client, nil
}

// RPCServer has the methods that net/rpc finds by reflection.
type RPCServer struct {
	bornAt uint64
}

// Echo gives back what it got.
func (*RPCServer) Echo(data []byte, reply *[]byte) error {
	*reply = data
	return nil
}

// Born says when main began.
func (s *RPCServer) Born(_ []byte, reply *uint64) error {
	*reply = s.bornAt
	return nil
}
