package jobstore;

import java.time.Duration;
import java.util.Optional;

/** The change feed of a graph. Only one thread at a time may use it. */
public final class Changes extends Handle {
    Changes(long handle) {
        super(handle, "changes_free");
    }

    /** Returns the next change as JSON, if it has already happened. */
    public Optional<String> next() {
        return next(Duration.ZERO);
    }

    /** Returns the next change as JSON, unless the timeout passes first. */
    public Optional<String> next(Duration timeout) {
        return Optional.ofNullable(
                Native.maybeString("changes_next", this, timeout.toMillis()));
    }
}
