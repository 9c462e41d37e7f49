package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"outboard.dev/interop/internal/pb/probepb"
	"outboard.dev/interop/internal/peer"
)

// many has count servers on each side and the other side dial them: one after
// another, alternately, or with how=at-once all of them together. With
// drop=while-dialled the plugin stops serving its own meanwhile. Then the
// broker must work as ever.
func many(ctx context.Context, h *host) (findings, error) {
	session, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	agreed := newTally()
	ours, err := peer.ServeNumbered(ctx, session.Broker, h.number("count", 100), agreed.add)
	if err != nil {
		return nil, err
	}
	accepted, err := client.BrokerAcceptMany(ctx, &probepb.BrokerCount{Count: uint32(len(ours))})
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	theirs := accepted.Ids

	plugin := func(ids []uint32, atOnce bool) ([]*probepb.BrokerDialled, error) {
		reply, err := client.BrokerDialMany(ctx, &probepb.BrokerDialManyRequest{Ids: ids, AtOnce: atOnce})
		if err != nil {
			return nil, fmt.Errorf("the plugin dials us: %w", err)
		}
		return reply.Dialled, nil
	}
	var byPlugin, byUs []*probepb.BrokerDialled
	if h.text("how", "in-turn") == "at-once" {
		var failed [2]error
		var dialling sync.WaitGroup
		dialling.Go(func() { byPlugin, failed[0] = plugin(ours, true) })
		dialling.Go(func() { byUs = peer.DialNumbered(ctx, session.Broker, theirs, true) })
		if h.text("drop", "never") == "while-dialled" {
			dialling.Go(func() { failed[1] = unserve(ctx, client, theirs) })
		}
		dialling.Wait()
		if err := errors.Join(failed[:]...); err != nil {
			return nil, err
		}
	} else {
		for i := range ours {
			one, err := plugin(ours[i:i+1], false)
			if err != nil {
				return nil, err
			}
			byPlugin = append(byPlugin, one...)
			byUs = append(byUs, peer.DialNumbered(ctx, session.Broker, theirs[i:i+1], false)...)
		}
	}
	for _, dialled := range append(byUs, byPlugin...) {
		if dialled.Error == "" && dialled.Alpn != "" {
			agreed.add(dialled.Alpn)
		}
	}
	found := findings{
		"by_plugin": judged(ours, byPlugin),
		"by_host":   judged(theirs, byUs),
		"agreed":    agreed.counts(),
	}
	if err := echoNumber(ctx, client, 1); err != nil {
		return found, fmt.Errorf("afterwards: %w", err)
	}
	if _, err := brokerBothWays(ctx, h); err != nil {
		return found, fmt.Errorf("afterwards: %w", err)
	}
	return found, nil
}

func unserve(ctx context.Context, client probepb.ProbeClient, ids []uint32) error {
	for _, id := range ids {
		if _, err := client.BrokerUnserve(ctx, &probepb.BrokerId{Id: id}); err != nil {
			return fmt.Errorf("unserve %d: %w", id, err)
		}
	}
	return nil
}

// judged says how many dials reached whom they were meant for, how many
// another one, and why the others failed.
func judged(ids []uint32, dialled []*probepb.BrokerDialled) findings {
	reached, swapped, failed := 0, 0, newTally()
	for i, one := range dialled {
		switch {
		case one.Error != "":
			failed.add(one.Error)
		case one.Answer == int64(ids[i]):
			reached++
		default:
			swapped++
		}
	}
	return findings{"reached": reached, "swapped": swapped, "failed": failed.counts()}
}

// tally counts texts.
type tally struct {
	mu   sync.Mutex
	seen map[string]int
}

func newTally() *tally { return &tally{seen: map[string]int{}} }

func (t *tally) add(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen[text]++
}

func (t *tally) counts() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen
}
