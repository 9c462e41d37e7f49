// Command go-bench-plugin is the measured plugin on go-plugin. Its argument is
// the protocol: netrpc or, without it, grpc. What is behind grpc the host asks for
// in the environment.
package main

import (
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"outboard.dev/benches/internal/peer"
)

func main() {
	born := peer.Monotonic()
	config := &plugin.ServeConfig{
		HandshakeConfig: peer.Handshake,
		Logger:          hclog.NewNullLogger(),
	}
	if len(os.Args) > 1 && os.Args[1] == "netrpc" {
		config.Plugins = plugin.PluginSet{peer.Name: peer.RPCService{BornAt: born}}
	} else {
		config.Plugins = plugin.PluginSet{peer.Name: peer.Service{BornAt: born}}
		config.GRPCServer = plugin.DefaultGRPCServer
	}
	plugin.Serve(config)
}
