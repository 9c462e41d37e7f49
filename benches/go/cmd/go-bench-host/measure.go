package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"outboard.dev/benches/internal/benchpb"
	"outboard.dev/benches/internal/peer"
)

func (h *host) start() (answer, error) {
	h.stopAll()
	r, err := h.launch()
	if err != nil {
		return nil, err
	}
	h.running = r
	return answer{"host": os.Getpid(), "plugin": r.pid()}, nil
}

func (h *host) stop() (answer, error) {
	if h.running == nil {
		return nil, errNotStarted
	}
	took := h.running.end()
	h.running = nil
	return answer{"shutdown": took}, nil
}

func (h *host) dispense(count int) (answer, error) {
	launches := []answer{}
	for range count {
		r, err := h.launch()
		if err != nil {
			return nil, err
		}
		shutdown := r.end()
		launches = append(launches, answer{"total": r.total, "phases": r.phases, "shutdown": shutdown})
	}
	return answer{"launches": launches}, nil
}

func (h *host) unary(size, count int) (answer, error) {
	if h.running == nil {
		return nil, errNotStarted
	}
	data := make([]byte, size)
	samples := make([]int64, 0, count)
	begin := time.Now()
	last := begin
	for range count {
		if err := h.running.echo(data); err != nil {
			return nil, err
		}
		now := time.Now()
		samples = append(samples, now.Sub(last).Nanoseconds())
		last = now
	}
	return answer{"samples": samples, "ns": last.Sub(begin).Nanoseconds()}, nil
}

func (h *host) load(size, callers, millis int) (answer, error) {
	if h.running == nil {
		return nil, errNotStarted
	}
	begin := time.Now()
	end := begin.Add(time.Duration(millis) * time.Millisecond)
	var calls atomic.Int64
	var failed atomic.Value
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			data := make([]byte, size)
			mine := int64(0)
			for time.Now().Before(end) {
				if err := h.running.echo(data); err != nil {
					failed.Store(err)
					return
				}
				mine++
			}
			calls.Add(mine)
		})
	}
	group.Wait()
	if err, ok := failed.Load().(error); ok {
		return nil, err
	}
	return answer{"calls": calls.Load(), "ns": time.Since(begin).Nanoseconds()}, nil
}

func (h *host) streaming() (benchpb.BenchClient, error) {
	if h.running == nil {
		return nil, errNotStarted
	}
	if h.running.grpc == nil {
		return nil, errors.New("unsupported: for gRPC only")
	}
	return h.running.grpc, nil
}

func (h *host) download(piece, bytes int) (answer, error) {
	client, err := h.streaming()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	request := &benchpb.Transfer{Bytes: uint64(bytes), Piece: uint32(piece)}
	stream, err := client.Download(context.Background(), request)
	if err != nil {
		return nil, err
	}
	got := 0
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		got += len(message.Data)
	}
	return answer{"bytes": got, "ns": time.Since(begin).Nanoseconds()}, nil
}

func (h *host) upload(piece, bytes int) (answer, error) {
	client, err := h.streaming()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	stream, err := client.Upload(context.Background())
	if err != nil {
		return nil, err
	}
	for sent := 0; sent < bytes; sent += piece {
		if err := stream.Send(&benchpb.Payload{Data: make([]byte, piece)}); err != nil {
			return nil, err
		}
	}
	taken, err := stream.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	return answer{"bytes": taken.Bytes, "ns": time.Since(begin).Nanoseconds()}, nil
}

func (h *host) dial(count int) (answer, error) {
	if _, err := h.streaming(); err != nil {
		return nil, err
	}
	samples := make([]int64, 0, count)
	total := int64(0)
	for range count {
		took, err := h.running.dial()
		if err != nil {
			return nil, err
		}
		samples = append(samples, took)
		total += took
	}
	return answer{"samples": samples, "ns": total}, nil
}

func (h *host) compute(callers, micros int) (answer, error) {
	client, err := h.streaming()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	var echo atomic.Int64
	var failed atomic.Value
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			work := &benchpb.Work{Micros: uint64(micros)}
			if _, err := client.Compute(context.Background(), work); err != nil {
				failed.Store(err)
			}
		})
	}
	all := make(chan struct{})
	go func() {
		defer close(all)
		begin := time.Now()
		if err := h.running.echo(make([]byte, 16)); err != nil {
			failed.Store(err)
		}
		echo.Store(time.Since(begin).Nanoseconds())
	}()
	group.Wait()
	took := time.Since(begin).Nanoseconds()
	<-all
	if err, ok := failed.Load().(error); ok {
		return nil, err
	}
	return answer{"ns": took, "echo": echo.Load()}, nil
}

func (h *host) plugins(count, rounds int) (answer, error) {
	begin := peer.Monotonic()
	var all []*running
	defer func() {
		for _, r := range all {
			r.end()
		}
	}()
	for range count {
		r, err := h.launch()
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	launched := peer.Monotonic()
	data := make([]byte, 16)
	for range rounds {
		for _, r := range all {
			if err := r.echo(data); err != nil {
				return nil, err
			}
		}
	}
	called := peer.Monotonic()
	return answer{
		"launch":   launched - begin,
		"calls":    count * rounds,
		"ns":       called - launched,
		"host_kib": residentKiB(),
	}, nil
}

// residentKiB is this process's resident set.
func residentKiB() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kib
		}
	}
	return 0
}
