package jobstore;

/**
 * A request: the name of the operation, the URL, the JSON body, and the origin, which is who or what
 * submitted it, such as a user or a trace id. The origin may be empty.
 */
public record Request(String command, String url, String body, String origin) {
    /** Creates a request without an origin. */
    public Request(String command, String url, String body) {
        this(command, url, body, "");
    }

    /** Creates a request without a body. */
    public Request(String command, String url) {
        this(command, url, "{}", "");
    }

    /** Does not show the body and the URL, because they may contain credentials. */
    @Override
    public String toString() {
        return "Request[" + command + "]";
    }
}
