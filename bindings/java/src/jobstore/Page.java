package jobstore;

import java.io.IOException;
import java.io.OutputStream;
import java.util.Optional;
import java.util.OptionalLong;

/** A page of the list: a snapshot of one instant. It keeps files of the store, so close it soon. */
public final class Page extends Handle {
    Page(long handle) {
        super(handle, "page_free");
    }

    /** Returns the number of jobs on the page. */
    public int size() {
        return (int) Native.get("page_len", this);
    }

    /** Returns the number of matching jobs, if it is known. */
    public OptionalLong total() {
        long total = Native.get("page_total", this);
        return total < 0 ? OptionalLong.empty() : OptionalLong.of(total);
    }

    /** Returns the cursor of the next page, unless this is the last one. */
    public Optional<String> next() {
        return Optional.ofNullable(Native.maybeString("page_next", this));
    }

    /** Returns the page as JSON, in UTF-8. */
    public byte[] json() {
        return Native.written("page_write", this);
    }

    /** Writes the page as JSON, in parts of any size. */
    public void write(OutputStream output) throws IOException {
        Native.write(output, "page_write", this);
    }
}
