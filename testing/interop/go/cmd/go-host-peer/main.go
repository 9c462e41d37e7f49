// Command go-host-peer is a host built on go-plugin. It starts one plugin, runs
// one scenario on it, ends it, and prints one JSON object:
//
//	go-host-peer [flags] SCENARIO [NAME=VALUE ...] -- PLUGIN-COMMAND [ARGS ...]
//
// The object has "ok", the scenario's own findings, "kill" (how the plugin
// ended) and, if something failed, "error" and the "logs" so far. The exit
// status is 0 when the scenario held and 1 when it did not.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"outboard.dev/interop/internal/peer"
)

// findings is what a scenario reports.
type findings map[string]any

type scenario func(ctx context.Context, h *host) (findings, error)

// The plugin names that a scenario dispenses are the services it needs.
var scenarios = map[string]scenario{
	"kv":               kv,
	"negotiated":       negotiated,
	"counter":          counter,
	"broker":           brokerBothWays,
	"broker-timeout":   brokerTimeout,
	"many":             many,
	"streamer":         streamer,
	"streamer-broken":  streamerBroken,
	"echo":             echo,
	"status":           statusDetails,
	"deadline":         deadline,
	"cancel":           cancel,
	"metadata":         metadataBothWays,
	"sequential":       sequential,
	"parallel":         parallel,
	"streams":          streams,
	"unknown-method":   unknownMethod,
	"stdio":            stdio,
	"logs":             logs,
	"raw-stderr":       rawStderr,
	"crash":            crash,
	"handler-panic":    handlerPanic,
	"rejected":         rejected,
	"shutdown":         shutdown,
	"shutdown-in-call": shutdownInCall,
	"signal":           signalPlugin,
	"host-death":       hostDeath,
	"grandchild":       grandchild,
	"reflection":       reflection,
	"secured":          secured,
	"insecurable":      insecurable,
	"health":           health,
	"hand-on":          handOn,
	"missed":           missed,
}

func main() {
	options, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-host-peer:", err)
		os.Exit(2)
	}
	run, known := scenarios[options.scenario]
	if !known {
		fmt.Fprintf(os.Stderr, "go-host-peer: unknown scenario %q\n", options.scenario)
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), options.timeout)
	defer cancel()
	h := newHost(options)

	type outcome struct {
		found findings
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		found, err := run(ctx, h)
		if found == nil {
			found = findings{}
		}
		found["kill"] = h.kill()
		done <- outcome{found, err}
	}()
	select {
	case result := <-done:
		finish(h, result.found, result.err)
	case <-ctx.Done():
		// Something ignores the context; the plugin must still not stay behind.
		h.killHard()
		finish(h, findings{}, fmt.Errorf("no result within %s", options.timeout))
	}
}

func finish(h *host, found findings, err error) {
	found["ok"] = err == nil
	if err != nil {
		found["error"] = err.Error()
		found["logs"] = h.logs.tail(100)
	}
	printJSON(found)
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

func printJSON(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		fmt.Fprintln(os.Stderr, "go-host-peer:", err)
		os.Exit(2)
	}
}

// options is the parsed command line.
type options struct {
	scenario string
	params   map[string]string
	command  []string

	dir          string
	env          repeated
	versions     string
	cookie       string
	autoMTLS     bool
	tls          peer.TLSFiles
	multiplex    bool
	reattach     string
	startTimeout time.Duration
	timeout      time.Duration
}

type repeated []string

func (r *repeated) String() string         { return strings.Join(*r, " ") }
func (r *repeated) Set(value string) error { *r = append(*r, value); return nil }

func parse(arguments []string) (*options, error) {
	o := &options{params: map[string]string{}}
	set := flag.NewFlagSet("go-host-peer", flag.ContinueOnError)
	set.StringVar(&o.dir, "dir", "", "working directory of the plugin")
	set.Var(&o.env, "env", "NAME=VALUE for the plugin, repeatable")
	set.StringVar(&o.versions, "versions", "", "application versions to offer, e.g. 2,3 (default: version 1 only)")
	set.StringVar(&o.cookie, "cookie", "", "send this cookie value instead of the right one")
	set.BoolVar(&o.autoMTLS, "automtls", false, "secure the connection with AutoMTLS")
	set.StringVar(&o.tls.Identity, "tls-identity", "", "have TLS of our own with PATH.pem and PATH.key")
	set.StringVar(&o.tls.Trust, "tls-trust", "", "trust the certificates in this file; those of field six replace them")
	set.StringVar(&o.tls.AsClient, "tls-as-client", "", "show this identity, or none, where we are the client")
	set.StringVar(&o.tls.Version, "tls-version", "", "allow this version of TLS alone, also with -automtls: 1.2 or 1.3")
	set.BoolVar(&o.multiplex, "multiplex", false, "ask for broker multiplexing")
	set.StringVar(&o.reattach, "reattach", "", "attach by this record, and start nothing")
	set.DurationVar(&o.startTimeout, "start-timeout", 20*time.Second, "how long the plugin may take to start")
	set.DurationVar(&o.timeout, "timeout", time.Minute, "how long everything may take")
	if err := set.Parse(arguments); err != nil {
		return nil, err
	}
	rest := set.Args()
	separator := slices.Index(rest, "--")
	if separator < 1 || (separator+1 == len(rest) && o.reattach == "") {
		return nil, fmt.Errorf("want: [flags] SCENARIO [NAME=VALUE ...] -- PLUGIN-COMMAND")
	}
	o.scenario, o.command = rest[0], rest[separator+1:]
	if len(o.command) == 0 {
		o.command = []string{"none"}
	}
	for _, param := range rest[1:separator] {
		name, value, ok := strings.Cut(param, "=")
		if !ok {
			return nil, fmt.Errorf("parameter %q is not NAME=VALUE", param)
		}
		o.params[name] = value
	}
	return o, nil
}
