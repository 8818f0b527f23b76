package jobstore

// #include <jobstore.h>
import "C"

import "sync"

// A Store is an open store.
type Store struct {
	c    *C.jobstore_store
	once sync.Once
}

// Open opens the store in a directory, and creates both if they do not exist.
func Open(directory string, options map[string]string) (*Store, error) {
	return openWith(options, func(o *C.jobstore_options, store **C.jobstore_store) error {
		var c call
		return c.check(C.jobstore_open(c.text(directory), o, store, &c.err))
	})
}

// OpenInMemory opens a new store in memory, for tests.
func OpenInMemory(options map[string]string) (*Store, error) {
	return openWith(options, func(o *C.jobstore_options, store **C.jobstore_store) error {
		var c call
		return c.check(C.jobstore_open_in_memory(o, store, &c.err))
	})
}

func openWith(options map[string]string, open func(*C.jobstore_options, **C.jobstore_store) error) (*Store, error) {
	o, err := newOptions(options)
	if err != nil {
		return nil, err
	}
	defer freeOptions(o)
	var store *C.jobstore_store
	if err := open(o, &store); err != nil {
		return nil, err
	}
	return &Store{c: store}, nil
}

func newOptions(options map[string]string) (*C.jobstore_options, error) {
	var c call
	var o *C.jobstore_options
	if err := c.check(C.jobstore_options_new(&o, &c.err)); err != nil {
		return nil, err
	}
	for name, value := range options {
		var c call
		if err := c.check(C.jobstore_options_set(o, c.text(name), c.text(value), &c.err)); err != nil {
			freeOptions(o)
			return nil, err
		}
	}
	return o, nil
}

func freeOptions(o *C.jobstore_options) { C.jobstore_options_free(o) }

// Graph returns a graph, and creates it if it does not exist.
func (s *Store) Graph(projectID, name string) (*Graph, error) {
	var c call
	return c.newGraph(C.jobstore_get_or_create_graph(s.c, c.text(projectID), c.text(name), &c.graph, &c.err))
}

// CreateGraph creates a graph.
func (s *Store) CreateGraph(projectID, name string) (*Graph, error) {
	var c call
	return c.newGraph(C.jobstore_create_graph(s.c, c.text(projectID), c.text(name), &c.graph, &c.err))
}

// GetGraph returns a graph that exists.
func (s *Store) GetGraph(projectID, name string) (*Graph, error) {
	var c call
	return c.newGraph(C.jobstore_get_graph(s.c, c.text(projectID), c.text(name), &c.graph, &c.err))
}

// DropGraph drops a graph and all its jobs.
func (s *Store) DropGraph(projectID, name string) error {
	var c call
	return c.check(C.jobstore_drop_graph(s.c, c.text(projectID), c.text(name), &c.err))
}

// Graphs returns all graphs.
func (s *Store) Graphs() (string, error) {
	var c call
	return c.string(C.jobstore_graphs(s.c, &c.bytes, &c.err))
}

// Recovered returns the jobs that this open found running.
func (s *Store) Recovered() (string, error) {
	var c call
	return c.string(C.jobstore_recovered(s.c, &c.bytes, &c.err))
}

// Stats returns the statistics of the store.
func (s *Store) Stats() (string, error) {
	var c call
	return c.string(C.jobstore_stats(s.c, &c.bytes, &c.err))
}

// Health returns the health of the store.
func (s *Store) Health() (string, error) {
	var c call
	return c.string(C.jobstore_health(s.c, &c.bytes, &c.err))
}

// Tally counts the jobs of all graphs, as Graph.Tally does for one of them.
func (s *Store) Tally(query string) (string, error) {
	var c call
	return c.string(C.jobstore_tally_all(s.c, c.text(query), &c.bytes, &c.err))
}

// Backup backs up the store, while it is in use, to an empty or new directory. It returns a report.
func (s *Store) Backup(directory string) (string, error) {
	var c call
	return c.string(C.jobstore_backup(s.c, c.text(directory), &c.bytes, &c.err))
}

// Shutdown closes the store without freeing it: calls then fail with the error Closed.
func (s *Store) Shutdown() error {
	var c call
	return c.check(C.jobstore_close(s.c, &c.err))
}

// Close closes the store and frees it.
func (s *Store) Close() (err error) {
	s.once.Do(func() {
		err = s.Shutdown()
		C.jobstore_free(s.c)
	})
	return err
}
