package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"outboard.dev/interop/internal/pb/probepb"
	"outboard.dev/interop/internal/peer"
)

// What go-plugin logs when it had to use force: the only trace it leaves.
const forcedMessage = "plugin failed to exit gracefully"

// host is one go-plugin client and all that it recorded.
type host struct {
	options *options
	config  *plugin.ClientConfig
	client  *plugin.Client
	// The process, remembered because the client forgets it.
	pid int

	logs           *recorder
	stdout, stderr *buffer
	raw            *buffer

	// Set by scenarios that want the plugin left alone at the end.
	leave bool
}

func newHost(o *options) *host {
	h := &host{
		options: o,
		logs:    newRecorder(),
		stdout:  newBuffer(),
		stderr:  newBuffer(),
		raw:     newBuffer(),
	}
	handshake := peer.Handshake
	if o.cookie != "" {
		handshake.MagicCookieValue = o.cookie
	}
	command := exec.Command(o.command[0], o.command[1:]...)
	command.Dir = o.dir
	command.Env = o.env
	// Without SkipHostEnv our own environment goes over command.Env, so the
	// variables meant for the plugin must not be set here.
	h.config = &plugin.ClientConfig{
		HandshakeConfig:     handshake,
		Plugins:             plugins(o.versions == ""),
		VersionedPlugins:    versioned(o.versions),
		Cmd:                 command,
		AllowedProtocols:    []plugin.Protocol{plugin.ProtocolGRPC},
		StartTimeout:        o.startTimeout,
		AutoMTLS:            o.autoMTLS,
		GRPCBrokerMultiplex: o.multiplex,
		SyncStdout:          h.stdout,
		SyncStderr:          h.stderr,
		Stderr:              h.raw,
		Logger: hclog.New(&hclog.LoggerOptions{
			Name:       "host",
			Level:      hclog.Trace,
			Output:     h.logs,
			JSONFormat: true,
		}),
	}
	if o.tls.Identity != "" {
		config, err := o.tls.Config()
		if err != nil {
			fmt.Fprintln(os.Stderr, "go-host-peer: TLS:", err)
			os.Exit(2)
		}
		h.config.TLSConfig = config
	}
	if o.reattach != "" {
		reattach, err := peer.Reattach(o.reattach)
		if err != nil {
			fmt.Fprintln(os.Stderr, "go-host-peer: -reattach:", err)
			os.Exit(2)
		}
		h.config.Cmd, h.config.Reattach = nil, reattach
		// What go-plugin itself would refuse.
		h.config.VersionedPlugins, h.config.Plugins = nil, plugins(true)
	}
	h.client = plugin.NewClient(h.config)
	return h
}

func plugins(wanted bool) plugin.PluginSet {
	if !wanted {
		return nil
	}
	set := plugin.PluginSet{}
	for _, name := range []string{"kv", "counter", "streamer", "probe"} {
		set[name] = &peer.Service{}
	}
	return set
}

func versioned(list string) map[int]plugin.PluginSet {
	if list == "" {
		return nil
	}
	sets := map[int]plugin.PluginSet{}
	for _, item := range strings.Split(list, ",") {
		version, err := strconv.Atoi(item)
		if err != nil {
			fmt.Fprintln(os.Stderr, "go-host-peer: -versions:", err)
			os.Exit(2)
		}
		sets[version] = plugins(true)
	}
	return sets
}

// dispense starts the plugin if needed.
func (h *host) dispense(name string) (*peer.Session, error) {
	if h.options.autoMTLS && h.options.tls.Version != "" {
		// The start makes the configuration, and nobody has used it by then.
		if _, err := h.client.Start(); err != nil {
			return nil, fmt.Errorf("start: %w", err)
		}
		if err := peer.SetTLSVersion(h.config.TLSConfig, h.options.tls.Version); err != nil {
			return nil, err
		}
	}
	protocol, err := h.client.Client()
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	h.pid, _ = strconv.Atoi(h.client.ID())
	session, err := protocol.Dispense(name)
	if err != nil {
		return nil, fmt.Errorf("dispense: %w", err)
	}
	return session.(*peer.Session), nil
}

func (h *host) probe() (*peer.Session, probepb.ProbeClient, error) {
	session, err := h.dispense("probe")
	if err != nil {
		return nil, nil, err
	}
	return session, probepb.NewProbeClient(session.Conn), nil
}

// number returns a parameter of the scenario.
func (h *host) number(name string, standard int) int {
	value, err := strconv.Atoi(h.text(name, strconv.Itoa(standard)))
	if err != nil {
		fmt.Fprintf(os.Stderr, "go-host-peer: %s: %v\n", name, err)
		os.Exit(2)
	}
	return value
}

func (h *host) text(name, standard string) string {
	if value, ok := h.options.params[name]; ok {
		return value
	}
	return standard
}

// kill ends the plugin the way a host does and says how that went.
func (h *host) kill() findings {
	if h.leave {
		return nil
	}
	begin := time.Now()
	h.client.Kill()
	return findings{
		"millis": time.Since(begin).Milliseconds(),
		"exited": h.client.Exited(),
		"forced": h.logs.contains(forcedMessage),
	}
}

// killHard is for when nothing else works.
func (h *host) killHard() {
	if h.pid == 0 {
		return
	}
	if process, err := os.FindProcess(h.pid); err == nil {
		_ = process.Kill()
	}
}

// until waits for a condition that some other goroutine or process brings about.
func until(ctx context.Context, what string, condition func() (bool, error)) error {
	// Short enough not to slow the tests down, long enough not to load the machine.
	const interval = 5 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		met, err := condition()
		if err != nil {
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
		if met {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		case <-time.After(interval):
		}
	}
}
