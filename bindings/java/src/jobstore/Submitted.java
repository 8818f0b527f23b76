package jobstore;

/** The id of a job, and whether the call created it. */
public record Submitted(String id, boolean created) {}
