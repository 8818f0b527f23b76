package jobstore;

import static jobstore.Native.text;

import java.nio.file.Path;
import java.util.Map;

/** An open store. Any number of threads may use it at the same time. */
public final class Store extends Handle {
    private Store(long handle) {
        super(handle, "free");
    }

    private static final class Options extends Handle {
        Options(Map<String, String> options) {
            super(Native.number("options_new"), "options_free");
            options.forEach(
                    (name, value) -> Native.call("options_set", this, text(name), text(value)));
        }
    }

    /** Opens the store in a directory, and creates both if they do not exist. */
    public static Store open(Path directory) {
        return open(directory, Map.of());
    }

    /** Opens the store in a directory, with options such as {@code Map.of("recovery", "requeue")}. */
    public static Store open(Path directory, Map<String, String> options) {
        try (var c = new Options(options)) {
            return new Store(Native.number("open", text(directory.toString()), c));
        }
    }

    /** Opens a new store in memory, for tests. */
    public static Store inMemory(Map<String, String> options) {
        try (var c = new Options(options)) {
            return new Store(Native.number("open_in_memory", c));
        }
    }

    /** Opens a copy that shows what another process writes. The option {@code replica} is required. */
    public static Store follow(Path directory, Map<String, String> options) {
        try (var c = new Options(options)) {
            return new Store(Native.number("follow", text(directory.toString()), c));
        }
    }

    /** Creates a graph. */
    public Graph createGraph(String projectId, String name) {
        return graph("create_graph", projectId, name);
    }

    /** Returns a graph that exists. */
    public Graph graph(String projectId, String name) {
        return graph("get_graph", projectId, name);
    }

    /** Returns a graph, and creates it if it does not exist. */
    public Graph getOrCreateGraph(String projectId, String name) {
        return graph("get_or_create_graph", projectId, name);
    }

    private Graph graph(String call, String projectId, String name) {
        return new Graph(Native.number(call, this, text(projectId), text(name)));
    }

    /** Drops a graph and all its jobs. */
    public void dropGraph(String projectId, String name) {
        Native.call("drop_graph", this, text(projectId), text(name));
    }

    /** Returns all graphs as JSON. */
    public String graphs() {
        return Native.maybeString("graphs", this);
    }

    /** Returns the jobs that this open found running as JSON. */
    public String recovered() {
        return Native.maybeString("recovered", this);
    }

    /** Returns the statistics as JSON. */
    public String stats() {
        return Native.maybeString("stats", this);
    }

    /** Returns the health as JSON. */
    public String health() {
        return Native.maybeString("health", this);
    }

    /** Counts the jobs of all graphs, as {@link Graph#tally} does for one of them. */
    public String tally(String query) {
        return Native.maybeString("tally_all", this, text(query));
    }

    /** Backs up the store, while it is in use. Returns a report as JSON. */
    public String backup(Path directory) {
        return Native.maybeString("backup", this, text(directory.toString()));
    }

    /** Closes the store, and throws an exception if that fails. The object still has to be freed. */
    public void shutdown() {
        Native.call("close", this);
    }
}
