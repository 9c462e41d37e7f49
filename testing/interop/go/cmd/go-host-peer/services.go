package main

import (
	"context"
	"fmt"
	"sort"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	alphapb "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// reflection lists the services with both versions, and the file of one symbol.
func reflection(ctx context.Context, h *host) (findings, error) {
	session, err := h.dispense("probe")
	if err != nil {
		return nil, err
	}
	v1, err := reflectV1(ctx, session.Conn, &reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{ListServices: "*"},
	})
	if err != nil {
		return nil, fmt.Errorf("v1: %w", err)
	}
	var names []string
	for _, service := range v1.GetListServicesResponse().GetService() {
		names = append(names, service.Name)
	}
	sort.Strings(names)
	alpha, err := listAlpha(ctx, session.Conn)
	if err != nil {
		return nil, fmt.Errorf("v1alpha: %w", err)
	}
	symbol := h.text("symbol", "outboard.interop.Probe")
	files, err := reflectV1(ctx, session.Conn, &reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol},
	})
	if err != nil {
		return nil, fmt.Errorf("symbol: %w", err)
	}
	var fileNames []string
	for _, encoded := range files.GetFileDescriptorResponse().GetFileDescriptorProto() {
		var file descriptorpb.FileDescriptorProto
		if err := proto.Unmarshal(encoded, &file); err != nil {
			return nil, fmt.Errorf("file descriptor: %w", err)
		}
		fileNames = append(fileNames, file.GetName())
	}
	unknown, err := reflectV1(ctx, session.Conn, &reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "no.such.Thing"},
	})
	if err != nil {
		return nil, fmt.Errorf("unknown symbol: %w", err)
	}
	return findings{
		"v1": names, "v1alpha": alpha, "files": fileNames,
		"unknown_code": unknown.GetErrorResponse().GetErrorCode(),
	}, nil
}

func reflectV1(ctx context.Context, conn *grpc.ClientConn, request *reflectionpb.ServerReflectionRequest) (*reflectionpb.ServerReflectionResponse, error) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(request); err != nil {
		return nil, err
	}
	return stream.Recv()
}

func listAlpha(ctx context.Context, conn *grpc.ClientConn) ([]string, error) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	stream, err := alphapb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, err
	}
	request := &alphapb.ServerReflectionRequest{
		MessageRequest: &alphapb.ServerReflectionRequest_ListServices{ListServices: "*"},
	}
	if err := stream.Send(request); err != nil {
		return nil, err
	}
	reply, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, service := range reply.GetListServicesResponse().GetService() {
		names = append(names, service.Name)
	}
	sort.Strings(names)
	return names, nil
}

// health asks for known and unknown names in every way there is.
func health(ctx context.Context, h *host) (findings, error) {
	session, err := h.dispense(h.text("service", "probe"))
	if err != nil {
		return nil, err
	}
	protocol, err := h.client.Client()
	if err != nil {
		return nil, err
	}
	if err := protocol.Ping(); err != nil {
		return nil, fmt.Errorf("ping: %w", err)
	}
	client := healthpb.NewHealthClient(session.Conn)
	found := findings{}
	for _, name := range []string{"plugin", "", "unknown"} {
		reply, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: name})
		if err != nil {
			found["check:"+name] = status.Code(err).String()
		} else {
			found["check:"+name] = reply.Status.String()
		}
		first, err := watch(ctx, client, name)
		if err != nil {
			return nil, fmt.Errorf("watch %q: %w", name, err)
		}
		found["watch:"+name] = first
	}
	list, err := client.List(ctx, &healthpb.HealthListRequest{})
	switch status.Code(err) {
	case codes.OK:
		statuses := map[string]string{}
		for name, one := range list.Statuses {
			statuses[name] = one.Status.String()
		}
		found["list"] = statuses
	default:
		found["list"] = status.Code(err).String()
	}
	return found, nil
}

func watch(ctx context.Context, client healthpb.HealthClient, name string) (string, error) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	stream, err := client.Watch(ctx, &healthpb.HealthCheckRequest{Service: name})
	if err != nil {
		return "", err
	}
	reply, err := stream.Recv()
	if err != nil {
		return "", err
	}
	return reply.Status.String(), nil
}
