// Command go-yamux-peer is one end of a session of hashicorp/yamux, without anything of go-plugin:
//
//	go-yamux-peer client|server SOCKET STREAMS BYTES
//
// It connects to the unix socket, opens so many streams that carry so many bytes each way all together,
// and serves those that the other end opens. A stream begins with a head that says what it is for, see
// the constants. It ends with the session.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// What a stream is for. Whoever opens it says so.
const (
	turns    = 0 // bytes there, then as many back
	both     = 1 // bytes in both directions at once
	reset    = 2 // the opener resets it in the middle
	leave    = 3 // the opener finishes it at once, and the other end never does
	download = 4 // bytes back, which are read slowly
	upload   = 5 // bytes there, which are read slowly
	report   = 9 // how the streams of both went, in JSON; the length is how many are to be served first
)

const (
	atOnce     = 32
	period     = 251
	slowPiece  = 4 << 10
	slowPause  = 2 * time.Millisecond
	closeAfter = time.Second
)

var pattern = func() []byte {
	all := make([]byte, 64<<10+period)
	for i := range all {
		all[i] = byte(i % period)
	}
	return all
}()

type head struct {
	Kind   uint32
	Seed   uint32
	Length uint64
}

func send(stream *yamux.Stream, seed uint32, length uint64) error {
	for done := uint64(0); done < length; {
		from := (uint64(seed) + done) % period
		count := min(length-done, 64<<10)
		written, err := stream.Write(pattern[from : from+count])
		if err != nil {
			return fmt.Errorf("write at %d of %d: %w", done, length, err)
		}
		done += uint64(written)
	}
	return nil
}

// expect reads up to the end of the stream, in pieces of at most so many bytes.
func expect(stream *yamux.Stream, seed uint32, length uint64, piece int, pause time.Duration) error {
	buffer := make([]byte, piece)
	done := uint64(0)
	for {
		count, err := stream.Read(buffer)
		from := (uint64(seed) + done) % period
		if !bytes.Equal(buffer[:count], pattern[from:from+uint64(count)]) {
			return fmt.Errorf("wrong bytes at %d of %d", done, length)
		}
		done += uint64(count)
		if err == io.EOF && done == length {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read at %d of %d: %w", done, length, err)
		}
		time.Sleep(pause)
	}
}

func expectAll(stream *yamux.Stream, seed uint32, length uint64) error {
	return expect(stream, seed, length, 64<<10, 0)
}

// exchange sends and expects at once.
func exchange(stream *yamux.Stream, ours, theirs uint32, length uint64) error {
	sent := make(chan error, 1)
	go func() {
		err := send(stream, ours, length)
		sent <- errors.Join(err, stream.Close())
	}()
	err := expectAll(stream, theirs, length)
	return errors.Join(err, <-sent)
}

func open(session *yamux.Session, what head) error {
	stream, err := session.OpenStream()
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := binary.Write(stream, binary.BigEndian, what); err != nil {
		return err
	}
	switch what.Kind {
	case turns:
		if err := send(stream, what.Seed, what.Length); err != nil {
			return err
		}
		if err := stream.Close(); err != nil {
			return err
		}
		return expectAll(stream, what.Seed+1, what.Length)
	case both:
		return exchange(stream, what.Seed, what.Seed+1, what.Length)
	case leave:
		return nil
	default:
		return fmt.Errorf("streams of kind %d are not opened here", what.Kind)
	}
}

