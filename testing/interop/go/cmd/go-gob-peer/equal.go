package main

import (
	"fmt"
	"math/big"
	"reflect"
	"time"
)

// Whether two values are the same, and where they are not. What is empty is nil: gob does not tell the one
// from the other but for maps, of which the other end knows no nil ones.
func equal(a, b reflect.Value, where string) (string, bool) {
	switch one := a.Interface().(type) {
	case time.Time:
		other := b.Interface().(time.Time)
		_, offset := one.Zone()
		_, otherOffset := other.Zone()
		return where, one.Equal(other) && offset == otherOffset
	case big.Int:
		other := b.Interface().(big.Int)
		return where, one.Cmp(&other) == 0
	case coded:
		return where, string(one.bytes) == string(b.Interface().(coded).bytes)
	case binaryCoded:
		return where, string(one.bytes) == string(b.Interface().(binaryCoded).bytes)
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return where, a.IsNil() && b.IsNil()
		}
		if a.Elem().Type() != b.Elem().Type() {
			return fmt.Sprintf("%s (%s and %s)", where, a.Elem().Type(), b.Elem().Type()), false
		}
		return equal(a.Elem(), b.Elem(), where)
	case reflect.Struct:
		for i := range a.NumField() {
			name := where + "." + a.Type().Field(i).Name
			if where, same := equal(a.Field(i), b.Field(i), name); !same {
				return where, false
			}
		}
		return where, true
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return where, false
		}
		for i := range a.Len() {
			if where, same := equal(a.Index(i), b.Index(i), fmt.Sprintf("%s[%d]", where, i)); !same {
				return where, false
			}
		}
		return where, true
	case reflect.Map:
		if a.Len() != b.Len() {
			return where, false
		}
		for _, key := range a.MapKeys() {
			name := fmt.Sprintf("%s[%v]", where, key)
			if !b.MapIndex(key).IsValid() {
				return name, false
			}
			if where, same := equal(a.MapIndex(key), b.MapIndex(key), name); !same {
				return where, false
			}
		}
		return where, true
	default:
		return where, a.Interface() == b.Interface()
	}
}
