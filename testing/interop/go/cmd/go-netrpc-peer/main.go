// Command go-netrpc-peer is a plugin of go-plugin over net/rpc, and with the
// path of a plugin behind it a host that calls one. The host prints what came
// of it as lines of JSON.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

var handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "BASIC_PLUGIN",
	MagicCookieValue: "hello",
}

// What is called on either side.
type service struct {
	broker *plugin.MuxBroker
}

type Point struct{ X, Y int }

func (s *service) Greet(_ any, answer *string) error {
	*answer = "Hello!"
	return nil
}

func (s *service) Double(number int, answer *int) error {
	if number > 1<<40 {
		return errors.New("it is too large")
	}
	*answer = 2 * number
	return nil
}

func (s *service) Mirror(from Point, answer *Point) error {
	*answer = Point{-from.X, -from.Y}
	return nil
}

func (s *service) Echo(bytes []byte, answer *[]byte) error {
	*answer = bytes
	return nil
}

func (s *service) PrintKV(values map[string]any, answer *string) error {
	bytes, _ := values["value"].([]byte)
	*answer = fmt.Sprintf("%v=%s", values["key"], bytes)
	return nil
}

func (s *service) Print(text string, _ *struct{}) error {
	fmt.Fprintln(os.Stdout, text)
	fmt.Fprintln(os.Stderr, text)
	return nil
}

// Its answer cannot be encoded.
func (s *service) Unsendable(_ any, answer *any) error {
	*answer = struct{ Hidden chan int }{}
	return nil
}

// Reads all that comes from whoever accepts on the id.
func (s *service) Dial(id uint32, answer *string) error {
	stream, err := s.broker.Dial(id)
	if err != nil {
		return err
	}
	defer stream.Close()
	bytes, err := io.ReadAll(stream)
	*answer = string(bytes)
	return err
}

// Serves the same on an id of its own.
func (s *service) Serve(_ any, answer *uint32) error {
	*answer = s.broker.NextId()
	go s.broker.AcceptAndServe(*answer, &service{s.broker})
	return nil
}

type provided struct{}

func (provided) Server(broker *plugin.MuxBroker) (any, error) {
	return &service{broker}, nil
}

type caller struct {
	client *rpc.Client
	broker *plugin.MuxBroker
}

func (provided) Client(broker *plugin.MuxBroker, client *rpc.Client) (any, error) {
	return &caller{client, broker}, nil
}

var plugins = plugin.PluginSet{"greeter": provided{}}

func say(what string, value any, err error) {
	line := map[string]any{"what": what, "value": value}
	if err != nil {
		line["error"] = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(line)
}

func (c *caller) all() {
	var text string
	err := c.client.Call("Plugin.Greet", new(any), &text)
	say("greet", text, err)
	var number int
	err = c.client.Call("Plugin.Double", 21, &number)
	say("double", number, err)
	err = c.client.Call("Plugin.Double", 1<<50, &number)
	say("error", nil, err)
	err = c.client.Call("Plugin.Nope", 1, &number)
	say("nope", nil, err)
	err = c.client.Call("Plugin.Double", "a text", &number)
	say("misfit", nil, err)
	var mirrored Point
	err = c.client.Call("Plugin.Mirror", Point{1, 0}, &mirrored)
	say("mirror", mirrored, err)
	bytes := make([]byte, 1<<20)
	var echoed []byte
	err = c.client.Call("Plugin.Echo", bytes, &echoed)
	say("echo", len(echoed), err)

	// Many calls at once.
	calls := make([]*rpc.Call, 100)
	answers := make([]int, len(calls))
	for i := range calls {
		calls[i] = c.client.Go("Plugin.Double", i, &answers[i], make(chan *rpc.Call, 1))
	}
	right := 0
	for i, call := range calls {
		<-call.Done
		if call.Error == nil && answers[i] == 2*i {
			right++
		}
	}
	say("many", right, nil)

	// What the plugin dials here, and what it serves there.
	id := c.broker.NextId()
	go func() {
		stream, err := c.broker.Accept(id)
		if err != nil {
			return
		}
		defer stream.Close()
		_, _ = stream.Write([]byte("from the host"))
	}()
	err = c.client.Call("Plugin.Dial", id, &text)
	say("dial", text, err)
	err = c.client.Call("Plugin.Serve", new(any), &id)
	if err == nil {
		var stream io.ReadWriteCloser
		stream, err = c.broker.Dial(id)
		if err == nil {
			client := rpc.NewClient(stream)
			err = client.Call("Plugin.Double", 4, &number)
			_ = client.Close()
		}
	}
	say("serve", number, err)
	err = c.client.Call("Plugin.Print", "printed", &struct{}{})
	say("print", nil, err)
	_ = c.client.Close()
}

// Collects what is printed, and tells when it is what is waited for.
type collects struct {
	text chan string
}

func (c *collects) Write(bytes []byte) (int, error) {
	c.text <- string(bytes)
	return len(bytes), nil
}

func host(path string) error {
	stdout, stderr := &collects{make(chan string, 16)}, &collects{make(chan string, 16)}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugins,
		Cmd:              exec.Command(path),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolNetRPC},
		Logger:           hclog.NewNullLogger(),
		SyncStdout:       stdout,
		SyncStderr:       stderr,
	})
	defer client.Kill()
	protocol, err := client.Client()
	if err != nil {
		return err
	}
	say("ping", nil, protocol.Ping())
	_, err = protocol.Dispense("nothing")
	say("unknown", nil, err)
	for range 2 {
		raw, err := protocol.Dispense("greeter")
		if err != nil {
			return err
		}
		raw.(*caller).all()
	}
	for _, from := range []*collects{stdout, stderr} {
		select {
		case text := <-from.text:
			say("printed", text, nil)
		case <-time.After(10 * time.Second):
			say("printed", nil, errors.New("nothing came"))
		}
	}
	client.Kill()
	say("exited", client.Exited(), nil)
	return nil
}

func main() {
	if len(os.Args) > 1 {
		if err := host(os.Args[1]); err != nil {
			say("failed", nil, err)
			os.Exit(1)
		}
		return
	}
	plugin.Serve(&plugin.ServeConfig{HandshakeConfig: handshake, Plugins: plugins})
}
