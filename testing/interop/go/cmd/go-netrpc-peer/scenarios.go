package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"strings"
	"time"

	"outboard.dev/interop/internal/peer"
)

// talk has two instances at once, the second of which is at work while the
// first is used and closed.
func calls(_ *options, r *running) error {
	protocol, err := r.client.Client()
	if err != nil {
		return err
	}
	say("ping", nil, protocol.Ping())
	_, err = protocol.Dispense("nothing")
	say("unknown", nil, err)
	// That was this side's own word; the plugin's is this.
	first, err := r.dispense()
	if err != nil {
		return err
	}
	second, err := r.dispense()
	if err != nil {
		return err
	}
	var text string
	waiting := second.client.Go("Plugin.Hold", "second", &text, nil)
	first.all()
	_ = first.client.Close()
	err = second.client.Call("Plugin.LetGo", "second", &struct{}{})
	if err != nil {
		return err
	}
	<-waiting.Done
	say("second", text, waiting.Error)
	second.all()
	return nil
}

// talk is calls, and what they had the plugin print.
func talk(o *options, r *running) error {
	if err := calls(o, r); err != nil {
		return err
	}
	for _, from := range []*grows{r.stdout, r.stderr} {
		printed, err := from.until(func(text string) bool { return strings.Count(text, "\n") == 2 })
		say("printed", printed, err)
	}
	return nil
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
	err = c.client.Call("Other.Double", 1, &number)
	say("other", nil, err)
	err = c.client.Call("Plugin.Double", "a text", &number)
	say("misfit", nil, err)
	var mirrored Point
	err = c.client.Call("Plugin.Mirror", Point{1, 0}, &mirrored)
	say("mirror", mirrored, err)
	values := map[string]any{"key": "k", "value": []byte("v")}
	err = c.client.Call("Plugin.PrintKV", values, &text)
	say("map", text, err)
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

	// Answers in another order than the calls.
	done := make(chan *rpc.Call, 3)
	names := [3]string{}
	prefix := fmt.Sprintf("%p", c)
	for i := range names {
		c.client.Go("Plugin.Hold", fmt.Sprint(prefix, i), &names[i], done)
	}
	var order []string
	for i := len(names) - 1; i >= 0; i-- {
		err = c.client.Call("Plugin.LetGo", fmt.Sprint(prefix, i), &struct{}{})
		if err != nil {
			break
		}
		call := <-done
		order = append(order, strings.TrimPrefix(*call.Reply.(*string), prefix))
	}
	say("order", strings.Join(order, ""), err)
	say("print", nil, c.client.Call("Plugin.Print", "printed", &struct{}{}))
}

// nilUnknown calls what there is not, with an interface that holds nothing. A
// plugin of go-plugin never answers that.
func nilUnknown(_ *options, r *running) error {
	c, err := r.dispense()
	if err != nil {
		return err
	}
	say("nope", nil, c.client.Call("Plugin.Nope", new(any), &struct{}{}))
	var text string
	err = c.client.Call("Plugin.Greet", new(any), &text)
	say("greet", text, err)
	return nil
}

// brokered is about what either side offers to the other one.
func brokered(_ *options, r *running) error {
	c, err := r.dispense()
	if err != nil {
		return err
	}
	id := c.broker.NextId()
	go func() {
		stream, err := c.broker.Accept(id)
		if err != nil {
			return
		}
		defer stream.Close()
		_, _ = stream.Write([]byte("from the host"))
	}()
	var text string
	err = c.client.Call("Plugin.Dial", id, &text)
	say("dial", text, err)
	id = c.broker.NextId()
	go c.broker.AcceptAndServe(id, &service{c.broker})
	var number int
	err = c.client.Call("Plugin.Call", id, &number)
	say("callback", number, err)
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

	// What nobody serves, on either side, at once.
	nobodys := c.client.Go("Plugin.Call", uint32(4242), &number, nil)
	_, err = c.broker.Dial(4242)
	say("nobody there", nil, err)
	<-nobodys.Done
	say("nobody here", nil, nobodys.Error)
	err = c.client.Call("Plugin.Greet", new(any), &text)
	say("greet", text, err)
	return nil
}

