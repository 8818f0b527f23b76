package jobstore

/*
#include <stdlib.h>
#include <jobstore.h>
*/
import "C"

import (
	"sync"
	"time"
	"unsafe"
)

// A Graph is a graph of a store.
type Graph struct {
	c    *C.jobstore_graph
	once sync.Once
}

// Submit submits a request, and returns the id of the new job. It is durable afterward.
func (g *Graph) Submit(request Request) (string, error) {
	var c call
	r := c.request(request)
	err := c.check(C.jobstore_submit(g.c, &r, &c.id, &c.err))
	return C.GoString(&c.id.text[0]), err
}

// SubmitAs submits a request under an id of the caller. It returns false if the job already exists.
func (g *Graph) SubmitAs(id string, request Request) (bool, error) {
	var c call
	r := c.request(request)
	return c.answer(C.jobstore_submit_as(g.c, c.text(id), &r, &c.isSet, &c.err))
}

// SubmitOnce submits a request once per idempotency key, and returns the id of the key's job, and
// whether this call created it.
func (g *Graph) SubmitOnce(key string, request Request) (string, bool, error) {
	var c call
	r := c.request(request)
	created, err := c.answer(C.jobstore_submit_once(g.c, c.text(key), &r, &c.id, &c.isSet, &c.err))
	return C.GoString(&c.id.text[0]), created, err
}

// SubmitMany submits requests in one commit, either all of them or none, and returns the ids of the new
// jobs.
func (g *Graph) SubmitMany(requests []Request) ([]string, error) {
	if len(requests) == 0 {
		return nil, nil
	}
	var c call
	// Go memory that contains pointers must not be passed to C, except to C memory.
	memory := C.calloc(C.size_t(len(requests)), C.sizeof_jobstore_request)
	if memory == nil {
		panic("jobstore: out of memory")
	}
	array := unsafe.Slice((*C.jobstore_request)(c.copied(memory)), len(requests))
	for n, request := range requests {
		array[n] = c.request(request)
	}
	ids := make([]C.jobstore_job_id, len(requests))
	err := c.check(C.jobstore_submit_many(g.c, &array[0], C.size_t(len(requests)), &ids[0], &c.err))
	if err != nil {
		return nil, err
	}
	result := make([]string, len(ids))
	for n := range ids {
		result[n] = C.GoString(&ids[n].text[0])
	}
	return result, nil
}

// Start starts a pending job.
func (g *Graph) Start(id string) error {
	var c call
	return c.check(C.jobstore_start(g.c, c.text(id), &c.err))
}

// Complete completes a running job. The outcome is JSON or only its kind, such as "failed".
func (g *Graph) Complete(id, outcome string) (Done, error) {
	var c call
	return c.effect(C.jobstore_complete(g.c, c.text(id), c.text(outcome), &c.done, &c.err))
}

// Cancel cancels a job.
func (g *Graph) Cancel(id string) (Done, error) {
	var c call
	return c.effect(C.jobstore_cancel(g.c, c.text(id), &c.done, &c.err))
}

// CancelAll cancels all pending and running jobs that a query string selects, or only counts them, and
// returns their numbers.
func (g *Graph) CancelAll(query string, dryRun bool) (string, error) {
	var c call
	return c.string(C.jobstore_cancel_all(g.c, c.text(query), C.bool(dryRun), &c.bytes, &c.err))
}

// ClaimNext claims the oldest pending job, and waits for one for at most the timeout. It returns nil if
// there is none.
func (g *Graph) ClaimNext(timeout time.Duration) (*Run, error) {
	var c call
	return c.newRun(C.jobstore_claim_next(g.c, milliseconds(timeout), &c.run, &c.err))
}

// Claim claims a pending job.
func (g *Graph) Claim(id string) (*Run, error) {
	var c call
	return c.newRun(C.jobstore_claim(g.c, c.text(id), &c.run, &c.err))
}

// Attach returns a run for a job that is already running.
func (g *Graph) Attach(id string) (*Run, error) {
	var c call
	return c.newRun(C.jobstore_attach(g.c, c.text(id), &c.run, &c.err))
}

// Job returns a job, with its secrets masked.
func (g *Graph) Job(id string) (string, error) {
	var c call
	return c.string(C.jobstore_job(g.c, c.text(id), &c.bytes, &c.err))
}

// JobRequest returns the request of a job, with its real secrets.
func (g *Graph) JobRequest(id string) (string, error) {
	var c call
	return c.string(C.jobstore_job_request(g.c, c.text(id), &c.bytes, &c.err))
}

// Tombstone returns what remains of a purged job, or "" if nothing does.
func (g *Graph) Tombstone(id string) (string, error) {
	var c call
	return c.string(C.jobstore_tombstone(g.c, c.text(id), &c.bytes, &c.err))
}

// Wait returns a job once it is complete, or "" if the timeout passes first.
func (g *Graph) Wait(id string, timeout time.Duration) (string, error) {
	var c call
	return c.string(C.jobstore_wait(g.c, c.text(id), milliseconds(timeout), &c.bytes, &c.err))
}

// Count returns the number of jobs in a state: pending, running, or complete.
func (g *Graph) Count(state string) (uint64, error) {
	var c call
	return c.count(C.jobstore_count(g.c, c.text(state), &c.number, &c.err))
}

// Tally counts jobs by a property, and returns the counts. The query contains the property and filters,
// such as "by=outcome&command=import_graph".
func (g *Graph) Tally(query string) (string, error) {
	var c call
	return c.string(C.jobstore_tally(g.c, c.text(query), &c.bytes, &c.err))
}

// History returns the history of the period that a query string selects, such as
// "from=1700000000000&step_ms=60000".
func (g *Graph) History(query string) (string, error) {
	var c call
	return c.string(C.jobstore_history(g.c, c.text(query), &c.bytes, &c.err))
}

// SetRetention sets the retention policy; "" removes it.
func (g *Graph) SetRetention(policy string) error {
	var c call
	return c.check(C.jobstore_set_retention(g.c, c.text(policy), &c.err))
}

// Retention returns the retention policy, or "" if there is none.
func (g *Graph) Retention() (string, error) {
	var c call
	return c.string(C.jobstore_retention(g.c, &c.bytes, &c.err))
}

// Purge purges the complete jobs that a query string selects, or only counts them.
func (g *Graph) Purge(query string, dryRun bool) (uint64, error) {
	var c call
	return c.count(C.jobstore_purge(g.c, c.text(query), C.bool(dryRun), &c.number, &c.err))
}

// Close frees the handle of the graph.
func (g *Graph) Close() { g.once.Do(func() { C.jobstore_graph_free(g.c) }) }
