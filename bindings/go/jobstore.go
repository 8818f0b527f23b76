// Package jobstore is an embedded, durable store for the asynchronous jobs of a graph engine.
//
// Stores, graphs, pages, and runs can be used by any number of goroutines at the same time, change feeds
// by one. Close each object; closing it again has no effect. Lists, jobs, changes, outcomes, and policies
// are JSON.
package jobstore

/*
#cgo pkg-config: jobstore
#include <jobstore.h>
*/
import "C"

import "time"

// Forever is a timeout that never passes.
const Forever time.Duration = -1

// Done is what a call did with a job.
type Done int

const (
	// Effective means that the call had its effect.
	Effective Done = C.JOBSTORE_DONE
	// CancelledBeforeStart means that the job was pending, and is complete now.
	CancelledBeforeStart Done = C.JOBSTORE_CANCELLED_BEFORE_START
	// CancelRequested means that the job is running, and was asked to stop.
	CancelRequested Done = C.JOBSTORE_CANCEL_REQUESTED
	// AlreadyComplete means that the job had already completed.
	AlreadyComplete Done = C.JOBSTORE_ALREADY_COMPLETE
)

// A Request consists of the name of an operation, a URL, and a JSON body. An empty body stands for {}.
type Request struct {
	Command, URL, Body string
	// Origin is who or what submitted the request, such as a user or a trace id. It may be empty.
	Origin string
}
