package jobstore;

import static jobstore.Native.text;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** A graph of a store. Any number of threads may use it at the same time. */
public final class Graph extends Handle {
    Graph(long handle) {
        super(handle, "graph_free");
    }

    /** Returns the graph's name. */
    public String name() {
        return Native.string(Native.view("graph_name", this));
    }

    /** Returns the id of the graph's project. */
    public String projectId() {
        return Native.string(Native.view("graph_project_id", this));
    }

    /** Submits a request, and returns the id of the new job. It is durable afterward. */
    public String submit(Request request) {
        var id = Native.ids(1);
        Native.call("submit", this, Native.request(request), id);
        return Native.id(id.bytes, 0);
    }

    /** Submits a request under an id of the caller. Returns false if it exists already. */
    public boolean submitAs(String id, Request request) {
        return Native.number("submit_as", this, text(id), Native.request(request)) != 0;
    }

    /** Submits a request once per idempotency key. */
    public Submitted submitOnce(String key, Request request) {
        var id = Native.ids(1);
        long created =
                Native.number("submit_once", this, text(key), Native.request(request), id);
        return new Submitted(Native.id(id.bytes, 0), created != 0);
    }

    /** Submits requests in one commit: either all of them or none. */
    public List<String> submitMany(List<Request> requests) {
        var ids = Native.ids(requests.size());
        var texts = Native.request(requests.toArray(new Request[0]));
        Native.call("submit_many", this, texts, (long) requests.size(), ids);
        List<String> result = new ArrayList<>();
        for (int n = 0; n < requests.size(); n++) {
            result.add(Native.id(ids.bytes, n));
        }
        return result;
    }

    /** Starts a pending job. */
    public void start(String id) {
        Native.call("start", this, text(id));
    }

    /** Completes a running job. The outcome is JSON or only its kind, such as {@code failed}. */
    public Done complete(String id, String outcome) {
        return Done.of(Native.number("complete", this, text(id), text(outcome)));
    }

    /** Cancels a job. */
    public Done cancel(String id) {
        return Done.of(Native.number("cancel", this, text(id)));
    }

    /** Cancels all pending and running jobs that match a query, or only counts them. Returns JSON. */
    public String cancelAll(String query, boolean dryRun) {
        return Native.maybeString("cancel_all", this, text(query), dryRun);
    }

    /** Claims the oldest pending job, if there is one. */
    public Optional<Run> claimNext() {
        return claimNext(Duration.ZERO);
    }

    /** Claims the oldest pending job, and waits for one if none is pending. */
    public Optional<Run> claimNext(Duration timeout) {
        long run = Native.number("claim_next", this, timeout.toMillis());
        return run == 0 ? Optional.empty() : Optional.of(new Run(run));
    }

    /** Claims a pending job. */
    public Run claim(String id) {
        return new Run(Native.number("claim", this, text(id)));
    }

    /** Returns a run for a job that is already running. */
    public Run attach(String id) {
        return new Run(Native.number("attach", this, text(id)));
    }

    /** Returns the job as JSON, with its secrets masked. */
    public String job(String id) {
        return Native.maybeString("job", this, text(id));
    }

    /** Returns the request as JSON, with its real secrets. */
    public String jobRequest(String id) {
        return Native.maybeString("job_request", this, text(id));
    }

    /** Returns what remains of a purged job as JSON. */
    public Optional<String> tombstone(String id) {
        return Optional.ofNullable(Native.maybeString("tombstone", this, text(id)));
    }

    /** Returns the number of jobs in a state: pending, running, or complete. */
    public long count(String state) {
        return Native.number("count", this, text(state));
    }

    /** Returns the job as JSON once it is complete, unless the timeout passes first. */
    public Optional<String> await(String id, Duration timeout) {
        return Optional.ofNullable(
                Native.maybeString("wait", this, text(id), timeout.toMillis()));
    }

    /** Lists jobs by a query string, such as {@code state=pending&limit=20}. */
    public Page list(String query) {
        return new Page(Native.number("list", this, text(query)));
    }

    /** Returns the jobs that have exactly this request, newest first, as JSON lines. */
    public String find(Request request) {
        byte[] lines = Native.written("find", this, Native.request(request), 0L);
        return Native.string(lines);
    }

    /**
     * Counts jobs by a property, and returns the counts as JSON. The query contains the property and
     * filters, such as {@code by=outcome&command=import_graph}.
     */
    public String tally(String query) {
        return Native.maybeString("tally", this, text(query));
    }

    /**
     * Returns the history of the period that a query string selects, such as {@code
     * from=1700000000000&step_ms=60000}, as JSON.
     */
    public String history(String query) {
        return Native.maybeString("history", this, text(query));
    }

    /** Returns the change feed after a position, or from the beginning if it is empty. */
    public Changes changes(String position) {
        return new Changes(Native.number("open_changes", this, text(position)));
    }

    /** Returns the current end of the change feed. */
    public String position() {
        return Native.maybeString("position", this);
    }

    /** Sets the retention policy, as JSON; the empty text removes it. */
    public void setRetention(String policy) {
        Native.call("set_retention", this, text(policy));
    }

    /** Returns the retention policy as JSON. */
    public Optional<String> retention() {
        return Optional.ofNullable(Native.maybeString("retention", this));
    }

    /** Purges the complete jobs that match a query, or only counts them. */
    public long purge(String query, boolean dryRun) {
        return Native.number("purge", this, text(query), dryRun);
    }

    /** Writes jobs as JSON lines. */
    public void export(String query, boolean revealSecrets, OutputStream output)
            throws IOException {
        Native.write(output, "export", this, text(query), revealSecrets);
    }

    /** Imports jobs from JSON lines, and returns a report as JSON. */
    public String importJobs(InputStream input, boolean skipBadLines) throws IOException {
        IOException[] thrown = new IOException[1];
        try {
            var source = Native.input(input, thrown);
            return Native.maybeString("import", this, skipBadLines, source, 0L);
        } catch (JobstoreException e) {
            if (thrown[0] != null) {
                throw thrown[0];
            }
            throw e;
        }
    }
}
