package jobstore

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T) (*Store, *Graph) {
	t.Helper()
	store, err := Open(t.TempDir(), map[string]string{"recovery": "requeue"})
	if err != nil {
		t.Fatal(err)
	}
	movie, err := store.Graph("10001", "movie")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		movie.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store, movie
}

func contains(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q does not contain %q", text, part)
	}
}

func TestTheLifeOfAJob(t *testing.T) {
	_, movie := open(t)
	id, err := movie.Submit(Request{Command: "import_graph", URL: "/ges/...", Body: `{"n": 0.00001, "secretKey": "s"}`})
	if err != nil || len(id) != 55 {
		t.Fatal(id, err)
	}
	run, err := movie.ClaimNext(0)
	if err != nil || run == nil || run.ID() != id {
		t.Fatal(run, err)
	}
	request, err := run.Request()
	if err != nil || request.Body != `{"n":0.00001,"secretKey":"s"}` {
		t.Fatal(request, err)
	}
	if err := run.Progress(40, "reading"); err != nil || run.CancelRequested() {
		t.Fatal(err)
	}
	if done, err := run.Complete(`{"kind":"failed","message":"m"}`); done != Effective || err != nil {
		t.Fatal(done, err)
	}
	run.Close()
	run.Close()
	job, err := movie.Wait(id, Forever)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, job, `"outcome":{"kind":"failed","message":"m"}`)
	list, err := movie.ListJSON("state=complete")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, list, `"body":{"n":0.00001,"secretKey":"******"}`)
	if run, err := movie.ClaimNext(time.Millisecond); run != nil || err != nil {
		t.Fatal(run, err)
	}
}

func TestErrorsHaveNamesAndDocuments(t *testing.T) {
	_, movie := open(t)
	_, err := movie.Job("z")
	if !IsName(err, "UnknownJob") {
		t.Fatal(err)
	}
	contains(t, err.(*Error).JSON, `"errorCode":"GES.8301"`)
	if _, err := movie.ListJSON("stat=pending"); !IsName(err, "InvalidParameter") {
		t.Fatal(err)
	}
	if _, err := Open(t.TempDir(), map[string]string{"recovery": "restart"}); err == nil {
		t.Fatal("an unknown value was accepted")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("full") }

func (broken) Read([]byte) (int, error) { return 0, errors.New("gone") }

func TestErrorsOfWritersAndReadersArrive(t *testing.T) {
	_, movie := open(t)
	if _, err := movie.Submit(Request{Command: "c", URL: "/ges"}); err != nil {
		t.Fatal(err)
	}
	if _, err := movie.List("", broken{}); err == nil || err.Error() != "full" {
		t.Fatal(err)
	}
	if err := movie.Export("", false, broken{}); err == nil || err.Error() != "full" {
		t.Fatal(err)
	}
	if _, err := movie.Import(broken{}, false); err == nil || err.Error() != "gone" {
		t.Fatal(err)
	}
}

func TestAFeedWaits(t *testing.T) {
	_, movie := open(t)
	changes, err := movie.Changes("")
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Close()
	go func() {
		if created, err := movie.SubmitAs("a", Request{Command: "c", URL: "/ges"}); err != nil || !created {
			t.Error(created, err)
		}
		if done, err := movie.Cancel("a"); done != CancelledBeforeStart || err != nil {
			t.Error(done, err)
		}
	}()
	for _, kind := range []string{"submitted", "completed"} {
		change, err := changes.Next(Forever)
		if err != nil {
			t.Fatal(err)
		}
		contains(t, change, `"kind":"`+kind+`"`)
	}
}

func TestManyGoroutinesShareAGraph(t *testing.T) {
	_, movie := open(t)
	var workers sync.WaitGroup
	for n := 0; n < 4; n++ {
		workers.Add(2)
		go func() {
			defer workers.Done()
			for n := 0; n < 25; n++ {
				if _, err := movie.Submit(Request{Command: "c", URL: "/ges"}); err != nil {
					t.Error(err)
				}
			}
		}()
		go func() {
			defer workers.Done()
			for n := 0; n < 25; n++ {
				run, err := movie.ClaimNext(Forever)
				if err != nil {
					t.Error(err)
					return
				}
				if done, err := run.Complete(""); done != Effective || err != nil {
					t.Error(done, err)
				}
				run.Close()
			}
		}()
	}
	workers.Wait()
	if jobs, err := movie.Count("complete"); jobs != 100 || err != nil {
		t.Error(jobs, err)
	}
}
