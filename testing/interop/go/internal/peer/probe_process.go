package peer

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"outboard.dev/interop/internal/pb/probepb"
)

// Print uses os.Stdout and os.Stderr as they are now: after serving began
// these are go-plugin's capture pipes.
func (p *Probe) Print(_ context.Context, request *probepb.PrintRequest) (*probepb.Nothing, error) {
	if _, err := os.Stdout.Write(request.Stdout); err != nil {
		return nil, err
	}
	if _, err := os.Stderr.Write(request.Stderr); err != nil {
		return nil, err
	}
	return &probepb.Nothing{}, nil
}

// WriteRaw writes past go-plugin's capture. It returns when all was taken, so
// a success shows that the host reads its pipes.
func (p *Probe) WriteRaw(_ context.Context, request *probepb.RawRequest) (*probepb.Nothing, error) {
	file := p.process.Stdout
	if request.Target == probepb.RawRequest_STDERR {
		file = p.process.Stderr
	}
	for range max(request.Repeat, 1) {
		if _, err := file.Write(request.Data); err != nil {
			return nil, err
		}
	}
	return &probepb.Nothing{}, nil
}

// Log writes a record with go-hclog, the logger go-plugin expects.
func (p *Probe) Log(_ context.Context, request *probepb.LogRequest) (*probepb.Nothing, error) {
	level := hclog.LevelFromString(request.Level)
	if level == hclog.NoLevel {
		return nil, status.Errorf(codes.InvalidArgument, "unknown level %q", request.Level)
	}
	var fields []any
	for _, field := range request.Fields {
		fields = append(fields, field.Key, fieldValue(field))
	}
	p.process.Logger.Log(level, request.Message, fields...)
	return &probepb.Nothing{}, nil
}

func fieldValue(field *probepb.LogField) any {
	switch value := field.Value.(type) {
	case *probepb.LogField_Text:
		return value.Text
	case *probepb.LogField_Number:
		return value.Number
	case *probepb.LogField_Flag:
		return value.Flag
	}
	return nil
}

// Crash ends the process; it returns only if that did not work.
func (p *Probe) Crash(_ context.Context, request *probepb.CrashRequest) (*probepb.Nothing, error) {
	switch request.Way {
	case probepb.CrashRequest_EXIT:
		os.Exit(int(request.Code))
	case probepb.CrashRequest_PANIC, probepb.CrashRequest_HANDLER:
		// grpc-go does not recover handler panics: this ends the process.
		panic(request.Message)
	case probepb.CrashRequest_KILL:
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return nil, err
		}
		if err := self.Kill(); err != nil {
			return nil, err
		}
		select {}
	}
	return nil, status.Errorf(codes.InvalidArgument, "unknown way %v", request.Way)
}

// Spawn leaves a child behind that holds the original output pipes.
func (p *Probe) Spawn(_ context.Context, request *probepb.SpawnRequest) (*probepb.SpawnReply, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	child := exec.Command(self, "hold", strconv.FormatUint(request.HoldMillis, 10))
	child.Stdout, child.Stderr = p.process.Stdout, p.process.Stderr
	if err := child.Start(); err != nil {
		return nil, err
	}
	// Reaped here if it ends first; nobody needs the outcome.
	go func() { _ = child.Wait() }()
	return &probepb.SpawnReply{Pid: int64(child.Process.Pid)}, nil
}

// Process describes this process.
func (p *Probe) Process(context.Context, *probepb.Nothing) (*probepb.ProcessReply, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	reply := &probepb.ProcessReply{Pid: int64(os.Getpid()), WorkingDir: dir}
	for _, variable := range os.Environ() {
		key, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(key, "PLUGIN_") || strings.HasPrefix(key, "INTEROP_") {
			reply.Environment = append(reply.Environment, &probepb.LogField{
				Key: key, Value: &probepb.LogField_Text{Text: value},
			})
		}
	}
	return reply, nil
}
