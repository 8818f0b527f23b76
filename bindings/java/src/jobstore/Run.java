package jobstore;

import static jobstore.Native.text;

import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;

/**
 * A running job in the hands of its worker. If it is closed without an outcome, the job is treated
 * as it would be after a crash.
 */
public final class Run extends Handle {
    Run(long handle) {
        super(handle, "run_free");
    }

    /** Returns the id of the job. */
    public String id() {
        return Native.string(Native.view("run_id", this));
    }

    /** Returns the request, with its real secrets. */
    public Request request() {
        var out = new Backend.Out(64);
        Native.call("run_request", this, out);
        var texts = ByteBuffer.wrap(out.bytes).order(ByteOrder.nativeOrder());
        try {
            return new Request(next(texts), next(texts), next(texts), next(texts));
        } finally {
            // The texts belong to the run.
            Reference.reachabilityFence(this);
        }
    }

    private static String next(ByteBuffer texts) {
        long address = texts.getLong(), length = texts.getLong();
        return length == 0 ? "" : Native.string(Native.BACKEND.read(address, length));
    }

    /** Reports the progress of the job. */
    public void progress(int percent, String text) {
        Native.call("run_progress", this, (byte) Math.max(0, Math.min(100, percent)), text(text));
    }

    /** Returns true if the worker should stop. */
    public boolean cancelRequested() {
        return waitCancelled(Duration.ZERO);
    }

    /** Waits until the worker should stop. */
    public boolean waitCancelled(Duration timeout) {
        return Native.number("run_wait_cancelled", this, timeout.toMillis()) != 0;
    }

    /** Completes the job. The outcome is JSON or only its kind, such as {@code failed}. */
    public Done complete(String outcome) {
        return Done.of(Native.number("run_complete", this, text(outcome)));
    }

    /** Makes the job pending again. */
    public Done requeue() {
        return Done.of(Native.number("run_requeue", this));
    }

    /** Frees the run, and leaves the job running. */
    public void detach() {
        Native.BACKEND.release("run_detach", take());
    }
}
