package jobstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A world is what a case has opened so far.
type world struct {
	options              map[string]string
	store                *Store
	graph                *Graph
	run                  *Run
	id, cursor, position string
}

func (w *world) end() {
	if w.run != nil {
		w.run.Close()
	}
	if w.graph != nil {
		w.graph.Close()
	}
	if w.store != nil {
		w.store.Close()
	}
	*w = world{options: map[string]string{}}
}

// Runs the calls of cases.txt, and compares their results.
func TestEveryCallHasTheResultOfTheTable(t *testing.T) {
	table, err := os.ReadFile("../../capi/tests/cases/cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(table), "\n")
	var w world
	defer w.end()
	calls := 0
	for n := 0; n < len(lines); n++ {
		if lines[n] == "" || lines[n][0] == '#' {
			continue
		}
		parts := strings.Split(lines[n], "\t")
		if parts[0] == "case" {
			w.end()
			continue
		}
		args := parts[1:]
		for i := range args {
			args[i] = w.expand(args[i])
		}
		result, err := w.call(parts[0], args)
		got := "= " + strings.ReplaceAll(result, "\n", "␤")
		var e *Error
		if errors.As(err, &e) {
			got = "! " + e.Name + "\t" + e.JSON
		} else if err != nil {
			t.Fatal(err)
		}
		n++
		expected := w.expand(lines[n])
		if expected[0] == '!' && !strings.Contains(expected, "\t") {
			expected += "\t…"
		}
		calls++
		if !matches(expected, got) {
			t.Errorf("line %d: %s\nexpected %.1000s\ngot      %.1000s", n, parts[0], expected, got)
		}
	}
	if calls < 200 {
		t.Errorf("%d calls", calls)
	}
	t.Logf("%d calls", calls)
}

var repeated = regexp.MustCompile(`⟦(.*?)\*(\d+)⟧`)

func (w *world) expand(text string) string {
	text = repeated.ReplaceAllStringFunc(text, func(found string) string {
		groups := repeated.FindStringSubmatch(found)
		times, _ := strconv.Atoi(groups[2])
		return strings.Repeat(groups[1], times)
	})
	return strings.NewReplacer("$id", w.id, "$cursor", w.cursor, "$position", w.position).Replace(text)
}

// matches returns whether a text matches a pattern, in which … stands for any text.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "…")
	if len(parts) == 1 {
		return text == pattern
	}
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return strings.HasSuffix(text, parts[last])
}

func (d Done) word() string {
	return [...]string{"done", "cancelled_before_start", "cancel_requested", "already_complete"}[d]
}

func (w *world) open() (*Store, error) {
	var err error
	if w.store == nil {
		w.store, err = OpenInMemory(w.options)
	}
	return w.store, err
}

func (w *world) openGraph(open func(*Store) (*Graph, error)) (string, error) {
	store, err := w.open()
	if err != nil {
		return "", err
	}
	graph, err := open(store)
	if err != nil {
		return "", err
	}
	if w.graph != nil {
		w.graph.Close()
	}
	w.graph = graph
	return "ok", nil
}

func (w *world) list(query string) (jobs int, text string, err error) {
	page, err := w.graph.Page(query)
	if err != nil {
		return 0, "", err
	}
	defer page.Close()
	if w.cursor, err = page.Next(); err != nil {
		return 0, "", err
	}
	var out bytes.Buffer
	count, err := page.WriteTo(&out)
	if err == nil && count != int64(out.Len()) {
		err = fmt.Errorf("%d bytes, but %d were written", count, out.Len())
	}
	return page.Len(), out.String(), err
}

func (w *world) changes(position string) (string, error) {
	feed, err := w.graph.Changes(position)
	if err != nil {
		return "", err
	}
	defer feed.Close()
	var kinds []string
	for {
		text, err := feed.Next(0)
		if err != nil || text == "" {
			return strings.Join(kinds, " "), err
		}
		var change struct{ Kind, Position string }
		if err := json.Unmarshal([]byte(text), &change); err != nil {
			return "", err
		}
		kinds = append(kinds, change.Kind)
		w.position = change.Position
	}
}

func (w *world) fill(jobs int) error {
	for from := 0; from < jobs; from += 1000 {
		var requests []Request
		for n := from; n < jobs && n < from+1000; n++ {
			requests = append(requests, Request{Command: "fill", URL: "/ges", Body: fmt.Sprintf(`{"n":%d}`, n)})
		}
		if _, err := w.graph.SubmitMany(requests); err != nil {
			return err
		}
	}
	return nil
}

func request(args []string) Request {
	return Request{Command: args[0], URL: args[1], Body: args[2]}
}

func word(done Done, err error) (string, error) { return done.word(), err }

func number(n uint64, err error) (string, error) { return strconv.FormatUint(n, 10), err }

func created(created bool, err error) (string, error) {
	if created {
		return "created", err
	}
	return "exists", err
}

