package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"net/rpc"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"outboard.dev/interop/internal/peer"
)

// What go-plugin logs when it had to use force: the only trace it leaves.
const forcedMessage = "plugin failed to exit gracefully"

// Longer than anything here takes on a machine that is busy.
const soon = time.Minute

func say(what string, value any, err error) {
	line := map[string]any{"what": what, "value": value}
	if err != nil {
		line["error"] = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(line)
}

// caller is what a host dispenses.
type caller struct {
	client *rpc.Client
	broker *plugin.MuxBroker
}

func (provided) Client(broker *plugin.MuxBroker, client *rpc.Client) (any, error) {
	return &caller{client, broker}, nil
}

// grows is a text that is written to and waited on.
type grows struct {
	mu    sync.Mutex
	grown *sync.Cond
	text  strings.Builder
}

func newGrows() *grows {
	g := &grows{}
	g.grown = sync.NewCond(&g.mu)
	return g
}

func (g *grows) Write(bytes []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.grown.Broadcast()
	return g.text.Write(bytes)
}

func (g *grows) now() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

// until waits until the text is as wanted.
func (g *grows) until(wanted func(string) bool) (string, error) {
	over := false
	timer := time.AfterFunc(soon, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		over = true
		g.grown.Broadcast()
	})
	defer timer.Stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for !wanted(g.text.String()) {
		if over {
			return g.text.String(), errors.New("it has not come")
		}
		g.grown.Wait()
	}
	return g.text.String(), nil
}

func has(part string) func(string) bool {
	return func(text string) bool { return strings.Contains(text, part) }
}

// running is one plugin under this host.
type running struct {
	client               *plugin.Client
	stdout, stderr, logs *grows
}

// printed has both by their names.
func (r *running) printed() iter.Seq2[string, *grows] {
	return func(yield func(string, *grows) bool) {
		_ = yield("stdout", r.stdout) && yield("stderr", r.stderr)
	}
}

type options struct {
	autoMTLS bool
	tls      peer.TLSFiles
	versions string
	reattach string
	command  []string
}

func (o *options) launch() *running {
	r := &running{stdout: newGrows(), stderr: newGrows(), logs: newGrows()}
	config := &plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugins,
		Cmd:              exec.Command(o.command[0], o.command[1:]...),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolNetRPC},
		AutoMTLS:         o.autoMTLS,
		Logger: hclog.New(&hclog.LoggerOptions{
			Name: "host", Level: hclog.Trace, Output: r.logs, JSONFormat: true,
		}),
		SyncStdout: r.stdout,
		SyncStderr: r.stderr,
	}
	if o.versions != "" {
		config.Plugins = nil
		config.VersionedPlugins = map[int]plugin.PluginSet{}
		config.AllowedProtocols = append(config.AllowedProtocols, plugin.ProtocolGRPC)
		for _, version := range strings.Split(o.versions, ",") {
			switch number, _ := strconv.Atoi(version); number {
			case 2:
				config.VersionedPlugins[2] = overGRPC()
			default:
				config.VersionedPlugins[number] = plugins
			}
		}
	}
	if o.tls.Identity != "" {
		tls, err := o.tls.Config()
		if err != nil {
			fmt.Fprintln(os.Stderr, "go-netrpc-peer: TLS:", err)
			os.Exit(2)
		}
		config.TLSConfig = tls
	}
	if o.reattach != "" {
		reattach, err := peer.Reattach(o.reattach)
		if err != nil {
			fmt.Fprintln(os.Stderr, "go-netrpc-peer: -reattach:", err)
			os.Exit(2)
		}
		config.Cmd, config.Reattach = nil, reattach
	}
	r.client = plugin.NewClient(config)
	if o.autoMTLS && o.tls.Version != "" {
		// The start makes the configuration, and nobody has used it by then. If it
		// fails, so does whatever comes next.
		if _, err := r.client.Start(); err == nil {
			if err := peer.SetTLSVersion(config.TLSConfig, o.tls.Version); err != nil {
				fmt.Fprintln(os.Stderr, "go-netrpc-peer: TLS:", err)
				os.Exit(2)
			}
		}
	}
	return r
}

func (r *running) dispense() (*caller, error) {
	protocol, err := r.client.Client()
	if err != nil {
		return nil, err
	}
	raw, err := protocol.Dispense("greeter")
	if err != nil {
		return nil, err
	}
	found, ok := raw.(*caller)
	if !ok {
		return nil, fmt.Errorf("a %T was dispensed", raw)
	}
	return found, nil
}

// kill ends the plugin as hosts do, and says how that went: whether force was
// used, and what the log says of the exit.
func (r *running) kill() string {
	r.client.Kill()
	if !r.client.Exited() {
		return "still there"
	}
	if strings.Contains(r.logs.now(), forcedMessage) {
		return "by force"
	}
	return r.exit()
}

// exit is how the process ended, once that is logged.
func (r *running) exit() string {
	for _, line := range strings.Split(r.logs.now(), "\n") {
		var record map[string]any
		if json.Unmarshal([]byte(line), &record) != nil {
			continue
		}
		message, _ := record["@message"].(string)
		// With a status other than 0 this has an error.
		if strings.Contains(message, "plugin process exited") && record["error"] != nil {
			return fmt.Sprint(record["error"])
		}
	}
	return "by itself"
}

var scenarios = map[string]func(o *options, r *running) error{
	"calls":       calls,
	"talk":        talk,
	"nil-unknown": nilUnknown,
	"broker":      brokered,
	"streams":     streams,
	"crash":       crash,
	"kill":        killed,
	"quit":        quits,
	"linger":      lingers,
	"output":      output,
	"missed":      missed,
	"logs":        logs,
	"versions":    versions,
	"insecurable": insecurable,
}

func host(arguments []string) error {
	o := &options{}
	set := flag.NewFlagSet("go-netrpc-peer host", flag.ContinueOnError)
	set.BoolVar(&o.autoMTLS, "automtls", false, "secure the connection with AutoMTLS")
	set.StringVar(&o.tls.Identity, "tls-identity", "", "have TLS of our own with PATH.pem and PATH.key")
	set.StringVar(&o.tls.Trust, "tls-trust", "", "trust the certificates in this file")
	set.StringVar(&o.tls.Version, "tls-version", "", "allow this version of TLS alone: 1.2 or 1.3")
	set.StringVar(&o.reattach, "reattach", "", "attach by this record, and start nothing")
	set.StringVar(&o.versions, "versions", "", "versions to offer: 1 is net/rpc, 2 is gRPC")
	if err := set.Parse(arguments); err != nil {
		return err
	}
	rest := set.Args()
	if separator := slices.Index(rest, "--"); separator != 1 || (len(rest) < 3 && o.reattach == "") {
		return errors.New("want: [flags] SCENARIO -- PLUGIN-COMMAND")
	}
	if o.command = rest[2:]; len(o.command) == 0 {
		o.command = []string{"none"}
	}
	scenario, known := scenarios[rest[0]]
	if !known {
		return fmt.Errorf("unknown scenario %q", rest[0])
	}
	r := o.launch()
	err := scenario(o, r)
	say("ended", r.kill(), nil)
	if err != nil {
		_, _ = io.WriteString(os.Stderr, r.logs.now())
	}
	return err
}
