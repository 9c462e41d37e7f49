// Command go-gob-peer writes and reads streams of encoding/gob:
//
//	go-gob-peer write SEED COUNT
//	go-gob-peer read SEED COUNT
//	go-gob-peer reread SEED COUNT
//
// The values follow from the seed: some of many types, one after the other on one stream. `write` writes
// them to stdout; `read` reads them from stdin and fails where one is another than the seed says; `reread`
// reads what `write` has written, where the other end writes some values in another shape. That end makes the same values of the same seed, see ../../../tests/gob/made.rs: what is drawn, and in which order,
// is the same in both.
package main

import (
	"bufio"
	"encoding/gob"
	"fmt"
	"io"
	"log"
	"os"
	"reflect"
	"strconv"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: go-gob-peer write|read|reread SEED COUNT")
	}
	seed, err := strconv.ParseUint(os.Args[2], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	count, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	register()
	source := &source{state: seed}
	switch os.Args[1] {
	case "write":
		err = write(source, count)
	case "read":
		err = read(count, func() any { return source.value().received })
	case "reread":
		err = read(count, func() any { return source.value().sent })
	default:
		err = fmt.Errorf("what is %q?", os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}

func write(source *source, count int) error {
	out := bufio.NewWriter(os.Stdout)
	encoder := gob.NewEncoder(out)
	for number := range count {
		value := source.value()
		if err := encoder.Encode(value.sent); err != nil {
			return fmt.Errorf("value %d, a %T: %w", number, value.sent, err)
		}
	}
	return out.Flush()
}

func read(count int, expected func() any) error {
	in := bufio.NewReader(os.Stdin)
	decoder := gob.NewDecoder(in)
	for number := range count {
		want := reflect.ValueOf(expected())
		got := reflect.New(want.Type().Elem())
		if err := decoder.DecodeValue(got); err != nil {
			return fmt.Errorf("value %d, a %s: %w", number, want.Type().Elem(), err)
		}
		if where, same := equal(want.Elem(), got.Elem(), want.Type().Elem().String()); !same {
			return fmt.Errorf("value %d: %s: expected %+v, got %+v", number, where, want.Elem(), got.Elem())
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return fmt.Errorf("more than %d values: %v", count, err)
	}
	return nil
}
