package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/status"

	"outboard.dev/interop/internal/pb/counterpb"
	"outboard.dev/interop/internal/pb/probepb"
	"outboard.dev/interop/internal/peer"
)

// counter adds twice; each time the plugin dials back to have us add.
func counter(ctx context.Context, h *host) (findings, error) {
	session, err := h.dispense("counter")
	if err != nil {
		return nil, err
	}
	client := counterpb.NewCounterClient(session.Conn)
	for _, value := range []int64{5, 6} {
		id := peer.ServeAddHelper(session.Broker)
		request := &counterpb.CounterPutRequest{AddServer: id, Key: "count", Value: value}
		if _, err := client.Put(ctx, request); err != nil {
			return nil, fmt.Errorf("put %d: %w", value, err)
		}
	}
	reply, err := client.Get(ctx, &counterpb.CounterGetRequest{Key: "count"})
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	return findings{"value": reply.Value}, nil
}

// brokerBothWays has several brokered servers at once in each direction. The
// dials go one after another, as multiplexed brokers require.
func brokerBothWays(ctx context.Context, h *host) (findings, error) {
	session, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	const servers = 3
	var ours, theirs []uint32
	for range servers {
		ours = append(ours, peer.ServeAddHelper(session.Broker))
		reply, err := client.BrokerAccept(ctx, &probepb.Nothing{})
		if err != nil {
			return nil, fmt.Errorf("accept: %w", err)
		}
		theirs = append(theirs, reply.Id)
	}
	for i := range servers {
		a, b := int64(i), int64(100)
		reply, err := client.BrokerDial(ctx, &probepb.BrokerDialRequest{Id: ours[i], A: a, B: b})
		if err != nil {
			return nil, fmt.Errorf("the plugin dials us: %w", err)
		}
		if reply.R != a+b {
			return nil, fmt.Errorf("the plugin got %d from us, not %d", reply.R, a+b)
		}
		sum, err := session.DialSum(ctx, theirs[i], a, -b)
		if err != nil {
			return nil, fmt.Errorf("we dial the plugin: %w", err)
		}
		if sum != a-b {
			return nil, fmt.Errorf("we got %d from the plugin, not %d", sum, a-b)
		}
	}
	return findings{"host_served": servers, "plugin_served": servers}, nil
}

// brokerTimeout dials ids on which nobody accepts, and then uses the broker.
func brokerTimeout(ctx context.Context, h *host) (findings, error) {
	session, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	const nobody = 4242
	begin := time.Now()
	_, err = client.BrokerDial(ctx, &probepb.BrokerDialRequest{Id: nobody})
	if err == nil {
		return nil, fmt.Errorf("the plugin dialled an id without a server")
	}
	theirs := time.Since(begin)
	found := findings{
		"plugin_millis": theirs.Milliseconds(),
		"plugin_error":  status.Convert(err).Message(),
	}
	if _, err := session.DialSum(ctx, nobody, 1, 1); err == nil {
		return found, fmt.Errorf("we dialled an id without a server")
	}
	if _, err := brokerBothWays(ctx, h); err != nil {
		return found, fmt.Errorf("after the timeouts: %w", err)
	}
	return found, nil
}
