package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"sync"
	"syscall"

	"github.com/hashicorp/go-plugin"
)

// What is called on either side.
type service struct {
	broker *plugin.MuxBroker
}

// Point is a struct that travels.
type Point struct{ X, Y int }

// Stream says what is to come or go on a stream of the broker.
type Stream struct {
	ID    uint32
	Count int
	// If not empty: after the first 64 KiB it is waited until this is let go.
	Hold string
}

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

// So many bytes.
func (s *service) Fill(count int, answer *[]byte) error {
	*answer = bytes.Repeat([]byte{1}, count)
	return nil
}

// Panics, which net/rpc does not catch.
func (s *service) Panic(text string, _ *struct{}) error {
	panic(text)
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

// Numbered lines of 64 bytes.
func (s *service) PrintMany(lines int, _ *struct{}) error {
	for _, out := range []*os.File{os.Stdout, os.Stderr} {
		var all bytes.Buffer
		for i := range lines {
			fmt.Fprintf(&all, "%063d\n", i)
		}
		if _, err := out.Write(all.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) Log(text string, _ *struct{}) error {
	fields := []any{"count", 7, "text", "a b", "flag", true}
	logger.Trace(text, fields...)
	logger.Debug(text, fields...)
	logger.Info(text, fields...)
	logger.Warn(text, fields...)
	logger.Error(text, fields...)
	return nil
}

// Its answer cannot be encoded.
func (s *service) Unsendable(_ any, answer *any) error {
	*answer = struct{ Hidden chan int }{}
	return nil
}

// Calls that wait to be let go, by name.
type holds struct {
	mu    sync.Mutex
	holds map[string]*hold
}

type hold struct {
	begun, letGo chan struct{}
	once, twice  sync.Once
}

var held = holds{holds: map[string]*hold{}}

func (h *holds) of(name string) *hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.holds[name] == nil {
		h.holds[name] = &hold{begun: make(chan struct{}), letGo: make(chan struct{})}
	}
	return h.holds[name]
}

func (h *hold) wait() {
	h.once.Do(func() { close(h.begun) })
	<-h.letGo
}

// Answers once it is let go.
func (s *service) Hold(name string, answer *string) error {
	held.of(name).wait()
	*answer = name
	return nil
}

// Answers once that has begun.
func (s *service) Begun(name string, _ *struct{}) error {
	<-held.of(name).begun
	return nil
}

func (s *service) LetGo(name string, _ *struct{}) error {
	hold := held.of(name)
	hold.twice.Do(func() { close(hold.letGo) })
	return nil
}

// Ends the process in mid-call.
func (s *service) Exit(code int, _ *struct{}) error {
	fmt.Fprintln(stderr, "leaving in mid-call")
	os.Exit(code)
	return nil
}

// Kills the process in mid-call.
func (s *service) Die(_ any, _ *struct{}) error {
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
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

// Calls what the other side serves under the id.
func (s *service) Call(id uint32, answer *int) error {
	stream, err := s.broker.Dial(id)
	if err != nil {
		return err
	}
	client := rpc.NewClient(stream)
	defer client.Close()
	return client.Call("Plugin.Double", 21, answer)
}

// Serves the same on an id of its own.
func (s *service) Serve(_ any, answer *uint32) error {
	*answer = s.broker.NextId()
	go s.broker.AcceptAndServe(*answer, &service{s.broker})
	return nil
}

// A block of the pattern that streams carry: each byte is its place modulo
// 251, which the length of a block is a multiple of.
var block = func() []byte {
	bytes := make([]byte, 251*256)
	for i := range bytes {
		bytes[i] = byte(i % 251)
	}
	return bytes
}()

// Writes so many bytes to whoever accepts on the id.
func (s *service) Pour(stream Stream, _ *struct{}) error {
	conn, err := s.broker.Dial(stream.ID)
	if err != nil {
		return err
	}
	defer conn.Close()
	return pour(conn, stream.Count)
}

// Reads so many bytes from whoever accepts on the id.
func (s *service) Take(stream Stream, answer *int) error {
	conn, err := s.broker.Dial(stream.ID)
	if err != nil {
		return err
	}
	defer conn.Close()
	*answer, err = take(conn, func() {
		if stream.Hold != "" {
			held.of(stream.Hold).wait()
		}
	})
	return err
}

func pour(to io.Writer, count int) error {
	for count > 0 {
		piece := block[:min(count, len(block))]
		if _, err := to.Write(piece); err != nil {
			return err
		}
		count -= len(piece)
	}
	return nil
}

// Reads to the end, and calls first after the first block.
func take(from io.Reader, first func()) (int, error) {
	buffer := make([]byte, len(block))
	for count := 0; ; {
		n, err := io.ReadFull(from, buffer)
		if !bytes.Equal(buffer[:n], block[:n]) {
			return 0, fmt.Errorf("other bytes than were sent, in the block at %d", count)
		}
		if count == 0 {
			first()
		}
		count += n
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return count, nil
		}
		if err != nil {
			return count, err
		}
	}
}
