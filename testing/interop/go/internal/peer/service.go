// Package peer holds what the Go plugin and the Go host share: the handshake,
// the services and the way they are put on go-plugin.
package peer

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// Handshake is the one that go-plugin's own examples use, so that these peers
// can also be tried against those.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "BASIC_PLUGIN",
	MagicCookieValue: "hello",
}

// MaxMessage is the receive limit of our servers. go-plugin leaves grpc-go's
// 4 MiB in place; the tests send 16 MiB, so this must be well above.
const MaxMessage = 64 << 20

// Service puts one gRPC service on go-plugin. On the host, dispensing it gives
// a *Session, from which any generated client can be made.
type Service struct {
	plugin.NetRPCUnsupportedPlugin

	// Register adds the implementation; nil on the host.
	Register func(broker *plugin.GRPCBroker, server *grpc.Server)
}

// Session is what a host holds after dispensing.
type Session struct {
	// Ended when the plugin process has ended.
	Ctx    context.Context
	Broker *plugin.GRPCBroker
	Conn   *grpc.ClientConn
}

// GRPCServer implements plugin.GRPCPlugin.
func (s *Service) GRPCServer(broker *plugin.GRPCBroker, server *grpc.Server) error {
	s.Register(broker, server)
	return nil
}

// GRPCClient implements plugin.GRPCPlugin.
func (s *Service) GRPCClient(ctx context.Context, broker *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return &Session{Ctx: ctx, Broker: broker, Conn: conn}, nil
}

// NewServer makes a gRPC server with our receive limit. With
// INTEROP_MAX_AGE_MILLIS in the environment it asks the peer to leave each
// connection after that time, and ends it after as long again; with
// INTEROP_MAX_STREAMS it allows that many streams on a connection.
func NewServer(options []grpc.ServerOption) *grpc.Server {
	options = append(options, grpc.MaxRecvMsgSize(MaxMessage))
	if millis, err := strconv.Atoi(os.Getenv("INTEROP_MAX_AGE_MILLIS")); err == nil {
		age := time.Duration(millis) * time.Millisecond
		options = append(options, grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge:      age,
			MaxConnectionAgeGrace: age,
		}))
	}
	if streams, err := strconv.ParseUint(os.Getenv("INTEROP_MAX_STREAMS"), 10, 32); err == nil {
		options = append(options, grpc.MaxConcurrentStreams(uint32(streams)))
	}
	return grpc.NewServer(options...)
}
