// Command go-netrpc-peer is a plugin of go-plugin over net/rpc, or a host of
// one:
//
//	go-netrpc-peer [plain | linger | prints | versions]
//	go-netrpc-peer host [flags] SCENARIO -- PLUGIN-COMMAND [ARGS ...]
//
// As a plugin it serves "greeter". With linger it does not end when it is asked
// to, with prints it says something on stderr before it serves, and with
// versions it has version 1 over net/rpc and version 2 over gRPC.
//
// The plugin knows the variables INTEROP_TLS_... and INTEROP_TEST_MODE of
// go-plugin-peer. With -reattach the host has no command.
//
// The host prints what came of a scenario as lines of JSON.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"outboard.dev/interop/internal/pb/counterpb"
	"outboard.dev/interop/internal/peer"
)

var handshake = peer.Handshake

// Bounds what blocks on purpose, so that a test that fails to kill it leaves
// nothing behind for good.
const forever = 10 * time.Minute

// Before go-plugin takes their places.
var (
	stderr = os.Stderr
	logger = hclog.New(&hclog.LoggerOptions{
		Level: hclog.Trace, Output: stderr, JSONFormat: true,
	})
)

type provided struct{}

func (provided) Server(broker *plugin.MuxBroker) (any, error) {
	return &service{broker}, nil
}

var plugins = plugin.PluginSet{"greeter": provided{}}

// What version 2 has, on either side.
func overGRPC() plugin.PluginSet {
	return plugin.PluginSet{"greeter": &peer.Service{
		Register: func(_ *plugin.GRPCBroker, server *grpc.Server) {
			counterpb.RegisterAddHelperServer(server, peer.AddHelper{})
		},
	}}
}

// What is called over gRPC.
func add(session *peer.Session) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := counterpb.NewAddHelperClient(session.Conn)
	sum, err := client.Sum(ctx, &counterpb.SumRequest{A: 40, B: 2})
	return sum.GetR(), err
}

func main() {
	mode := "plain"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	config := &plugin.ServeConfig{HandshakeConfig: handshake, Plugins: plugins, Logger: logger}
	switch mode {
	case "host":
		if err := host(os.Args[2:]); err != nil {
			say("failed", nil, err)
			os.Exit(1)
		}
		return
	case "plain", "linger":
	case "prints":
		fmt.Fprintln(stderr, "before, on stderr")
	case "versions":
		config.Plugins = nil
		config.VersionedPlugins = map[int]plugin.PluginSet{1: plugins, 2: overGRPC()}
		config.GRPCServer = peer.NewServer
	default:
		fmt.Fprintf(os.Stderr, "go-netrpc-peer: unknown mode %q\n", mode)
		os.Exit(2)
	}
	if err := peer.Secure(config); err != nil {
		fmt.Fprintln(stderr, "go-netrpc-peer: TLS:", err)
		os.Exit(2)
	}
	peer.ServeOrTest(config)
	if mode == "linger" {
		time.Sleep(forever)
	}
}
