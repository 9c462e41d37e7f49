package main

import (
	"encoding/gob"
	"math/big"
	"time"
)

// The types, which have the same names and fields on the other end.

type Inner struct {
	Name  string
	Size  int64
	Parts []Inner
}

type Scalars struct {
	A int8
	B int16
	C int32
	D int64
	E int
	F uint8
	G uint16
	H uint32
	I uint64
	J uint
	K float32
	L float64
	M bool
	N complex64
	O complex128
	P string
	Q []byte
}

type Nested struct {
	Inner   Inner
	Pointer *Inner
	Number  *int64
	List    []Inner
	Rows    [][]int32
	Map     map[string]Inner
	Counts  map[int64]map[string]bool
	Array   [3]uint16
	Inners  [2]Inner
	Empty   struct{}
	Nil     *map[string]int8
}

type Anything struct {
	Any   interface{}
	List  []interface{}
	Map   map[string]interface{}
	After int
}

type Moments struct {
	When    time.Time
	Pointer *time.Time
	Big     *big.Int
	Bigs    []*big.Int
}

type Opaque struct {
	Coded  coded
	Binary binaryCoded
	List   []coded
}

// What has fields that the other end does not know, and the other way round.
type Here struct {
	Unknown interface{}
	A       int64
	B       []interface{}
	C       float32
	D       Inner
	Same    string
}

type There struct {
	Same    string
	C       float64
	Missing map[string]Inner
	A       int8
}

// A type that writes itself, by GobEncode.
type coded struct{ bytes []byte }

func (c coded) GobEncode() ([]byte, error) { return c.bytes, nil }

func (c *coded) GobDecode(bytes []byte) error {
	c.bytes = append([]byte(nil), bytes...)
	return nil
}

// One that does so by MarshalBinary.
type binaryCoded struct{ bytes []byte }

func (c binaryCoded) MarshalBinary() ([]byte, error) { return c.bytes, nil }

func (c *binaryCoded) UnmarshalBinary(bytes []byte) error {
	c.bytes = append([]byte(nil), bytes...)
	return nil
}

func register() {
	gob.RegisterName("example.com/made.Inner", Inner{})
	gob.Register(map[string]interface{}{})
	gob.Register([]interface{}{})
	gob.Register(time.Time{})
}

// Where values come from: splitmix64.
type source struct{ state uint64 }

