package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
)

// recorder keeps the log records of the host, among them the plugin's.
type recorder struct {
	mu      sync.Mutex
	records []map[string]any
}

func newRecorder() *recorder { return &recorder{} }

// Write takes one record: hclog writes each with one call.
func (r *recorder) Write(line []byte) (int, error) {
	record := map[string]any{}
	if err := json.Unmarshal(line, &record); err != nil {
		record["unparsable"] = string(line)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, record)
	return len(line), nil
}

// with returns the records whose message contains the text.
func (r *recorder) with(text string) []map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []map[string]any
	for _, record := range r.records {
		message, _ := record["@message"].(string)
		if strings.Contains(message, text) {
			found = append(found, record)
		}
	}
	return found
}

func (r *recorder) contains(text string) bool { return len(r.with(text)) > 0 }

func (r *recorder) tail(n int) []map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records[max(0, len(r.records)-n):]
}

// buffer is a byte sink that other goroutines may look into.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func newBuffer() *buffer { return &buffer{} }

func (b *buffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(data)
}

func (b *buffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.data.Bytes())
}

func (b *buffer) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Len()
}
