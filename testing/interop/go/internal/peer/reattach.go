package peer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/hashicorp/go-plugin"
)

// record is a plugin.ReattachConfig as Terraform's SDK writes it.
type record struct {
	Protocol        string
	ProtocolVersion int
	Pid             int
	Test            bool
	Addr            struct{ Network, String string }
}

// Record is the JSON of a reattach configuration.
func Record(config *plugin.ReattachConfig) json.RawMessage {
	r := record{
		Protocol:        string(config.Protocol),
		ProtocolVersion: config.ProtocolVersion,
		Pid:             config.Pid,
		Test:            config.Test,
	}
	r.Addr.Network, r.Addr.String = config.Addr.Network(), config.Addr.String()
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return text
}

// Reattach is what such a text says.
func Reattach(text string) (*plugin.ReattachConfig, error) {
	var r record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return nil, err
	}
	config := &plugin.ReattachConfig{
		Protocol:        plugin.Protocol(r.Protocol),
		ProtocolVersion: r.ProtocolVersion,
		Pid:             r.Pid,
		Test:            r.Test,
	}
	var err error
	switch r.Addr.Network {
	case "unix":
		config.Addr, err = net.ResolveUnixAddr("unix", r.Addr.String)
	case "tcp":
		config.Addr, err = net.ResolveTCPAddr("tcp", r.Addr.String)
	default:
		err = fmt.Errorf("unknown network %q", r.Addr.Network)
	}
	return config, err
}

// ServeOrTest serves as a host's plugin, or with INTEROP_TEST_MODE as a test
// does: it prints its record on stdout and ends when its stdin does.
func ServeOrTest(config *plugin.ServeConfig) {
	if os.Getenv("INTEROP_TEST_MODE") == "" {
		plugin.Serve(config)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	records := make(chan *plugin.ReattachConfig, 1)
	closed := make(chan struct{})
	config.Test = &plugin.ServeTestConfig{
		Context:          ctx,
		ReattachConfigCh: records,
		CloseCh:          closed,
	}
	go plugin.Serve(config)
	fmt.Printf("%s\n", Record(<-records))
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	<-closed
}
