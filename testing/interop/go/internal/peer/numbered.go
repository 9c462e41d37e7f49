package peer

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpcpeer "google.golang.org/grpc/peer"

	"outboard.dev/interop/internal/pb/counterpb"
	"outboard.dev/interop/internal/pb/probepb"
)

// numbered is an AddHelper that adds its broker id to what it sums.
type numbered struct {
	counterpb.UnimplementedAddHelperServer

	id   uint32
	seen func(alpn string)
}

// Sum returns a + b + the id.
func (n *numbered) Sum(ctx context.Context, request *counterpb.SumRequest) (*counterpb.SumResponse, error) {
	if other, ok := grpcpeer.FromContext(ctx); ok {
		n.seen(agreed(other.AuthInfo))
	}
	return &counterpb.SumResponse{R: request.A + request.B + int64(n.id)}, nil
}

// ServeNumbered serves so many numbered AddHelpers until the broker is closed,
// and tells what TLS agreed on with each caller. All of them are there when it
// returns: before that, go-plugin would answer a knock that there is no
// listener, or, as a plugin, end.
func ServeNumbered(ctx context.Context, broker *plugin.GRPCBroker, count int, seen func(alpn string)) ([]uint32, error) {
	ids := make([]uint32, 0, count)
	for range count {
		id, accepted := broker.NextId(), make(chan struct{})
		go broker.AcceptAndServe(id, func(options []grpc.ServerOption) *grpc.Server {
			server := NewServer(options)
			counterpb.RegisterAddHelperServer(server, &numbered{id: id, seen: seen})
			close(accepted)
			return server
		})
		select {
		case <-accepted:
		case <-ctx.Done():
			return nil, fmt.Errorf("id %d is not accepted: %w", id, ctx.Err())
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// DialNumbered dials each id and has what answers there add nothing.
func DialNumbered(ctx context.Context, broker *plugin.GRPCBroker, ids []uint32, atOnce bool) []*probepb.BrokerDialled {
	all := make([]*probepb.BrokerDialled, len(ids))
	var dialling sync.WaitGroup
	for i, id := range ids {
		if !atOnce {
			all[i] = dialNumbered(ctx, broker, id)
			continue
		}
		dialling.Go(func() { all[i] = dialNumbered(ctx, broker, id) })
	}
	dialling.Wait()
	return all
}

func dialNumbered(ctx context.Context, broker *plugin.GRPCBroker, id uint32) *probepb.BrokerDialled {
	conn, err := broker.Dial(id)
	if err != nil {
		return &probepb.BrokerDialled{Error: err.Error()}
	}
	defer conn.Close()
	var other grpcpeer.Peer
	reply, err := counterpb.NewAddHelperClient(conn).Sum(ctx, &counterpb.SumRequest{}, grpc.Peer(&other))
	if err != nil {
		return &probepb.BrokerDialled{Error: err.Error()}
	}
	return &probepb.BrokerDialled{Answer: reply.R, Alpn: agreed(other.AuthInfo)}
}

// agreed is the protocol that TLS has agreed on; empty without TLS.
func agreed(how credentials.AuthInfo) string {
	if info, ok := how.(credentials.TLSInfo); ok {
		return info.State.NegotiatedProtocol
	}
	return ""
}
