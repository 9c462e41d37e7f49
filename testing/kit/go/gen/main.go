// Command gen writes the Go code of every proto that Go programs of this
// repository use, without protoc: protocompile reads the protos, and the two
// official generators (run as Go tools of this module) write the code.
//
// Run it as `go run .` in this directory; with an argument, it writes below that
// directory instead, for comparison. It is a module of its own so that the
// programs do not depend on a compiler.
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

// A module that keeps generated code.
type module struct {
	// Its directory below the one of an argument.
	name string
	// Where it is, and the protos that it uses; others are for other languages.
	directory string
	protos    string
	sources   []string
}

var modules = []module{
	{
		name:      "interop",
		directory: "../../../interop/go",
		protos:    "../../../interop/proto",
		sources:   []string{"counter.proto", "kv.proto", "probe.proto", "streamer.proto"},
	},
	{
		name:      "benches",
		directory: "../../../../benches/go",
		protos:    "../../../../benches/proto",
		sources:   []string{"bench.proto"},
	},
}

func main() {
	for _, module := range modules {
		out := module.directory
		if len(os.Args) > 1 {
			out = filepath.Join(os.Args[1], module.name)
		}
		if err := module.write(out); err != nil {
			fmt.Fprintf(os.Stderr, "gen: %s: %v\n", module.name, err)
			os.Exit(1)
		}
	}
}

func (module module) write(out string) error {
	request, err := module.compile()
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
func (module module) compile() ([]byte, error) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
			ImportPaths: []string{module.protos},
		}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), module.sources...)
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
	parameter := "module=outboard.dev/" + module.name
	return proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: module.sources,
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
