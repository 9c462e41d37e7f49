package peer

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"outboard.dev/interop/internal/pb/counterpb"
)

// Counter keeps one number per key, as JSON in a file `kv_<key>`.
type Counter struct {
	counterpb.UnimplementedCounterServer

	broker *plugin.GRPCBroker
}

type stored struct{ Value int64 }

// Get returns the number; 0 for a key never put.
func (c *Counter) Get(_ context.Context, request *counterpb.CounterGetRequest) (*counterpb.CounterGetResponse, error) {
	value, err := load(request.Key)
	if err != nil {
		return nil, err
	}
	return &counterpb.CounterGetResponse{Value: value}, nil
}

// Put lets the host's AddHelper add, and stores the sum.
func (c *Counter) Put(ctx context.Context, request *counterpb.CounterPutRequest) (*counterpb.CounterPutResponse, error) {
	old, err := load(request.Key)
	if err != nil {
		return nil, err
	}
	sum, err := dialSum(ctx, c.broker, request.AddServer, old, request.Value)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(stored{sum})
	if err != nil {
		return nil, err
	}
	return &counterpb.CounterPutResponse{}, os.WriteFile(keyFile(request.Key), text, 0o644)
}

// AddHelper adds two numbers.
type AddHelper struct {
	counterpb.UnimplementedAddHelperServer
}

// Sum returns a + b.
func (AddHelper) Sum(_ context.Context, request *counterpb.SumRequest) (*counterpb.SumResponse, error) {
	return &counterpb.SumResponse{R: request.A + request.B}, nil
}

// ServeAddHelper accepts on a new broker id, serves an AddHelper there until
// the broker is closed, and returns the id.
func ServeAddHelper(broker *plugin.GRPCBroker) uint32 {
	id := broker.NextId()
	go broker.AcceptAndServe(id, func(options []grpc.ServerOption) *grpc.Server {
		server := NewServer(append(options, brokeredAge()...))
		counterpb.RegisterAddHelperServer(server, AddHelper{})
		return server
	})
	return id
}

// brokeredAge has brokered servers end connections that are older than
// INTEROP_BROKERED_AGE milliseconds, if that is set.
func brokeredAge() []grpc.ServerOption {
	millis, err := strconv.Atoi(os.Getenv("INTEROP_BROKERED_AGE"))
	if err != nil {
		return nil
	}
	age := time.Duration(millis) * time.Millisecond
	return []grpc.ServerOption{grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: age})}
}

// CounterService serves a Counter.
func CounterService() *Service {
	return &Service{Register: func(broker *plugin.GRPCBroker, server *grpc.Server) {
		counterpb.RegisterCounterServer(server, &Counter{broker: broker})
	}}
}

// dialSum dials a broker id and has the AddHelper there add.
func dialSum(ctx context.Context, broker *plugin.GRPCBroker, id uint32, a, b int64) (int64, error) {
	conn, err := broker.Dial(id)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	reply, err := counterpb.NewAddHelperClient(conn).Sum(ctx, &counterpb.SumRequest{A: a, B: b})
	if err != nil {
		return 0, err
	}
	return reply.R, nil
}

// DialSum dials the AddHelper that the plugin serves on a broker id.
func (s *Session) DialSum(ctx context.Context, id uint32, a, b int64) (int64, error) {
	return dialSum(ctx, s.Broker, id, a, b)
}

func load(key string) (int64, error) {
	text, err := os.ReadFile(keyFile(key))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var value stored
	err = json.Unmarshal(text, &value)
	return value.Value, err
}
