package main

import (
	"context"
	"errors"
	"net/rpc"
	"os/exec"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"outboard.dev/benches/internal/benchpb"
	"outboard.dev/benches/internal/peer"
)

type host struct {
	protocol string
	program  string
	running  *running
}

// running is a plugin and a client of its service.
type running struct {
	client *plugin.Client
	grpc   benchpb.BenchClient
	broker *plugin.GRPCBroker
	netrpc *rpc.Client
	phases []phase
	total  uint64
}

// phase marshals as a pair: its name and how long it took.
type phase [2]any

var errNotStarted = errors.New("no plugin has been started")

// launch starts a plugin, makes one call, and notes how long each step took.
func (h *host) launch() (*running, error) {
	config := &plugin.ClientConfig{
		HandshakeConfig: peer.Handshake,
		Cmd:             exec.Command(h.program, h.protocol),
		Logger:          hclog.NewNullLogger(),
	}
	if h.protocol == "netrpc" {
		config.Plugins = plugin.PluginSet{peer.Name: peer.RPCService{}}
		config.AllowedProtocols = []plugin.Protocol{plugin.ProtocolNetRPC}
	} else {
		config.Plugins = plugin.PluginSet{peer.Name: peer.Service{}}
		config.AllowedProtocols = []plugin.Protocol{plugin.ProtocolGRPC}
	}
	// What follows the protocol, such as grpc+multiplex+tls.
	for _, how := range strings.Split(h.protocol, "+")[1:] {
		switch how {
		case "tls":
			config.AutoMTLS = true
		case "multiplex":
			config.GRPCBrokerMultiplex = true
		default:
			return nil, errors.New("an unknown way to speak " + h.protocol)
		}
	}
	begin := peer.Monotonic()
	r := &running{client: plugin.NewClient(config)}
	if err := r.begin(begin); err != nil {
		r.client.Kill()
		return nil, err
	}
	return r, nil
}

func (r *running) begin(begin uint64) error {
	if _, err := r.client.Start(); err != nil {
		return err
	}
	line := peer.Monotonic()
	protocol, err := r.client.Client()
	if err != nil {
		return err
	}
	connected := peer.Monotonic()
	raw, err := protocol.Dispense(peer.Name)
	if err != nil {
		return err
	}
	switch client := raw.(type) {
	case peer.Client:
		r.grpc = client.BenchClient
		r.broker = client.Broker
	case *rpc.Client:
		r.netrpc = client
	default:
		return errors.New("a client of an unknown kind")
	}
	dispensed := peer.Monotonic()
	if err := r.echo(make([]byte, 16)); err != nil {
		return err
	}
	end := peer.Monotonic()
	born, err := r.born()
	if err != nil {
		return err
	}
	r.total = end - begin
	r.phases = []phase{
		{"to main", born - begin},
		{"to line", line - born},
		{"connect", connected - line},
		{"dispense", dispensed - connected},
		{"first call", end - dispensed},
	}
	return nil
}

func (r *running) echo(data []byte) error {
	var got int
	if r.netrpc != nil {
		var reply []byte
		if err := r.netrpc.Call("Plugin.Echo", data, &reply); err != nil {
			return err
		}
		got = len(reply)
	} else {
		reply, err := r.grpc.Echo(context.Background(), &benchpb.Payload{Data: data})
		if err != nil {
			return err
		}
		got = len(reply.Data)
	}
	if got != len(data) {
		return errors.New("the echo has another length")
	}
	return nil
}

func (r *running) born() (uint64, error) {
	if r.netrpc != nil {
		var born uint64
		err := r.netrpc.Call("Plugin.Born", []byte{}, &born)
		return born, err
	}
	moment, err := r.grpc.Born(context.Background(), &benchpb.Payload{})
	if err != nil {
		return 0, err
	}
	return moment.MonotonicNs, nil
}

// dial has the plugin serve once more and dials that: how long it takes from
// there to the first reply.
func (r *running) dial() (int64, error) {
	offered, err := r.grpc.Offer(context.Background(), &benchpb.Payload{})
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	conn, err := r.broker.Dial(offered.Id)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	data := make([]byte, 16)
	// Multiplexed, a dial of go-plugin fails now and then, once in some hundred
	// of them: gRPC then connects again, and what that takes is part of the time.
	// Some never come, which ends the measurement.
	within, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	ready := grpc.WaitForReady(true)
	reply, err := benchpb.NewBenchClient(conn).Echo(within, &benchpb.Payload{Data: data}, ready)
	if err != nil {
		return 0, err
	}
	if len(reply.Data) != len(data) {
		return 0, errors.New("the echo has another length")
	}
	return time.Since(begin).Nanoseconds(), nil
}

func (r *running) pid() int {
	return r.client.ReattachConfig().Pid
}

// end asks the plugin to end and waits for it; how long that took.
func (r *running) end() uint64 {
	begin := peer.Monotonic()
	r.client.Kill()
	return peer.Monotonic() - begin
}

func (h *host) stopAll() {
	if h.running != nil {
		h.running.end()
		h.running = nil
	}
}