func orNone(text string, err error) (string, error) {
	if text == "" {
		return "none", err
	}
	return text, err
}

func (w *world) call(name string, args []string) (result string, err error) {
	switch name {
	case "option":
		options, err := newOptions(map[string]string{args[0]: args[1]})
		if err != nil {
			return "", err
		}
		freeOptions(options)
		w.options[args[0]] = args[1]
	case "graph":
		return w.openGraph(func(s *Store) (*Graph, error) { return s.Graph(args[0], args[1]) })
	case "create":
		return w.openGraph(func(s *Store) (*Graph, error) { return s.CreateGraph(args[0], args[1]) })
	case "get":
		return w.openGraph(func(s *Store) (*Graph, error) { return s.GetGraph(args[0], args[1]) })
	case "drop", "graphs", "health", "tally_all", "close":
		store, err := w.open()
		switch {
		case err != nil:
			return "", err
		case name == "graphs":
			return store.Graphs()
		case name == "health":
			return store.Health()
		case name == "tally_all":
			return store.Tally(args[0])
		case name == "drop":
			err = store.DropGraph(args[0], args[1])
		default:
			err = store.Shutdown()
		}
		return "ok", err
	case "submit":
		w.id, err = w.graph.Submit(request(args))
		return w.id, err
	case "submit_from":
		r := request(args[1:])
		r.Origin = args[0]
		w.id, err = w.graph.Submit(r)
		return w.id, err
	case "submit_as":
		return created(w.graph.SubmitAs(args[0], request(args[1:])))
	case "submit_once":
		var isNew bool
		w.id, isNew, err = w.graph.SubmitOnce(args[0], request(args[1:]))
		return created(isNew, err)
	case "fill":
		jobs, _ := strconv.Atoi(args[0])
		return args[0], w.fill(jobs)
	case "start":
		return "ok", w.graph.Start(args[0])
	case "complete":
		return word(w.graph.Complete(args[0], args[1]))
	case "cancel":
		return word(w.graph.Cancel(args[0]))
	case "cancel_all":
		return w.graph.CancelAll(args[0], args[1] == "true")
	case "claim", "claim_next":
		var run *Run
		if name == "claim" {
			run, err = w.graph.Claim(args[0])
		} else {
			run, err = w.graph.ClaimNext(0)
		}
		if err != nil {
			return "", err
		}
		if w.run != nil {
			w.run.Close()
		}
		w.run = run
		if run == nil {
			return "none", nil
		}
		return run.ID(), nil
	case "run_origin":
		r, err := w.run.Request()
		return r.Origin, err
	case "run_request":
		r, err := w.run.Request()
		return r.Command + " " + r.URL + " " + r.Body, err
	case "progress":
		percent, _ := strconv.Atoi(args[0])
		return "ok", w.run.Progress(uint8(percent), args[1])
	case "cancel_requested":
		return strconv.FormatBool(w.run.CancelRequested()), nil
	case "run_complete":
		return word(w.run.Complete(args[0]))
	case "requeue":
		return word(w.run.Requeue())
	case "run_free":
		w.run.Close()
	case "detach":
		w.run.Detach()
	case "job":
		return w.graph.Job(args[0])
	case "job_request":
		return w.graph.JobRequest(args[0])
	case "wait":
		milliseconds, _ := strconv.Atoi(args[1])
		return orNone(w.graph.Wait(args[0], time.Duration(milliseconds)*time.Millisecond))
	case "wait_state":
		for {
			job, err := w.graph.Job(args[0])
			if err != nil || strings.Contains(job, `"status":"`+args[1]+`"`) {
				return "ok", err
			}
			time.Sleep(time.Millisecond)
		}
	case "count":
		return number(w.graph.Count(args[0]))
	case "list":
		_, result, err = w.list(args[0])
		return result, err
	case "size":
		jobs, text, err := w.list(args[0])
		return fmt.Sprintf("%d %d", jobs, len(text)), err
	case "find":
		var out bytes.Buffer
		err = w.graph.Find(request(args), 0, &out)
		return strconv.Itoa(bytes.Count(out.Bytes(), []byte("\n"))), err
	case "tally":
		return w.graph.Tally(args[0])
	case "history":
		return w.graph.History(args[0])
	case "changes":
		return w.changes(args[0])
	case "retention":
		return "ok", w.graph.SetRetention(args[0])
	case "get_retention":
		return orNone(w.graph.Retention())
	case "purge":
		return number(w.graph.Purge(args[0], args[1] == "true"))
	case "tombstone":
		return orNone(w.graph.Tombstone(args[0]))
	case "export":
		var out bytes.Buffer
		err = w.graph.Export(args[0], args[1] == "true", &out)
		return out.String(), err
	case "import":
		lines := strings.NewReader(strings.ReplaceAll(args[0], "␤", "\n"))
		return w.graph.Import(lines, args[1] == "true")
	default:
		return "", fmt.Errorf("unknown call %s", name)
	}
	return "ok", nil
}
