package peer

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"outboard.dev/interop/internal/pb/probepb"
)

// sleeps counts how Sleep calls went.
type sleeps struct {
	mu   sync.Mutex
	seen probepb.Observed
}

// Sleep waits and records how the wait ended.
func (p *Probe) Sleep(ctx context.Context, request *probepb.SleepRequest) (*probepb.Nothing, error) {
	p.sleeps.record(func(seen *probepb.Observed) {
		seen.Started++
		deadline, ok := ctx.Deadline()
		seen.HadDeadline, seen.RemainingMillis = ok, 0
		if ok {
			seen.RemainingMillis = time.Until(deadline).Milliseconds()
		}
	})
	timer := time.NewTimer(time.Duration(request.Millis) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		p.sleeps.record(func(seen *probepb.Observed) { seen.Finished++ })
		return &probepb.Nothing{}, nil
	case <-ctx.Done():
		p.sleeps.record(func(seen *probepb.Observed) { seen.Cancelled++ })
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// Observe returns the counts so far.
func (p *Probe) Observe(context.Context, *probepb.Nothing) (*probepb.Observed, error) {
	reply := &probepb.Observed{}
	p.sleeps.record(func(seen *probepb.Observed) {
		reply.Started, reply.Finished, reply.Cancelled = seen.Started, seen.Finished, seen.Cancelled
		reply.HadDeadline, reply.RemainingMillis = seen.HadDeadline, seen.RemainingMillis
	})
	return reply, nil
}

func (s *sleeps) record(update func(*probepb.Observed)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	update(&s.seen)
}