const (
	fast = 100 << 20
	slow = 4 << 20
)

// streams carries much in each direction, beside a stream that nobody reads
// until the fast one is through.
func streams(_ *options, r *running) error {
	c, err := r.dispense()
	if err != nil {
		return err
	}
	// From the plugin.
	slowID, fastID := c.broker.NextId(), c.broker.NextId()
	pours := []*rpc.Call{
		c.client.Go("Plugin.Pour", Stream{ID: slowID, Count: slow}, &struct{}{}, nil),
		c.client.Go("Plugin.Pour", Stream{ID: fastID, Count: fast}, &struct{}{}, nil),
	}
	slowly, err := c.broker.Accept(slowID)
	if err != nil {
		return err
	}
	quickly, err := c.broker.Accept(fastID)
	if err != nil {
		return err
	}
	// Its end comes after that of the fast one.
	for what, stream := range []io.ReadCloser{quickly, slowly} {
		count, err := take(stream, func() {})
		say([]string{"fast here", "slow here"}[what], count, err)
		_ = stream.Close()
	}
	for _, pour := range pours {
		if <-pour.Done; pour.Error != nil {
			return pour.Error
		}
	}
	// From here.
	slowID, fastID = c.broker.NextId(), c.broker.NextId()
	var slowCount, fastCount int
	slowTake := c.client.Go("Plugin.Take", Stream{ID: slowID, Hold: "slow"}, &slowCount, nil)
	fastTake := c.client.Go("Plugin.Take", Stream{ID: fastID}, &fastCount, nil)
	if slowly, err = c.broker.Accept(slowID); err != nil {
		return err
	}
	poured := make(chan error, 1)
	go func() {
		err := pour(slowly, slow)
		_ = slowly.Close()
		poured <- err
	}()
	if quickly, err = c.broker.Accept(fastID); err != nil {
		return err
	}
	err = pour(quickly, fast)
	_ = quickly.Close()
	if err != nil {
		return err
	}
	<-fastTake.Done
	say("fast there", fastCount, fastTake.Error)
	select {
	case <-poured:
		return fmt.Errorf("the slow stream was taken before it was read")
	default:
	}
	if err := c.client.Call("Plugin.LetGo", "slow", &struct{}{}); err != nil {
		return err
	}
	<-slowTake.Done
	say("slow there", slowCount, slowTake.Error)
	return <-poured
}

// held has a call in flight.
func (c *caller) held(name string) (*rpc.Call, error) {
	call := c.client.Go("Plugin.Hold", name, new(string), make(chan *rpc.Call, 1))
	return call, c.client.Call("Plugin.Begun", name, &struct{}{})
}

// crash is the plugin's end in mid-call.
func crash(_ *options, r *running) error {
	c, err := r.dispense()
	if err != nil {
		return err
	}
	waiting, err := c.held("crash")
	if err != nil {
		return err
	}
	say("asked", nil, c.client.Call("Plugin.Exit", 7, &struct{}{}))
	<-waiting.Done
	say("waiting", nil, waiting.Error)
	_, err = r.logs.until(has("plugin process exited"))
	say("exit", r.exit(), err)
	return nil
}

// killed is the host's end of a plugin in mid-call.
func killed(_ *options, r *running) error {
	c, err := r.dispense()
	if err != nil {
		return err
	}
	waiting, err := c.held("kill")
	if err != nil {
		return err
	}
	say("killed", r.kill(), nil)
	select {
	case <-waiting.Done:
		say("waiting", nil, waiting.Error)
		return nil
	case <-time.After(soon):
		return fmt.Errorf("the call goes on")
	}
}

// quits starts and ends plugins, twenty times. go-plugin uses force on one
// whose answer to the request to quit is lost.
func quits(o *options, _ *running) error {
	ends := map[string]int{}
	for range 20 {
		r := o.launch()
		c, err := r.dispense()
		if err != nil {
			return err
		}
		var text string
		if err := c.client.Call("Plugin.Greet", new(any), &text); err != nil {
			return err
		}
		ends[r.kill()]++
	}
	say("ends", ends, nil)
	return nil
}

