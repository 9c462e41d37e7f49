package peer

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"outboard.dev/interop/internal/pb/kvpb"
)

// KV stores each value in a file `kv_<key>` of the working directory, as the
// example of go-plugin does.
type KV struct {
	kvpb.UnimplementedKVServer

	// OnPut is added below a stored value, OnGet below a returned one.
	OnPut, OnGet string
}

// Get returns the stored bytes; a missing key is status UNKNOWN with the
// system's text, because the error is not a status.
func (kv *KV) Get(_ context.Context, request *kvpb.GetRequest) (*kvpb.GetResponse, error) {
	value, err := os.ReadFile(keyFile(request.Key))
	if err != nil {
		return nil, err
	}
	return &kvpb.GetResponse{Value: append(value, kv.OnGet...)}, nil
}

// Put stores the value and OnPut.
func (kv *KV) Put(_ context.Context, request *kvpb.PutRequest) (*kvpb.Empty, error) {
	value := append(append([]byte{}, request.Value...), kv.OnPut...)
	return &kvpb.Empty{}, os.WriteFile(keyFile(request.Key), value, 0o644)
}

// KVService serves the plain store.
func KVService() *Service {
	return serveKV(&KV{OnPut: "\n\nWritten from plugin-go-grpc"})
}

// NegotiatedKVService serves the store of one application version, told apart
// by what it adds to the values.
func NegotiatedKVService(version int) *Service {
	return serveKV(&KV{
		OnPut: fmt.Sprintf("\n\nWritten from plugin version %d\n", version),
		OnGet: fmt.Sprintf("\nRead by plugin version %d\n", version),
	})
}

func serveKV(kv *KV) *Service {
	return &Service{Register: func(_ *plugin.GRPCBroker, server *grpc.Server) {
		kvpb.RegisterKVServer(server, kv)
	}}
}

func keyFile(key string) string {
	return "kv_" + key
}
