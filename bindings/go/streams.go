package jobstore

/*
#include <jobstore.h>

extern int32_t goWrite(void *user, char *data, size_t len);
extern ptrdiff_t goRead(void *user, char *buffer, size_t capacity);

static int32_t pass(void *user, const char *data, size_t len) {
  return goWrite(user, (char *)data, len);
}

static int32_t page_write(const jobstore_page *page, uintptr_t writer, jobstore_error **error) {
  return jobstore_page_write(page, pass, (void *)writer, error);
}

static int32_t find(const jobstore_graph *graph, const jobstore_request *request, uint64_t limit,
                    uintptr_t writer, jobstore_error **error) {
  return jobstore_find(graph, request, limit, pass, (void *)writer, error);
}

static int32_t export_jobs(const jobstore_graph *graph, jobstore_text query, bool reveal_secrets,
                           uintptr_t writer, jobstore_error **error) {
  return jobstore_export(graph, query, reveal_secrets, pass, (void *)writer, error);
}

static int32_t import_jobs(const jobstore_graph *graph, bool skip_bad_lines, uintptr_t reader,
                           jobstore_bytes *json, jobstore_error **error) {
  return jobstore_import(graph, skip_bad_lines, goRead, (void *)reader, json, error);
}
*/
import "C"

import (
	"bytes"
	"io"
	"runtime/cgo"
	"sync"
)

// written makes a call that writes to an output, and returns the number of bytes. An error of the
// output is returned as it is.
func written(out io.Writer, write func(*call, C.uintptr_t) C.int32_t) (int64, error) {
	w := &writer{out: out}
	handle := cgo.NewHandle(w)
	defer handle.Delete()
	var c call
	err := c.check(write(&c, C.uintptr_t(handle)))
	if w.err != nil {
		err = w.err
	}
	return w.count, err
}

// A Page is a part of the list: a snapshot of one instant. It keeps files of the store until it is
// closed.
type Page struct {
	c    *C.jobstore_page
	once sync.Once
}

// Page returns the jobs that a query string selects, such as "state=pending&limit=20".
func (g *Graph) Page(query string) (*Page, error) {
	var c call
	var page *C.jobstore_page
	if err := c.check(C.jobstore_list(g.c, c.text(query), &page, &c.err)); err != nil {
		return nil, err
	}
	return &Page{c: page}, nil
}

// Len returns the number of jobs on the page.
func (p *Page) Len() int { return int(C.jobstore_page_len(p.c)) }

// Total returns the number of jobs that match the query, or -1 if it is unknown.
func (p *Page) Total() int64 { return int64(C.jobstore_page_total(p.c)) }

// Next returns the cursor of the next page, or "" if there is none.
func (p *Page) Next() (string, error) {
	var c call
	return c.string(C.jobstore_page_next(p.c, &c.bytes, &c.err))
}

// WriteTo writes the page as JSON.
func (p *Page) WriteTo(out io.Writer) (int64, error) {
	return written(out, func(c *call, writer C.uintptr_t) C.int32_t {
		return C.page_write(p.c, writer, &c.err)
	})
}

// Close frees the page.
func (p *Page) Close() { p.once.Do(func() { C.jobstore_page_free(p.c) }) }

// List writes the jobs that a query string selects, and returns the cursor of the next page, or "" if
// there is none.
func (g *Graph) List(query string, out io.Writer) (string, error) {
	page, err := g.Page(query)
	if err != nil {
		return "", err
	}
	defer page.Close()
	if _, err := page.WriteTo(out); err != nil {
		return "", err
	}
	return page.Next()
}

// ListJSON returns the jobs that a query string selects.
func (g *Graph) ListJSON(query string) (string, error) {
	var out bytes.Buffer
	_, err := g.List(query, &out)
	return out.String(), err
}

// Find writes the jobs that have exactly this request, newest first, as JSON lines. At most limit jobs
// are written; 0 stands for all.
func (g *Graph) Find(request Request, limit uint64, out io.Writer) error {
	_, err := written(out, func(c *call, writer C.uintptr_t) C.int32_t {
		r := c.request(request)
		return C.find(g.c, &r, C.uint64_t(limit), writer, &c.err)
	})
	return err
}

// Export writes the jobs that a query string selects as JSON lines. If revealSecrets is true, protect
// the output like the credentials in it.
func (g *Graph) Export(query string, revealSecrets bool, out io.Writer) error {
	_, err := written(out, func(c *call, writer C.uintptr_t) C.int32_t {
		return C.export_jobs(g.c, c.text(query), C.bool(revealSecrets), writer, &c.err)
	})
	return err
}

// Import imports jobs from JSON lines, and returns a report as JSON.
func (g *Graph) Import(in io.Reader, skipBadLines bool) (string, error) {
	r := &reader{in: in}
	handle := cgo.NewHandle(r)
	defer handle.Delete()
	var c call
	report, err := c.string(C.import_jobs(g.c, C.bool(skipBadLines), C.uintptr_t(handle), &c.bytes, &c.err))
	if r.err != nil {
		err = r.err
	}
	return report, err
}