func (s *state) serve(stream *yamux.Stream) (wasReset bool, err error) {
	defer stream.Close()
	var what head
	if err := binary.Read(stream, binary.BigEndian, &what); err != nil {
		return errors.Is(err, yamux.ErrConnectionReset), err
	}
	switch what.Kind {
	case turns:
		if err := expectAll(stream, what.Seed, what.Length); err != nil {
			return false, err
		}
		return false, send(stream, what.Seed+1, what.Length)
	case both:
		return false, exchange(stream, what.Seed+1, what.Seed, what.Length)
	case reset:
		err := expectAll(stream, what.Seed, what.Length)
		return errors.Is(err, yamux.ErrConnectionReset), err
	case download:
		if err := send(stream, what.Seed, what.Length); err != nil {
			return false, err
		}
		if err := stream.Close(); err != nil {
			return false, err
		}
		return false, expectAll(stream, 0, 0)
	case upload:
		return false, expect(stream, what.Seed, what.Length, slowPiece, slowPause)
	case report:
		return false, s.report(stream, what.Length)
	default:
		return false, fmt.Errorf("a stream of kind %d", what.Kind)
	}
}

// told is what the report says.
type told struct {
	Opened int64    `json:"opened"`
	Served int64    `json:"served"`
	Resets int64    `json:"resets"`
	Failed []string `json:"failed"`
}

type state struct {
	opened, served, resets atomic.Int64
	// Closed when this end's streams are over.
	over chan struct{}

	mutex  sync.Mutex
	failed []string
}

func (s *state) fail(what string, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.failed) < 20 {
		s.failed = append(s.failed, fmt.Sprintf("%s: %v", what, err))
	}
}

func (s *state) accept(session *yamux.Session) {
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		go func() {
			id := stream.StreamID()
			wasReset, err := s.serve(stream)
			if wasReset {
				s.resets.Add(1)
			} else if err != nil {
				s.fail(fmt.Sprintf("served stream %d", id), err)
			}
			s.served.Add(1)
		}()
	}
}

func (s *state) openAll(session *yamux.Session, streams int, length uint64) {
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for number := range streams {
		slots <- struct{}{}
		all.Add(1)
		go func() {
			defer func() {
				<-slots
				all.Done()
			}()
			what := head{Kind: uint32(number % 2), Seed: uint32(number), Length: length}
			switch {
			case number%50 == 7:
				what.Kind = leave
			case number%10 == 0:
				// As much as nine others, which have the half of theirs.
				what.Length = 5*length + length/2
			default:
				what.Length = length / 2
			}
			if err := open(session, what); err != nil {
				s.fail(fmt.Sprintf("opened stream for %+v", what), err)
			}
			s.opened.Add(1)
		}()
	}
	all.Wait()
}

// report waits until this end's streams are over and so many of the other's.
func (s *state) report(stream *yamux.Stream, served uint64) error {
	<-s.over
	for limit := time.Now().Add(time.Minute); uint64(s.served.Load()) < served; {
		if time.Now().After(limit) {
			s.fail("report", fmt.Errorf("%d of %d streams were served", s.served.Load(), served))
			break
		}
		time.Sleep(time.Millisecond)
	}
	s.mutex.Lock()
	text, err := json.Marshal(told{s.opened.Load(), s.served.Load(), s.resets.Load(), s.failed})
	s.mutex.Unlock()
	if err != nil {
		return err
	}
	_, err = stream.Write(text)
	return err
}

func run(role, path, streams, total string) error {
	count, err := strconv.Atoi(streams)
	if err != nil {
		return err
	}
	length, err := strconv.ParseUint(total, 10, 64)
	if err != nil {
		return err
	}
	connection, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	config := yamux.DefaultConfig()
	config.StreamCloseTimeout = closeAfter
	// It warns of data for streams that it gave up, of which there are many on purpose.
	config.LogOutput = io.Discard
	start := yamux.Server
	if role == "client" {
		start = yamux.Client
	}
	session, err := start(connection, config)
	if err != nil {
		return err
	}
	s := state{over: make(chan struct{})}
	go func() {
		s.openAll(session, count, length/uint64(max(count, 1)))
		close(s.over)
	}()
	s.accept(session)
	return nil
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: go-yamux-peer client|server SOCKET STREAMS BYTES")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		log.Fatal(err)
	}
}
