// Command go-greeter is the greeter of outboard's examples on go-plugin: the
// plugin alone, and nothing else, to compare sizes with.
package main

import (
	"context"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A GreetRequest and a GreetReply are one string in field 1 each, which is what
// a StringValue is: no generated code is needed for them.
type text = wrapperspb.StringValue

type greeter interface {
	greet(context.Context, *text) (*text, error)
}

type hello struct{}

func (hello) greet(_ context.Context, name *text) (*text, error) {
	return wrapperspb.String("Hello, " + name.Value + "!"), nil
}

var service = grpc.ServiceDesc{
	ServiceName: "greeter.Greeter",
	HandlerType: (*greeter)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Greet", Handler: greet}},
}

func greet(server any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	request := new(text)
	if err := decode(request); err != nil {
		return nil, err
	}
	return server.(greeter).greet(ctx, request)
}

type greeterPlugin struct {
	plugin.NetRPCUnsupportedPlugin
}

func (greeterPlugin) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	server.RegisterService(&service, hello{})
	return nil
}

func (greeterPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil // It is never a host.
}

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  1,
			MagicCookieKey:   "GREETER_PLUGIN",
			MagicCookieValue: "hello",
		},
		Plugins:    plugin.PluginSet{"greeter": greeterPlugin{}},
		GRPCServer: plugin.DefaultGRPCServer,
	})
}
