import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import jobstore.AsyncQueue;
import jobstore.Done;
import jobstore.Graph;
import jobstore.JobstoreException;
import jobstore.Request;
import jobstore.Store;

/** Calls that do not wait. */
public final class Async {
    private static final Request REQUEST = new Request("c", "/ges", "{}");

    public static void main(String[] arguments) throws Exception {
        try (var store = Store.inMemory(Map.of());
                var movie = store.createGraph("10001", "movie")) {
            try (var queue = new AsyncQueue()) {
                submitsFromManyThreads(queue, movie);
                aJob(queue, movie);
                errors(queue, movie);
                aCanceledClaim(queue, store.createGraph("10001", "empty"));
            }
            aClosedQueue(store.createGraph("10001", "other"));
            // Each future may start the next call, and even wait for it.
            try (var queue = new AsyncQueue()) {
                var id = queue.submit(movie, REQUEST);
                var both = id.thenApply(first -> queue.submit(movie, REQUEST).join());
                check(!both.get(60, TimeUnit.SECONDS).equals(id.join()));
            }
            store.shutdown();
        }
        System.out.printf("Java %s: asynchronous calls passed%n", Runtime.version().feature());
    }

    private static void check(boolean holds) {
        if (!holds) {
            throw new AssertionError();
        }
    }

    private static void submitsFromManyThreads(AsyncQueue queue, Graph movie) throws Exception {
        List<CompletableFuture<String>> futures = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (int n = 0; n < 4; n++) {
            var thread = new Thread(() -> {
                for (int job = 0; job < 100; job++) {
                    var future = queue.submit(movie, REQUEST);
                    synchronized (futures) {
                        futures.add(future);
                    }
                }
            });
            threads.add(thread);
            thread.start();
        }
        for (var thread : threads) {
            thread.join();
        }
        var ids = new HashSet<String>();
        for (var future : futures) {
            ids.add(future.get(60, TimeUnit.SECONDS));
        }
        check(ids.size() == 400 && movie.count("pending") == 400);
    }

    private static void aJob(AsyncQueue queue, Graph movie) throws Exception {
        try (var run = queue.claimNext(movie).get(60, TimeUnit.SECONDS)) {
            var job = queue.await(movie, run.id());
            check(!job.isDone());
            check(queue.complete(run, "{\"kind\":\"failed\",\"message\":\"m\"}").get() == Done.DONE);
            check(job.get(60, TimeUnit.SECONDS).contains("\"message\":\"m\""));
            check(queue.complete(movie, run.id(), "failed").get() == Done.ALREADY_COMPLETE);
            check(queue.cancel(movie, run.id()).get() == Done.ALREADY_COMPLETE);
        }
        var id = queue.submit(movie, REQUEST).get();
        queue.start(movie, id).get();
        check(queue.cancel(movie, id).get() == Done.CANCEL_REQUESTED);
        check(queue.complete(movie, id, "cancelled").get() == Done.DONE);
    }

    private static void errors(AsyncQueue queue, Graph movie) {
        for (var future : List.of(queue.start(movie, "z"), queue.await(movie, "z"))) {
            try {
                future.join();
                check(false);
            } catch (CompletionException e) {
                check(e.getCause() instanceof JobstoreException cause
                        && cause.name().equals("UnknownJob") && cause.status() == 400);
            }
        }
    }

    private static void aCanceledClaim(AsyncQueue queue, Graph empty) {
        try (empty) {
            var claim = queue.claimNext(empty);
            check(claim.cancel(false));
            var id = empty.submit(REQUEST);
            try (var run = empty.claimNext(Duration.ofSeconds(60)).orElseThrow()) {
                check(run.id().equals(id));
                run.complete("succeeded");
            }
        }
    }

    private static void aClosedQueue(Graph other) {
        var queue = new AsyncQueue();
        var claim = queue.claimNext(other);
        queue.close();
        queue.close();
        try {
            claim.join();
            check(false);
        } catch (CancellationException e) {
            // As it should be.
        }
        try {
            queue.submit(other, REQUEST);
            check(false);
        } catch (IllegalStateException e) {
            check(e.getMessage().equals("this AsyncQueue is closed"));
        }
        other.submit(REQUEST);
        other.claimNext().orElseThrow().close();
        other.close();
    }
}
