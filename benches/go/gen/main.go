// Command gen turns ../../proto/*.proto into ../internal/pb/*, without protoc:
// protocompile reads the protos, and the two official generators (run as Go
// tools of this module) write the code.
//
// Run it as `go run .` in this directory. It is a module of its own so that the
// peers do not depend on a compiler.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const (
	protoDir   = "../../proto"
	defaultOut = ".."
	parameters = "module=outboard.dev/benches"
)

// The protos of the peers.
var sources = []string{"bench.proto"}

func main() {
	out := defaultOut
	if len(os.Args) > 1 {
		out = os.Args[1]
	}
	if err := run(out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	request, err := compile()
	if err != nil {
		return err
	}
	for _, generator := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		if err := generate(generator, request, out); err != nil {
			return fmt.Errorf("%s: %w", generator, err)
		}
	}
	return nil
}

// compile builds what protoc would hand to its generators: all files with
// their imports, each after what it imports.
func compile() ([]byte, error) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
			ImportPaths: []string{protoDir},
		}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), sources...)
	if err != nil {
		return nil, err
	}
	var all []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	for _, file := range files {
		imports := file.Imports()
		for i := range imports.Len() {
			imported := imports.Get(i).FileDescriptor
			if !seen[imported.Path()] {
				seen[imported.Path()] = true
				all = append(all, protodesc.ToFileDescriptorProto(imported))
			}
		}
		all = append(all, protodesc.ToFileDescriptorProto(file))
	}
	parameter := parameters
	return proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: sources,
		Parameter:      &parameter,
		ProtoFile:      all,
	})
}

func generate(generator string, request []byte, out string) error {
	command := exec.Command("go", "tool", generator)
	command.Stdin = bytes.NewReader(request)
	command.Stderr = os.Stderr
	stdout, err := command.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(stdout, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return fmt.Errorf("%s", *response.Error)
	}
	for _, file := range response.File {
		path := filepath.Join(out, file.GetName())
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(file.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
