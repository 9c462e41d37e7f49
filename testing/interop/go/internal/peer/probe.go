package peer

import (
	"context"
	"errors"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	"outboard.dev/interop/internal/pb/probepb"
)

// Probe does what the tests ask for; see probe.proto.
type Probe struct {
	probepb.UnimplementedProbeServer

	process ProcessFiles
	broker  *plugin.GRPCBroker
	sleeps  sleeps
}

// ProcessFiles are the streams of the process as they were at its start:
// go-plugin replaces the variables os.Stdout and os.Stderr when it serves.
type ProcessFiles struct {
	Stdout, Stderr *os.File
	Logger         hclog.Logger
}

// ProbeService serves a Probe.
func ProbeService(process ProcessFiles) *Service {
	return &Service{Register: func(broker *plugin.GRPCBroker, server *grpc.Server) {
		probepb.RegisterProbeServer(server, &Probe{process: process, broker: broker})
	}}
}

// Echo returns its argument.
func (p *Probe) Echo(_ context.Context, request *probepb.Payload) (*probepb.Payload, error) {
	return request, nil
}

// Fail returns the wanted status.
func (p *Probe) Fail(_ context.Context, request *probepb.FailRequest) (*probepb.Nothing, error) {
	return nil, grpcstatus.FromProto(&status.Status{
		Code:    request.Code,
		Message: request.Message,
		Details: request.Details,
	}).Err()
}

// Metadata returns the request's metadata in three ways.
func (p *Probe) Metadata(ctx context.Context, _ *probepb.Nothing) (*probepb.MetadataReply, error) {
	incoming, _ := metadata.FromIncomingContext(ctx)
	keys := make([]string, 0, len(incoming))
	for key := range incoming {
		keys = append(keys, key)
	}
	sort.Strings(keys)

	reply := &probepb.MetadataReply{}
	headers, trailers := metadata.MD{}, metadata.MD{}
	for _, key := range keys {
		for _, value := range incoming[key] {
			reply.Entries = append(reply.Entries, &probepb.MetadataEntry{Key: key, Value: []byte(value)})
			if strings.HasPrefix(key, "x-") {
				headers.Append("h-"+key, value)
				trailers.Append("t-"+key, value)
			}
		}
	}
	if err := grpc.SetHeader(ctx, headers); err != nil {
		return nil, err
	}
	if err := grpc.SetTrailer(ctx, trailers); err != nil {
		return nil, err
	}
	return reply, nil
}

// Chat echoes each message when it comes.
func (p *Probe) Chat(stream grpc.BidiStreamingServer[probepb.Payload, probepb.Payload]) error {
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(message); err != nil {
			return err
		}
	}
}

// Pour sends `count` payloads; byte i of message n is n+i, so that order and
// content can be checked.
func (p *Probe) Pour(request *probepb.PourRequest, stream grpc.ServerStreamingServer[probepb.Payload]) error {
	for n := range request.Count {
		data := make([]byte, request.Size)
		for i := range data {
			data[i] = byte(n + uint64(i))
		}
		if err := stream.Send(&probepb.Payload{Data: data}); err != nil {
			return err
		}
	}
	return nil
}

// Collect counts.
func (p *Probe) Collect(stream grpc.ClientStreamingServer[probepb.Payload, probepb.CollectReply]) error {
	reply := &probepb.CollectReply{}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(reply)
		}
		if err != nil {
			return err
		}
		reply.Messages++
		reply.Bytes += uint64(len(message.Data))
	}
}

// BrokerAccept serves an AddHelper to the host.
func (p *Probe) BrokerAccept(context.Context, *probepb.Nothing) (*probepb.BrokerId, error) {
	return &probepb.BrokerId{Id: ServeAddHelper(p.broker)}, nil
}

// BrokerDial uses an AddHelper of the host.
func (p *Probe) BrokerDial(ctx context.Context, request *probepb.BrokerDialRequest) (*probepb.BrokerDialReply, error) {
	sum, err := dialSum(ctx, p.broker, request.Id, request.A, request.B)
	if err != nil {
		return nil, err
	}
	return &probepb.BrokerDialReply{R: sum}, nil
}

// BrokerAcceptMany serves numbered AddHelpers to the host.
func (p *Probe) BrokerAcceptMany(ctx context.Context, request *probepb.BrokerCount) (*probepb.BrokerIds, error) {
	ids, err := ServeNumbered(ctx, p.broker, int(request.Count), func(string) {})
	if err != nil {
		return nil, err
	}
	return &probepb.BrokerIds{Ids: ids}, nil
}

// BrokerDialMany uses numbered AddHelpers of the host.
func (p *Probe) BrokerDialMany(ctx context.Context, request *probepb.BrokerDialManyRequest) (*probepb.BrokerDialManyReply, error) {
	return &probepb.BrokerDialManyReply{Dialled: DialNumbered(ctx, p.broker, request.Ids, request.AtOnce)}, nil
}
