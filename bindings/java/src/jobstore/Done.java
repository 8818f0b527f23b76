package jobstore;

/** What a call did with a job. */
public enum Done {
    /** The call had its effect. */
    DONE,
    /** The job was pending, and is complete now. */
    CANCELLED_BEFORE_START,
    /** The job is running, and was asked to stop. */
    CANCEL_REQUESTED,
    /** The job had already completed. */
    ALREADY_COMPLETE;

    static Done of(long code) {
        return values()[(int) code];
    }
}
