import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import jobstore.Graph;
import jobstore.JobstoreException;
import jobstore.Page;
import jobstore.Request;
import jobstore.Run;
import jobstore.Store;

/** Runs the calls of cases.txt, and compares their results. */
public final class Cases {
    private Map<String, String> options = new HashMap<>();
    private Store store;
    private Graph graph;
    private Run run;
    private String id = "", cursor = "", position = "";

    public static void main(String[] arguments) throws Exception {
        var lines = Files.readString(Path.of(arguments[0])).split("\n");
        var world = new Cases();
        int calls = 0, failed = 0;
        for (int n = 0; n < lines.length; n++) {
            if (lines[n].isEmpty() || lines[n].startsWith("#")) {
                continue;
            }
            var parts = lines[n].split("\t", -1);
            if (parts[0].equals("case")) {
                world = new Cases();
                continue;
            }
            var args = new ArrayList<String>();
            for (var part : Arrays.asList(parts).subList(1, parts.length)) {
                args.add(world.expand(part));
            }
            String got;
            try {
                got = "= " + world.call(parts[0], args).replace("\n", "␤");
            } catch (JobstoreException e) {
                got = "! " + e.name() + "\t" + e.json();
            }
            var expected = world.expand(lines[++n]);
            if (expected.startsWith("!") && !expected.contains("\t")) {
                expected += "\t…";
            }
            calls++;
            if (!matches(expected, got)) {
                failed++;
                System.out.printf("line %d: %s%nexpected %.1000s%ngot      %.1000s%n",
                        n, parts[0], expected, got);
            }
        }
        System.out.printf("Java %s: %d calls, %d failed%n", Runtime.version().feature(), calls, failed);
        System.exit(failed > 0 || calls == 0 ? 1 : 0);
    }

    private static final Pattern REPEATED = Pattern.compile("⟦(.*?)\\*(\\d+)⟧");

    private String expand(String text) {
        var found = REPEATED.matcher(text);
        text = found.replaceAll(m -> m.group(1).repeat(Integer.parseInt(m.group(2))));
        return text.replace("$id", id).replace("$cursor", cursor).replace("$position", position);
    }

    private static boolean matches(String pattern, String text) {
        var parts = pattern.split("…", -1);
        if (parts.length == 1) {
            return text.equals(pattern);
        }
        if (!text.startsWith(parts[0])) {
            return false;
        }
        int at = parts[0].length();
        for (int n = 1; n < parts.length - 1; n++) {
            at = text.indexOf(parts[n], at);
            if (at < 0) {
                return false;
            }
            at += parts[n].length();
        }
        var last = parts[parts.length - 1];
        return text.length() - at >= last.length() && text.endsWith(last);
    }

    private Store open() {
        if (store == null) {
            store = Store.inMemory(options);
        }
        return store;
    }

    private static Request request(List<String> args, int from) {
        return new Request(args.get(from), args.get(from + 1), args.get(from + 2));
    }

    private Page list(String query) {
        var page = graph.list(query);
        cursor = page.next().orElse("");
        return page;
    }

    private static String word(Enum<?> done) {
        return done.name().toLowerCase();
    }

    private static String value(String json, String name) {
        int at = json.indexOf("\"" + name + "\":\"") + name.length() + 4;
        return json.substring(at, json.indexOf('"', at));
    }

