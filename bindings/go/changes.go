package jobstore

// #include <jobstore.h>
import "C"

import (
	"sync"
	"time"
)

// A Changes is the change feed of a graph.
type Changes struct {
	c    *C.jobstore_changes
	once sync.Once
}

// Changes opens the change feed after a position, or from the beginning if it is empty.
func (g *Graph) Changes(position string) (*Changes, error) {
	var c call
	var changes *C.jobstore_changes
	if err := c.check(C.jobstore_open_changes(g.c, c.text(position), &changes, &c.err)); err != nil {
		return nil, err
	}
	return &Changes{c: changes}, nil
}

// Position returns the current end of the change feed.
func (g *Graph) Position() (string, error) {
	var c call
	return c.string(C.jobstore_position(g.c, &c.bytes, &c.err))
}

// Next returns the next change, or "" if the timeout passes first.
func (changes *Changes) Next(timeout time.Duration) (string, error) {
	var c call
	return c.string(C.jobstore_changes_next(changes.c, milliseconds(timeout), &c.bytes, &c.err))
}

// Close frees the feed.
func (changes *Changes) Close() { changes.once.Do(func() { C.jobstore_changes_free(changes.c) }) }
