package jobstore;

/** Why a call failed. The message states the problem and its remedy. */
public final class JobstoreException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final int code;
    private final String name;
    private final String json;
    private final int status;

    JobstoreException(String message, int code, String name, String json, int status) {
        super(message);
        this.code = code;
        this.name = name;
        this.json = json;
        this.status = status;
    }

    /** Returns the number of the error in {@code jobstore.h}. */
    public int code() {
        return code;
    }

    /** Returns the name of the error, such as {@code UnknownGraph}. */
    public String name() {
        return name;
    }

    /** Returns the response to the client in the GES job-list API. */
    public String json() {
        return json;
    }

    /** Returns the HTTP status of that response. */
    public int status() {
        return status;
    }
}
