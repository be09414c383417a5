"""The metrics that there are: C{/metrics} shows all of these, and no others."""

from collections.abc import Mapping

from attrs import frozen

from shellstream.model.histogram import Histogram

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


@frozen
class Metric:
    """
    One metric.

    @ivar labels: each has few values: commands of the configuration, states, statuses.
    """

    kind: str
    about: str
    labels: tuple[str, ...] = ()


#: The values of a metric, by its labels.
Values = Mapping[tuple[str, ...], float | Histogram]

#: In the order in which they are shown.
METRICS: Mapping[str, Metric] = {
    "build_info": Metric(GAUGE, "The version of the daemon.", ("version",)),
    "runs_ended_total": Metric(
        COUNTER,
        "Runs that have ended: success, failure (another exit code), signaled, failed "
        "(never started), cancelled, lost.",
        ("command", "end"),
    ),
    "runs_active": Metric(GAUGE, "Runs that have not ended.", ("state",)),
    "queue_length": Metric(GAUGE, "Runs that wait for their turn."),
    "queue_limit": Metric(GAUGE, "Runs that may wait."),
    "spawn_seconds": Metric(HISTOGRAM, "Time to start a process."),
    "output_bytes_total": Metric(COUNTER, "Bytes that commands wrote."),
    "output_chunks_total": Metric(COUNTER, "Reads of what commands wrote."),
    "chunk_latency_seconds": Metric(
        HISTOGRAM,
        "Time from a read until all viewers that keep up were sent it, of each eighth "
        "chunk that had viewers.",
    ),
    "backpressure_seconds_total": Metric(
        COUNTER, "Time that commands had to wait for viewers or the disk."
    ),
    "input_bytes_total": Metric(COUNTER, "Bytes of input that commands took."),
    "viewers": Metric(GAUGE, "Responses that follow a run or the events."),
    "viewers_limit": Metric(GAUGE, "Responses that may follow."),
    "viewers_resumed_total": Metric(
        COUNTER, "Viewers that did not begin at the first byte."
    ),
    "gaps_total": Metric(COUNTER, "Viewers that were overrun and went on behind it."),
    "gap_bytes_total": Metric(COUNTER, "Bytes that these did not get."),
    "connections": Metric(GAUGE, "Open connections of clients."),
    "connections_limit": Metric(GAUGE, "Connections that may be open."),
    "responses_total": Metric(COUNTER, "Responses to requests.", ("status",)),
    "sent_bytes_total": Metric(COUNTER, "Bytes of the contents of responses."),
    "refusals_total": Metric(COUNTER, "Requests that were refused.", ("status",)),
    "store_runs": Metric(GAUGE, "Ended runs in the history."),
    "store_keys": Metric(GAUGE, "Idempotency keys in the history."),
    "store_output_bytes": Metric(GAUGE, "Disk space of the output of ended runs."),
    "store_bytes": Metric(GAUGE, "Size of the file of the history."),
    "store_failing": Metric(GAUGE, "1 if the disk did not take the last write."),
    "store_failures_total": Metric(COUNTER, "Calls that the disk did not take."),
    "store_commit_seconds": Metric(
        HISTOGRAM, "Time of every fourth transaction of the history."
    ),
    "disk_free_bytes": Metric(GAUGE, "Free space where the state is."),
    "disk_size_bytes": Metric(GAUGE, "Size of the disk where the state is."),
    "reactor_lag_seconds": Metric(
        HISTOGRAM, "Time until the event loop answered, asked four times a second."
    ),
    "notifications_total": Metric(
        COUNTER, "Notifications that were delivered or given_up.", ("result",)
    ),
    "notification_retries_total": Metric(
        COUNTER, "Attempts to deliver a notification that failed and are made again."
    ),
    "notifications_pending": Metric(GAUGE, "Notifications that wait."),
}

#: Before the name of each.
PREFIX = "shellstream_"