// lingers ends a plugin that does not end.
func lingers(_ *options, r *running) error {
	if _, err := r.dispense(); err != nil {
		return err
	}
	say("killed", r.kill(), nil)
	return nil
}

// output is what a plugin prints: before it serves, beside calls, and much.
func output(_ *options, r *running) error {
	c, err := r.dispense()
	if err != nil {
		return err
	}
	if err := c.client.Call("Plugin.Print", "between", &struct{}{}); err != nil {
		return err
	}
	const lines = 1 << 14
	if err := c.client.Call("Plugin.PrintMany", lines, &struct{}{}); err != nil {
		return err
	}
	last := fmt.Sprintf("%063d\n", lines-1)
	for what, from := range r.printed() {
		text, err := from.until(func(text string) bool { return strings.HasSuffix(text, last) })
		if err != nil {
			return fmt.Errorf("%s has %d bytes: %w", what, len(text), err)
		}
	}
	// Right before the end.
	if err := c.client.Call("Plugin.Print", "last", &struct{}{}); err != nil {
		return err
	}
	r.client.Kill()
	for what, from := range r.printed() {
		var said []string
		many := 0
		for _, line := range strings.Split(strings.TrimSuffix(from.now(), "\n"), "\n") {
			if line == fmt.Sprintf("%063d", many) {
				many++
			} else {
				said = append(said, line)
			}
		}
		say(what, map[string]any{"lines": said, "many": many}, nil)
	}
	say("before", strings.Contains(r.logs.now(), "before, on stderr"), nil)
	return nil
}

// missed is what a plugin has printed and logged while no host was there, up
// to its line 1999.
func missed(_ *options, r *running) error {
	if _, err := r.dispense(); err != nil {
		return err
	}
	stdout, err := r.stdout.until(has("out 1999\n"))
	if err != nil {
		return err
	}
	stderr, err := r.stderr.until(func(text string) bool {
		return has("err 1999\n")(text) && has("record 1999\"")(text)
	})
	say("stdout", stdout, nil)
	say("stderr", stderr, nil)
	return err
}

// logs is what a plugin logs.
func logs(_ *options, r *running) error {
	c, err := r.dispense()
	if err != nil {
		return err
	}
	if err := c.client.Call("Plugin.Log", "logged", &struct{}{}); err != nil {
		return err
	}
	text, err := r.logs.until(func(text string) bool {
		return strings.Count(text, `"@message":"logged"`) == 5
	})
	if err != nil {
		return err
	}
	for _, line := range strings.Split(text, "\n") {
		var record map[string]any
		if json.Unmarshal([]byte(line), &record) == nil && record["@message"] == "logged" {
			fields := map[string]any{}
			for _, name := range []string{"@level", "count", "text", "flag"} {
				fields[name] = record[name]
			}
			say("record", fields, nil)
		}
	}
	return nil
}

// versions says which was negotiated, and calls what that has.
func versions(_ *options, r *running) error {
	protocol, err := r.client.Client()
	if err != nil {
		say("refused", nil, err)
		return nil
	}
	say("version", r.client.NegotiatedVersion(), nil)
	raw, err := protocol.Dispense("greeter")
	if err != nil {
		return err
	}
	switch found := raw.(type) {
	case *caller:
		var number int
		err := found.client.Call("Plugin.Double", 21, &number)
		say("net/rpc", number, err)
	case *peer.Session:
		number, err := add(found)
		say("gRPC", number, err)
	default:
		fmt.Fprintf(os.Stderr, "a %T\n", raw)
	}
	return nil
}

// insecurable wants an error, of the start or of the first call.
func insecurable(_ *options, r *running) error {
	begin := time.Now()
	c, err := r.dispense()
	if err == nil {
		err = c.client.Call("Plugin.Greet", new(any), new(string))
	}
	if err == nil {
		return fmt.Errorf("the call went through")
	}
	say("refused", time.Since(begin).Seconds() < 20, nil)
	return nil
}
