package jobstore;

import static jobstore.Native.text;

import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongFunction;

/**
 * Calls that do not wait. A future completes when the write is durable; if the call fails, it
 * completes with a {@link JobstoreException}. If a future is canceled, its write is recorded all the
 * same, and a job that it claimed becomes pending again. Any number of threads may use a queue at the
 * same time. Close it when it is no longer needed.
 */
public final class AsyncQueue extends Handle {
    private static final long POLL_MS = 100;

    /** A future, and how its result is made from the completion. */
    private record Call<T>(CompletableFuture<T> future, LongFunction<T> result) {
        void finish(long completion) {
            try {
                long error = Native.BACKEND.number("completion_error", completion);
                if (error != 0) {
                    future.completeExceptionally(Native.exception(error));
                } else if (!future.isDone()) {
                    T value = result.apply(completion);
                    if (!future.complete(value) && value instanceof Run run) {
                        handBack(run);
                    }
                }
            } catch (Throwable e) {
                future.completeExceptionally(e);
            } finally {
                Native.BACKEND.release("completion_free", completion);
            }
        }

        /** Hands back a job that was claimed while the future was being canceled. */
        private static void handBack(Run run) {
            try (run) {
                run.requeue();
            }
        }
    }

    private final Executor executor;
    private final Map<Long, Call<?>> calls = new ConcurrentHashMap<>();
    private final AtomicLong tags = new AtomicLong();
    private final Thread thread;
    private boolean isClosing;

    /** Creates a queue whose futures complete in the common pool. */
    public AsyncQueue() {
        this(ForkJoinPool.commonPool());
    }

    /** Creates a queue whose futures complete in an executor. */
    public AsyncQueue(Executor executor) {
        super(Native.number("queue_new"), "queue_free");
        this.executor = executor;
        thread = new Thread(this::collect, "jobstore-queue");
        thread.setDaemon(true);
        thread.start();
    }

    /** Submits a request, and returns the id of the new job. */
    public CompletableFuture<String> submit(Graph graph, Request request) {
        return start(AsyncQueue::string, "submit_async", graph, Native.request(request));
    }

    /** Starts a pending job. */
    public CompletableFuture<Void> start(Graph graph, String id) {
        return start(completion -> null, "start_async", graph, text(id));
    }

    /** Completes a running job. The outcome is JSON or only its kind, such as {@code failed}. */
    public CompletableFuture<Done> complete(Graph graph, String id, String outcome) {
        return start(AsyncQueue::done, "complete_async", graph, text(id), text(outcome));
    }

    /** Cancels a job. */
    public CompletableFuture<Done> cancel(Graph graph, String id) {
        return start(AsyncQueue::done, "cancel_async", graph, text(id));
    }

    /** Claims the oldest pending job as soon as there is one. */
    public CompletableFuture<Run> claimNext(Graph graph) {
        return start(AsyncQueue::run, "claim_next_async", graph);
    }

    /** Completes the job of a run. The run can be closed immediately. */
    public CompletableFuture<Done> complete(Run run, String outcome) {
        return start(AsyncQueue::done, "run_complete_async", run, text(outcome));
    }

    /** Returns a job as JSON once it is complete. */
    public CompletableFuture<String> await(Graph graph, String id) {
        return start(AsyncQueue::string, "wait_async", graph, text(id));
    }

    private static String string(long completion) {
        return Native.string(Native.BACKEND.text("completion_text", completion));
    }

    private static Done done(long completion) {
        return Done.of((int) Native.BACKEND.number("completion_done", completion));
    }

    private static Run run(long completion) {
        return new Run(Native.number("completion_take_run", completion));
    }

    private <T> CompletableFuture<T> start(
            LongFunction<T> result, String name, Object... arguments) {
        var future = new CompletableFuture<T>();
        long tag = tags.getAndIncrement();
        synchronized (this) {
            if (isClosing) {
                throw new IllegalStateException("this AsyncQueue is closed");
            }
            calls.put(tag, new Call<>(future, result));
            notifyAll();
        }
        try {
            Native.call(name, Native.with(arguments, this, tag));
        } catch (JobstoreException e) {
            calls.remove(tag);
            future.completeExceptionally(e);
        } catch (RuntimeException e) {
            calls.remove(tag);
            throw e;
        }
        future.whenComplete((value, error) -> abandon(tag, future));
        return future;
    }

    /** Tells the library that the result of a canceled call is not needed. */
    private synchronized void abandon(long tag, CompletableFuture<?> future) {
        if (future.isCancelled() && calls.remove(tag) != null && !isClosing) {
            Native.call("queue_cancel", this, tag);
        }
    }

    private void collect() {
        while (waitForCalls()) {
            // With a timeout, because a queue must not be freed while a thread waits for it.
            long completion = Native.number("queue_next", this, POLL_MS);
            if (completion == 0) {
                continue;
            }
            var call = calls.remove(Native.BACKEND.number("completion_tag", completion));
            if (call == null) {
                Native.BACKEND.release("completion_free", completion);
                continue;
            }
            try {
                executor.execute(() -> call.finish(completion));
            } catch (RejectedExecutionException e) {
                call.finish(completion);
            }
        }
    }

    /** Waits until there are calls. Returns false if the queue is being closed. */
    private synchronized boolean waitForCalls() {
        while (calls.isEmpty() && !isClosing) {
            try {
                wait();
            } catch (InterruptedException e) {
                // Only `close` ends this thread.
            }
        }
        return !isClosing;
    }

    /** Frees the queue. Futures that have not completed are canceled. */
    @Override
    public void close() {
        if (Thread.currentThread() == thread) {
            throw new IllegalStateException("an AsyncQueue cannot be closed by its own thread");
        }
        synchronized (this) {
            isClosing = true;
            notifyAll();
        }
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        super.close();
        List.copyOf(calls.values()).forEach(call -> call.future().cancel(false));
        calls.clear();
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
