package jobstore;

import java.util.function.Consumer;

/**
 * Calls functions of the C library by name. An argument is a {@code Long} (a handle or a 64-bit
 * integer), {@code Integer}, {@code Byte}, or {@code Boolean}; {@code byte[]} for a text; {@code
 * byte[][]} for an array of requests, of which each has three texts; {@link Out} and {@link OutBytes} for
 * results; a {@code Consumer<byte[]>} that receives an output; or a {@link Input}.
 */
interface Backend {
    /** Memory that a function fills. */
    final class Out {
        final int size;
        byte[] bytes;

        Out(int size) {
            this.size = size;
        }

        long number() {
            return java.nio.ByteBuffer.wrap(bytes).order(java.nio.ByteOrder.nativeOrder()).getLong();
        }
    }

    /** A result in memory of the library, which is released after it has been copied. */
    final class OutBytes {
        /** The result, or null. */
        byte[] bytes;
    }

    /** Fills an array, and returns the number of bytes: 0 at the end, -1 after a failure. */
    interface Input {
        byte[] next(int capacity);
    }

    /** Calls a function that returns an {@code int32_t}. */
    int call(String name, Object... arguments);

    /** Calls a function of a handle that returns a {@code size_t}, {@code int64_t} or pointer. */
    long number(String name, long handle);

    /** Calls a function of a handle that returns a text. */
    byte[] text(String name, long handle);

    /** Calls a function of a handle that returns nothing. */
    void release(String name, long handle);

    /** Reads memory of the library. */
    byte[] read(long address, long length);

    /** Reads a string that ends with a NUL byte. */
    String string(long address);

    /** The backend for this version of Java. */
    static Backend load() {
        String library = System.getProperty("jobstore.library", "libjobstore.so.0.1");
        boolean ffm = Runtime.version().feature() >= 22 && !Boolean.getBoolean("jobstore.jna");
        String backend = ffm ? "jobstore.FfmBackend" : "jobstore.JnaBackend";
        try {
            var constructor = Class.forName(backend).getDeclaredConstructor(String.class);
            return (Backend) constructor.newInstance(library);
        } catch (ReflectiveOperationException | LinkageError e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            throw new IllegalStateException(
                    "cannot load "
                            + library
                            + ": "
                            + cause
                            + "; install it with capi/install, or set the property jobstore.library"
                            + " to its path"
                            + (ffm ? "" : "; before Java 22, JNA must be on the class path"),
                    cause);
        }
    }
}