    private String call(String name, List<String> args) throws Exception {
        switch (name) {
            case "option" -> {
                options.put(args.get(0), args.get(1));
                // Sets it now, so that an invalid one is an error of this call.
                try (var checked = Store.inMemory(options)) {
                    checked.shutdown();
                } catch (JobstoreException e) {
                    if (!e.name().equals("InvalidOption")) {
                        options.remove(args.get(0));
                        throw e;
                    }
                }
            }
            case "graph" -> graph = open().getOrCreateGraph(args.get(0), args.get(1));
            case "create" -> graph = open().createGraph(args.get(0), args.get(1));
            case "get" -> graph = open().graph(args.get(0), args.get(1));
            case "drop" -> open().dropGraph(args.get(0), args.get(1));
            case "graphs" -> {
                return open().graphs();
            }
            case "health" -> {
                return open().health();
            }
            case "tally_all" -> {
                return open().tally(args.get(0));
            }
            case "close" -> open().shutdown();
            case "submit" -> {
                return id = graph.submit(request(args, 0));
            }
            case "submit_from" -> {
                return id =
                        graph.submit(
                                new Request(args.get(1), args.get(2), args.get(3), args.get(0)));
            }
            case "submit_as" -> {
                return graph.submitAs(args.get(0), request(args, 1)) ? "created" : "exists";
            }
            case "submit_once" -> {
                var submitted = graph.submitOnce(args.get(0), request(args, 1));
                id = submitted.id();
                return submitted.created() ? "created" : "exists";
            }
            case "fill" -> {
                int jobs = Integer.parseInt(args.get(0));
                for (int from = 0; from < jobs; from += 1000) {
                    var requests = new ArrayList<Request>();
                    for (int n = from; n < Math.min(jobs, from + 1000); n++) {
                        requests.add(new Request("fill", "/ges", "{\"n\":" + n + "}"));
                    }
                    graph.submitMany(requests);
                }
                return args.get(0);
            }
            case "start" -> graph.start(args.get(0));
            case "complete" -> {
                return word(graph.complete(args.get(0), args.get(1)));
            }
            case "cancel" -> {
                return word(graph.cancel(args.get(0)));
            }
            case "cancel_all" -> {
                return graph.cancelAll(args.get(0), args.get(1).equals("true"));
            }
            case "claim" -> {
                run = graph.claim(args.get(0));
                return run.id();
            }
            case "claim_next" -> {
                run = graph.claimNext().orElse(null);
                return run == null ? "none" : run.id();
            }
            case "run_origin" -> {
                return run.request().origin();
            }
            case "run_request" -> {
                var request = run.request();
                return request.command() + " " + request.url() + " " + request.body();
            }
            case "progress" -> run.progress(Integer.parseInt(args.get(0)), args.get(1));
            case "cancel_requested" -> {
                return String.valueOf(run.cancelRequested());
            }
            case "run_complete" -> {
                return word(run.complete(args.get(0)));
            }
            case "requeue" -> {
                return word(run.requeue());
            }
            case "run_free" -> run.close();
            case "detach" -> run.detach();
            case "job" -> {
                return graph.job(args.get(0));
            }
            case "job_request" -> {
                return graph.jobRequest(args.get(0));
            }
            case "wait" -> {
                var timeout = Duration.ofMillis(Long.parseLong(args.get(1)));
                return graph.await(args.get(0), timeout).orElse("none");
            }
            case "wait_state" -> {
                while (!value(graph.job(args.get(0)), "status").equals(args.get(1))) {
                    Thread.sleep(1);
                }
            }
            case "count" -> {
                return String.valueOf(graph.count(args.get(0)));
            }
            case "list" -> {
                return new String(list(args.get(0)).json(), StandardCharsets.UTF_8);
            }
            case "size" -> {
                var page = list(args.get(0));
                return page.size() + " " + page.json().length;
            }
            case "find" -> {
                return String.valueOf(graph.find(request(args, 0)).lines().count());
            }
            case "tally" -> {
                return graph.tally(args.get(0));
            }
            case "history" -> {
                return graph.history(args.get(0));
            }
            case "changes" -> {
                var kinds = new ArrayList<String>();
                try (var changes = graph.changes(args.get(0))) {
                    for (var next = changes.next(); next.isPresent(); next = changes.next()) {
                        kinds.add(value(next.get(), "kind"));
                        position = value(next.get(), "position");
                    }
                }
                return String.join(" ", kinds);
            }
            case "retention" -> graph.setRetention(args.get(0));
            case "get_retention" -> {
                return graph.retention().orElse("none");
            }
            case "purge" -> {
                return String.valueOf(graph.purge(args.get(0), args.get(1).equals("true")));
            }
            case "tombstone" -> {
                return graph.tombstone(args.get(0)).orElse("none");
            }
            case "export" -> {
                var lines = new ByteArrayOutputStream();
                graph.export(args.get(0), args.get(1).equals("true"), lines);
                return lines.toString(StandardCharsets.UTF_8);
            }
            case "import" -> {
                var lines = args.get(0).replace("␤", "\n").getBytes(StandardCharsets.UTF_8);
                return graph.importJobs(new ByteArrayInputStream(lines), args.get(1).equals("true"));
            }
            default -> throw new IllegalArgumentException("unknown call " + name);
        }
        return "ok";
    }
}
