package jobstore

// #include <stdint.h>
// #include <stddef.h>
import "C"

import (
	"io"
	"runtime/cgo"
	"unsafe"
)

// A writer keeps the error of the output that it passes on, and counts what it passed.
type writer struct {
	out   io.Writer
	count int64
	err   error
}

//export goWrite
func goWrite(user unsafe.Pointer, data *C.char, length C.size_t) C.int32_t {
	w := cgo.Handle(uintptr(user)).Value().(*writer)
	count, err := w.out.Write(unsafe.Slice((*byte)(unsafe.Pointer(data)), int(length)))
	w.count += int64(count)
	w.err = err
	if err != nil {
		return 1
	}
	return 0
}

// A reader keeps the error of the input that it passes on.
type reader struct {
	in  io.Reader
	err error
}

//export goRead
func goRead(user unsafe.Pointer, buffer *C.char, capacity C.size_t) C.ptrdiff_t {
	r := cgo.Handle(uintptr(user)).Value().(*reader)
	space := unsafe.Slice((*byte)(unsafe.Pointer(buffer)), int(capacity))
	for {
		count, err := r.in.Read(space)
		switch {
		case count > 0:
			// An error that came with the last bytes comes again.
			return C.ptrdiff_t(count)
		case err == io.EOF:
			return 0
		case err != nil:
			r.err = err
			return -1
		}
	}
}
