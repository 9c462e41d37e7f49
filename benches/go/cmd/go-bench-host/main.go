// Command go-bench-host is the measured host on go-plugin: it takes orders on
// stdin, one per line, and answers each with one line of JSON, as all hosts of
// the benches do (see src/orders.rs). Arguments: the protocol, netrpc or grpc,
// the latter with +multiplex, +tls or both behind it, and the plugin's path.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
)

type answer map[string]any

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go-bench-host netrpc|grpc[+multiplex][+tls] PLUGIN")
		os.Exit(2)
	}
	host := &host{protocol: os.Args[1], program: os.Args[2]}
	lines := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		result, err := obey(host, strings.Fields(lines.Text()))
		if err != nil {
			result = answer{"error": err.Error()}
		}
		if out.Encode(result) != nil {
			break
		}
	}
	host.stopAll()
}

func obey(host *host, words []string) (answer, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("an empty order")
	}
	numbers := make([]int, 3)
	for i, word := range words[1:] {
		number, err := strconv.Atoi(word)
		if err != nil || i >= len(numbers) {
			return nil, fmt.Errorf("a strange order: %q", words)
		}
		numbers[i] = number
	}
	switch words[0] {
	case "start":
		return host.start()
	case "stop":
		return host.stop()
	case "dispense":
		return host.dispense(numbers[0])
	case "unary":
		return host.unary(numbers[0], numbers[1])
	case "load":
		return host.load(numbers[0], numbers[1], numbers[2])
	case "download":
		return host.download(numbers[0], numbers[1])
	case "upload":
		return host.upload(numbers[0], numbers[1])
	case "dial":
		return host.dial(numbers[0])
	case "compute":
		return host.compute(numbers[0], numbers[1])
	case "plugins":
		return host.plugins(numbers[0], numbers[1])
	}
	return nil, fmt.Errorf("unknown order %q", words[0])
}
