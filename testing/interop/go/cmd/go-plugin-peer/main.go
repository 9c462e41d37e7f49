// Command go-plugin-peer is a plugin built on go-plugin, and a few programs
// that only look like one. The first argument selects what it does:
//
//	kv | counter | streamer | probe   serve that service
//	all                               serve all four
//	streamer-broken                   streamer whose Write never answers
//	negotiated [2,3]                  serve these application versions of kv
//	hang                              like all, but never exits when asked to
//	flood                             like all, and 100 MB without a line break
//	                                  go to the real stdout once a host is there
//	print-and-block TEXT              print TEXT on stdout, then do nothing
//	print-and-exit CODE TEXT          print TEXT on stdout, then exit
//	hold MILLIS                       keep the inherited streams open, then exit
//
// Environment, for all serving modes:
//
//	INTEROP_DIE_FIRST        how to die before serving, deep in a stack: by a panic
//	                         with a text (panic), of the runtime (nil), or by a
//	                         deadlock, which is no panic (deadlock)
//	INTEROP_EXIT_FILE        written when serving ended in an orderly way
//	INTEROP_STDERR_FIRST     written to stderr before anything else
//	INTEROP_MAX_AGE_MILLIS   the maximal age of a connection
//	INTEROP_MAX_STREAMS      how many streams a connection may have at once
//	INTEROP_DEFAULT_LIMITS   if set: keep grpc-go's own message limit
//	INTEROP_TLS              if none: as a plugin that knows no AutoMTLS
//	INTEROP_TLS_IDENTITY     path of a certificate and its key, less .pem and .key:
//	                         TLS of its own, whatever its host asks for
//	INTEROP_TLS_TRUST        with it: file of the certificates to trust; without
//	                         it, those of the host
//	INTEROP_TLS_AS_CLIENT    with it: another identity where it is a client, or none
//	INTEROP_TLS_VERSION      with it: 1.2 or 1.3 for that alone
//	INTEROP_TLS_ANNOUNCE     file of the certificate to put into the line
//	INTEROP_TEST_MODE        if set: serve as inside a test, print the record for hosts
//	                         to attach by, and end when stdin does
//	INTEROP_BROKERED_AGE     milliseconds after which brokered servers end a
//	                         connection, once its calls are done
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"outboard.dev/interop/internal/peer"
)

// forever bounds what blocks on purpose, so that a test that fails to kill it
// leaves nothing behind for good.
const forever = 10 * time.Minute

func main() {
	mode, arguments := "all", os.Args[1:]
	if len(arguments) > 0 {
		mode, arguments = arguments[0], arguments[1:]
	}
	_, _ = os.Stderr.WriteString(os.Getenv("INTEROP_STDERR_FIRST"))
	if how := os.Getenv("INTEROP_DIE_FIRST"); how != "" {
		die(how, 60)
	}
	if err := run(mode, arguments); err != nil {
		fmt.Fprintln(os.Stderr, "go-plugin-peer:", err)
		os.Exit(2)
	}
}

func run(mode string, arguments []string) error {
	process := peer.ProcessFiles{
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Logger: hclog.New(&hclog.LoggerOptions{
			Level:      hclog.Trace,
			Output:     os.Stderr,
			JSONFormat: true,
		}),
	}
	all := plugin.PluginSet{
		"kv":       peer.KVService(),
		"counter":  peer.CounterService(),
		"streamer": peer.StreamerService(false),
		"probe":    peer.ProbeService(process),
	}
	config := &plugin.ServeConfig{
		HandshakeConfig: peer.Handshake,
		Logger:          process.Logger,
		GRPCServer:      peer.NewServer,
	}
	if os.Getenv("INTEROP_DEFAULT_LIMITS") != "" {
		config.GRPCServer = plugin.DefaultGRPCServer
	}

	switch mode {
	case "kv", "counter", "streamer", "probe":
		config.Plugins = plugin.PluginSet{mode: all[mode]}
	case "all", "hang":
		config.Plugins = all
	case "flood":
		config.Plugins = all
		config.GRPCServer = floodingServer(process)
	case "streamer-broken":
		config.Plugins = plugin.PluginSet{"streamer": peer.StreamerService(true)}
	case "negotiated":
		versions, err := negotiated(arguments)
		if err != nil {
			return err
		}
		config.VersionedPlugins = versions
	case "print-and-block", "print-and-exit", "hold":
		return pretend(mode, arguments)
	default:
		return fmt.Errorf("unknown mode %q", mode)
	}

	if err := peer.Secure(config); err != nil {
		return err
	}
	peer.ServeOrTest(config)

	if path := os.Getenv("INTEROP_EXIT_FILE"); path != "" {
		if err := os.WriteFile(path, []byte("served to the end\n"), 0o644); err != nil {
			return err
		}
	}
	if mode == "hang" {
		time.Sleep(forever)
	}
	return nil
}

// die ends the program under so many frames that their trace is longer than
// what hosts keep.
func die(how string, depth int) {
	if depth > 0 {
		die(how, depth-1)
		return
	}
	switch how {
	case "nil":
		var missing *plugin.ServeConfig
		missing.Plugins = nil
	case "deadlock":
		select {}
	default:
		panic("no cheese today")
	}
}

func negotiated(arguments []string) (map[int]plugin.PluginSet, error) {
	list := "2,3"
	if len(arguments) > 0 {
		list = arguments[0]
	}
	versions := map[int]plugin.PluginSet{}
	for _, item := range strings.Split(list, ",") {
		version, err := strconv.Atoi(item)
		if err != nil {
			return nil, err
		}
		versions[version] = plugin.PluginSet{"kv": peer.NegotiatedKVService(version)}
	}
	return versions, nil
}

// pretend does what no proper plugin does.
func pretend(mode string, arguments []string) error {
	text := ""
	if len(arguments) > 0 {
		text = arguments[len(arguments)-1]
	}
	switch mode {
	case "print-and-block":
		if _, err := os.Stdout.WriteString(text); err != nil {
			return err
		}
		time.Sleep(forever)
	case "print-and-exit":
		if len(arguments) != 2 {
			return fmt.Errorf("print-and-exit needs CODE and TEXT")
		}
		code, err := strconv.Atoi(arguments[0])
		if err != nil {
			return err
		}
		if _, err := os.Stdout.WriteString(text); err != nil {
			return err
		}
		os.Exit(code)
	case "hold":
		millis, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		time.Sleep(min(time.Duration(millis)*time.Millisecond, forever))
	}
	return nil
}

// floodingServer makes servers that start the flood at the first streaming
// call. Hosts open the stdio and broker streams right after connecting, so
// that is a sure sign that the handshake line was read.
func floodingServer(process peer.ProcessFiles) func([]grpc.ServerOption) *grpc.Server {
	start := make(chan struct{}, 1)
	go func() {
		<-start
		flood(process)
	}()
	intercept := func(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		select {
		case start <- struct{}{}:
		default:
		}
		return handler(service, stream)
	}
	return func(options []grpc.ServerOption) *grpc.Server {
		return peer.NewServer(append(options, grpc.ChainStreamInterceptor(intercept)))
	}
}

func flood(process peer.ProcessFiles) {
	const block, blocks = 1 << 20, 100
	data := make([]byte, block)
	for i := range data {
		data[i] = '#'
	}
	for range blocks {
		if _, err := process.Stdout.Write(data); err != nil {
			process.Logger.Error("flood stopped", "error", err)
			return
		}
	}
	process.Logger.Info("flood done", "bytes", block*blocks)
}
