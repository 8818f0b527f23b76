package jobstore;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.ref.Reference;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.function.Consumer;

/** Java values as arguments of the library, and its results as Java values. */
final class Native {
    static final Backend BACKEND = Backend.load();
    private static final int JOB_ID_SIZE = 129;

    private Native() {}

    /** Calls a function, and throws its error if it fails. A handle is not freed meanwhile. */
    static void call(String name, Object... arguments) {
        var error = new Backend.Out(8);
        Object[] values = with(arguments, error);
        for (int n = 0; n < arguments.length; n++) {
            if (arguments[n] instanceof Handle handle) {
                values[n] = handle.handle();
            }
        }
        int code;
        try {
            code = BACKEND.call(name, values);
        } finally {
            Reference.reachabilityFence(arguments);
        }
        if (code != 0) {
            long handle = error.number();
            try {
                throw exception(handle);
            } finally {
                BACKEND.release("error_free", handle);
            }
        }
    }

    /** Calls a function of a handle that returns a number. */
    static long get(String name, Handle handle) {
        try {
            return BACKEND.number(name, handle.handle());
        } finally {
            Reference.reachabilityFence(handle);
        }
    }

    /** Calls a function of a handle that returns a text. */
    static byte[] view(String name, Handle handle) {
        try {
            return BACKEND.text(name, handle.handle());
        } finally {
            Reference.reachabilityFence(handle);
        }
    }

    static JobstoreException exception(long error) {
        return new JobstoreException(
                BACKEND.string(BACKEND.number("error_message", error)),
                (int) BACKEND.number("error_code", error),
                BACKEND.string(BACKEND.number("error_name", error)),
                BACKEND.string(BACKEND.number("error_json", error)),
                (int) BACKEND.number("error_status", error));
    }

    static Object[] with(Object[] arguments, Object... more) {
        Object[] all = Arrays.copyOf(arguments, arguments.length + more.length);
        System.arraycopy(more, 0, all, arguments.length, more.length);
        return all;
    }

    /** Calls a function that returns a handle or a number through its last argument. */
    static long number(String name, Object... arguments) {
        var out = new Backend.Out(8);
        call(name, with(arguments, out));
        return out.number();
    }

    /** Calls a function that returns a text, or null. */
    static String maybeString(String name, Object... arguments) {
        var out = new Backend.OutBytes();
        call(name, with(arguments, out));
        return out.bytes == null ? null : string(out.bytes);
    }

    static String id(byte[] bytes, int number) {
        int from = number * JOB_ID_SIZE, to = from;
        while (bytes[to] != 0) {
            to++;
        }
        return new String(bytes, from, to - from, StandardCharsets.US_ASCII);
    }

    static Backend.Out ids(int count) {
        return new Backend.Out(Math.max(1, count) * JOB_ID_SIZE);
    }

    static byte[] text(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String string(byte[] text) {
        return new String(text, StandardCharsets.UTF_8);
    }

    static byte[][] request(Request... requests) {
        byte[][] texts = new byte[4 * requests.length][];
        for (int n = 0; n < requests.length; n++) {
            texts[4 * n] = text(requests[n].command());
            texts[4 * n + 1] = text(requests[n].url());
            texts[4 * n + 2] = text(requests[n].body());
            texts[4 * n + 3] = text(requests[n].origin());
        }
        return texts;
    }

    /** Calls a function that writes an output; the callback and its pointer come last. */
    static void write(OutputStream output, String name, Object... arguments) throws IOException {
        IOException[] thrown = new IOException[1];
        Consumer<byte[]> consumer =
                part -> {
                    try {
                        output.write(part);
                    } catch (IOException e) {
                        thrown[0] = e;
                        throw new UncheckedIOException(e);
                    }
                };
        try {
            call(name, with(arguments, consumer, 0L));
        } catch (JobstoreException e) {
            if (thrown[0] != null) {
                throw thrown[0];
            }
            throw e;
        }
    }

    static byte[] written(String name, Object... arguments) {
        var output = new ByteArrayOutputStream();
        try {
            write(output, name, arguments);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return output.toByteArray();
    }

    /** Reads from a stream, and keeps its exception. */
    static Backend.Input input(InputStream stream, IOException[] thrown) {
        return capacity -> {
            try {
                return stream.readNBytes(capacity);
            } catch (IOException e) {
                thrown[0] = e;
                throw new UncheckedIOException(e);
            }
        };
    }
}