func (s *source) next() uint64 {
	s.state += 0x9e3779b97f4a7c15
	z := s.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (s *source) below(n uint64) uint64 { return s.next() % n }

func (s *source) count(n uint64) int { return int(s.below(n)) }

func (s *source) flag() bool { return s.below(2) == 1 }

// A number of any size, often zero.
func (s *source) uint() uint64 {
	if s.below(5) == 0 {
		return 0
	}
	shift := s.below(64)
	return s.next() >> shift
}

func (s *source) int() int64 {
	negative := s.flag()
	value := int64(s.uint() >> 1)
	if negative {
		return ^value
	}
	return value
}

func (s *source) float() float64 {
	if s.below(4) == 0 {
		return 0
	}
	return float64(int32(s.int())) / 8
}

func (s *source) text() string {
	letters := []rune("abcäß✓\n 𝄞\x00")
	text := []rune{}
	for range s.count(9) {
		text = append(text, letters[s.below(uint64(len(letters)))])
	}
	return string(text)
}

func (s *source) bytes() []byte {
	var bytes []byte
	for range s.count(200) {
		bytes = append(bytes, byte(s.next()))
	}
	return bytes
}

func (s *source) inner(depth int) Inner {
	inner := Inner{Name: s.text(), Size: s.int()}
	if depth > 0 {
		for range s.count(3) {
			inner.Parts = append(inner.Parts, s.inner(depth-1))
		}
	}
	return inner
}

func (s *source) scalars() Scalars {
	return Scalars{
		A: int8(s.int()), B: int16(s.int()), C: int32(s.int()), D: s.int(), E: int(s.int()),
		F: uint8(s.uint()), G: uint16(s.uint()), H: uint32(s.uint()), I: s.uint(), J: uint(s.uint()),
		K: float32(s.float()), L: s.float(), M: s.flag(),
		N: complex(float32(s.float()), float32(s.float())), O: complex(s.float(), s.float()),
		P: s.text(), Q: s.bytes(),
	}
}

func (s *source) innerPointer() *Inner {
	if s.flag() {
		inner := s.inner(1)
		return &inner
	}
	return nil
}

func (s *source) nested() Nested {
	nested := Nested{Inner: s.inner(2), Pointer: s.innerPointer()}
	// A pointer to zero arrives as nil.
	if number := s.int(); number != 0 {
		nested.Number = &number
	}
	for range s.count(3) {
		nested.List = append(nested.List, s.inner(1))
	}
	for range s.count(3) {
		var row []int32
		for range s.count(4) {
			row = append(row, int32(s.int()))
		}
		nested.Rows = append(nested.Rows, row)
	}
	for range s.count(3) {
		if nested.Map == nil {
			nested.Map = map[string]Inner{}
		}
		key := s.text()
		nested.Map[key] = s.inner(1)
	}
	for range s.count(3) {
		if nested.Counts == nil {
			nested.Counts = map[int64]map[string]bool{}
		}
		key := s.int()
		counts := map[string]bool{}
		for range s.count(3) {
			key := s.text()
			counts[key] = s.flag()
		}
		nested.Counts[key] = counts
	}
	nested.Array = [3]uint16{uint16(s.uint()), uint16(s.uint()), uint16(s.uint())}
	nested.Inners = [2]Inner{s.inner(1), s.inner(0)}
	if s.flag() {
		nested.Nil = &map[string]int8{}
	}
	return nested
}

func (s *source) any(depth int) interface{} {
	switch s.below(17) {
	case 0:
		return s.flag()
	case 1:
		return int(s.int())
	case 2:
		return int8(s.int())
	case 3:
		return int32(s.int())
	case 4:
		return s.uint()
	case 5:
		return uint8(s.uint())
	case 6:
		return float32(s.float())
	case 7:
		return s.float()
	case 8:
		return s.text()
	case 9:
		return s.bytes()
	case 10:
		return complex(s.float(), s.float())
	case 11:
		var list []string
		for range s.count(4) {
			list = append(list, s.text())
		}
		return list
	case 12:
		return s.inner(1)
	case 13:
		return s.time()
	case 14:
		if depth > 0 {
			return s.anys(depth - 1)
		}
	case 15:
		if depth > 0 {
			return s.anyMap(depth - 1)
		}
	}
	return nil
}

func (s *source) anys(depth int) []interface{} {
	var list []interface{}
	for range s.count(4) {
		list = append(list, s.any(depth))
	}
	return list
}

func (s *source) anyMap(depth int) map[string]interface{} {
	all := map[string]interface{}{}
	for range s.count(4) {
		key := s.text()
		all[key] = s.any(depth)
	}
	return all
}

func (s *source) anything() Anything {
	return Anything{Any: s.any(2), List: s.anys(2), Map: s.anyMap(2), After: int(s.int())}
}

func (s *source) time() time.Time {
	moment := time.Unix(s.int()>>20, int64(s.below(1_000_000_000))).UTC()
	switch s.below(4) {
	case 0:
		return time.Time{}
	case 1:
		return moment.In(time.FixedZone("", int(s.below(1000))*60))
	case 2:
		// With seconds, east of UTC: those west of it Go does not read as it writes them.
		return moment.In(time.FixedZone("", int(s.below(40_000))))
	}
	return moment
}

func (s *source) big() *big.Int {
	value := new(big.Int).SetBytes(s.bytes())
	if s.flag() {
		value.Neg(value)
	}
	return value
}

func (s *source) moments() Moments {
	moments := Moments{When: s.time()}
	if s.flag() {
		moment := s.time()
		moments.Pointer = &moment
	}
	if s.flag() {
		moments.Big = s.big()
	}
	for range s.count(3) {
		moments.Bigs = append(moments.Bigs, s.big())
	}
	return moments
}

func (s *source) opaque() Opaque {
	opaque := Opaque{Coded: coded{s.bytes()}, Binary: binaryCoded{s.bytes()}}
	for range s.count(3) {
		opaque.List = append(opaque.List, coded{s.bytes()})
	}
	return opaque
}

// A value as it is sent by this end, and as it is received of the other: pointers.
type made struct{ sent, received any }

func same[T any](value T) made { return made{&value, &value} }

func (s *source) value() made {
	switch s.below(22) {
	case 0:
		return same(s.flag())
	case 1:
		return same(s.int())
	case 2:
		return same(uint32(s.uint()))
	case 3:
		return same(s.float())
	case 4:
		return same(float32(s.float()))
	case 5:
		return same(complex(s.float(), s.float()))
	case 6:
		return same(s.text())
	case 7:
		return same(s.bytes())
	case 8:
		var list []string
		for range s.count(5) {
			list = append(list, s.text())
		}
		return same(list)
	case 9:
		var list []int16
		for range s.count(5) {
			list = append(list, int16(s.int()))
		}
		return same(list)
	case 10:
		return same([3]uint8{uint8(s.uint()), uint8(s.uint()), uint8(s.uint())})
	case 11:
		all := map[string]int32{}
		for range s.count(5) {
			key := s.text()
			all[key] = int32(s.int())
		}
		return same(all)
	case 12:
		return same(s.scalars())
	case 13:
		return same(s.nested())
	case 14:
		return same(s.inner(3))
	case 15:
		return same(s.anything())
	case 16:
		return same(s.anyMap(2))
	case 17:
		return same(s.any(2))
	case 18:
		return same(struct{}{})
	case 19:
		return same(s.moments())
	case 20:
		return same(s.opaque())
	}
	here := Here{
		Unknown: s.any(1), A: int64(int8(s.int())), B: s.anys(1), C: float32(s.float()), D: s.inner(1),
		Same: s.text(),
	}
	// What the other end makes of it, and what this one makes of that.
	back := Here{A: here.A, C: here.C, Same: here.Same}
	return made{&here, &back}
}
