package jobstore

// #include <jobstore.h>
import "C"

import (
	"sync"
	"time"
)

// A Run is a running job in the hands of its worker.
type Run struct {
	c    *C.jobstore_run
	once sync.Once
}

// ID returns the id of the job.
func (r *Run) ID() string {
	id := C.jobstore_run_id(r.c)
	return str(id.ptr, id.len)
}

// Request returns the request, with its real secrets.
func (r *Run) Request() (Request, error) {
	var c call
	var request C.jobstore_request
	if err := c.check(C.jobstore_run_request(r.c, &request, &c.err)); err != nil {
		return Request{}, err
	}
	text := func(t C.jobstore_text) string { return str(t.ptr, t.len) }
	return Request{text(request.command), text(request.url), text(request.body), text(request.origin)}, nil
}

// Progress reports the progress of the job.
func (r *Run) Progress(percent uint8, message string) error {
	var c call
	return c.check(C.jobstore_run_progress(r.c, C.uint8_t(percent), c.text(message), &c.err))
}

// CancelRequested returns whether the worker should stop.
func (r *Run) CancelRequested() bool { return bool(C.jobstore_run_cancel_requested(r.c)) }

// WaitCancelled waits until the worker should stop, and returns whether it should.
func (r *Run) WaitCancelled(timeout time.Duration) (bool, error) {
	var c call
	return c.answer(C.jobstore_run_wait_cancelled(r.c, milliseconds(timeout), &c.isSet, &c.err))
}

// Complete completes the job. The outcome is JSON or only its kind, such as "failed".
func (r *Run) Complete(outcome string) (Done, error) {
	var c call
	return c.effect(C.jobstore_run_complete(r.c, c.text(outcome), &c.done, &c.err))
}

// Requeue makes the job pending again.
func (r *Run) Requeue() (Done, error) {
	var c call
	return c.effect(C.jobstore_run_requeue(r.c, &c.done, &c.err))
}

// Detach frees the run, and leaves the job running.
func (r *Run) Detach() { r.once.Do(func() { C.jobstore_run_detach(r.c) }) }

// Close frees the run. A job without an outcome is treated as it would be after a crash.
func (r *Run) Close() { r.once.Do(func() { C.jobstore_run_free(r.c) }) }
