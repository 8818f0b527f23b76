package jobstore

/*
#include <stdlib.h>
#include <jobstore.h>
*/
import "C"

import (
	"time"
	"unsafe"
)

// A call is one call of the library: C copies of its texts, and places for its error and its result.
// These are passed to C as &c.err and &c.bytes, so that C gets a pointer to only one field. The call ends
// with check or a method that uses it.
type call struct {
	copies []unsafe.Pointer
	err    *C.jobstore_error
	bytes  C.jobstore_bytes
	done   C.int32_t
	number C.uint64_t
	isSet  C.bool
	id     C.jobstore_job_id
	graph  *C.jobstore_graph
	run    *C.jobstore_run
}

// copied returns C memory, which is freed when the call ends.
func (c *call) copied(memory unsafe.Pointer) unsafe.Pointer {
	c.copies = append(c.copies, memory)
	return memory
}

func (c *call) text(s string) C.jobstore_text {
	return C.jobstore_text{ptr: (*C.char)(c.copied(C.CBytes([]byte(s)))), len: C.size_t(len(s))}
}

func (c *call) request(r Request) C.jobstore_request {
	return C.jobstore_request{
		command: c.text(r.Command), url: c.text(r.URL), body: c.text(r.Body), origin: c.text(r.Origin),
	}
}

// check frees the copies, and returns the error of the call.
func (c *call) check(code C.int32_t) error {
	for _, memory := range c.copies {
		C.free(memory)
	}
	c.copies = nil
	return newError(code, c.err)
}

func (c *call) string(code C.int32_t) (string, error) {
	err := c.check(code)
	defer C.jobstore_bytes_free(&c.bytes)
	return str(c.bytes.ptr, c.bytes.len), err
}

func (c *call) effect(code C.int32_t) (Done, error) { return Done(c.done), c.check(code) }

func (c *call) count(code C.int32_t) (uint64, error) { return uint64(c.number), c.check(code) }

func (c *call) answer(code C.int32_t) (bool, error) { return bool(c.isSet), c.check(code) }

func (c *call) newGraph(code C.int32_t) (*Graph, error) {
	if err := c.check(code); err != nil {
		return nil, err
	}
	return &Graph{c: c.graph}, nil
}

// newRun returns a run, or nil if the call failed or claimed nothing.
func (c *call) newRun(code C.int32_t) (*Run, error) {
	if err := c.check(code); err != nil || c.run == nil {
		return nil, err
	}
	return &Run{c: c.run}, nil
}

// str copies a text of the library.
func str(ptr *C.char, length C.size_t) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(ptr)), int(length)))
}

func milliseconds(timeout time.Duration) C.int64_t {
	if timeout < 0 {
		return -1
	}
	return C.int64_t(timeout.Milliseconds())
}
