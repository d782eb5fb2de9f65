"""The completeness ledger of all hosts over some hours: the sums of the view ``v_completeness``, reading less.

The view has to look at all that is kept to know where a run stood before; here that is one row a run.
"""

from __future__ import annotations

from collections.abc import Mapping

HOUR_S = 3600
DAY_HOURS = 24

FLEET = """
SELECT
    host_id,
    toUInt64(sum(run_expected)) AS expected,
    sum(run_stored) AS stored,
    sum(run_late) AS late,
    sum(run_backfilled) AS backfilled,
    sumMap(run_dropped) AS dropped,
    sum(refused) AS dead_letters
FROM
(
    SELECT
        toString(host_id) AS host_id,
        if(last_seq - before BETWEEN stored AND 100000000, last_seq - before, toInt64(stored)) AS run_expected,
        stored AS run_stored,
        late AS run_late,
        backfilled AS run_backfilled,
        mapFilter((k, v) -> v > 0, mapApply((k, v) -> (k, v - least(v, dropped_before[k])), dropped)) AS run_dropped,
        0 AS refused
    FROM
    (
        SELECT
            hour, host_id, stored, late, backfilled, dropped,
            toInt64(last_seq) AS last_seq,
            toInt64(multiIf(
                count() OVER earlier > 0, max(last_seq) OVER earlier,
                run > 0, run - 1,
                first_seq > 0, first_seq - 1,
                0
            )) AS before,
            maxMap(dropped) OVER earlier AS dropped_before
        FROM
        (
            SELECT hour, host_id, run, stored, first_seq, last_seq, late, backfilled, dropped
            FROM completeness FINAL
            WHERE hour >= toDateTime({since:UInt32}, 'UTC') AND hour < toDateTime({until:UInt32}, 'UTC')
            UNION ALL
            SELECT toDateTime({since:UInt32} - 1, 'UTC'), host_id, run, 0, 0, max(last_seq), 0, 0, maxMap(dropped)
            FROM completeness
            WHERE hour < toDateTime({since:UInt32}, 'UTC') AND (host_id, run) IN
            (
                SELECT host_id, run
                FROM completeness
                WHERE hour >= toDateTime({since:UInt32}, 'UTC') AND hour < toDateTime({until:UInt32}, 'UTC')
            )
            GROUP BY host_id, run
        )
        WINDOW earlier AS (PARTITION BY host_id, run ORDER BY hour ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    )
    WHERE hour >= toDateTime({since:UInt32}, 'UTC')
    UNION ALL
    SELECT host_id, 0, 0, 0, 0, map(), count() AS refused
    FROM dead_letters FINAL
    WHERE topic = 'lapwing.metrics.v1' AND state != 'retried'
        AND sent_at >= toDateTime64({since:UInt32}, 3, 'UTC') AND sent_at < toDateTime64({until:UInt32}, 3, 'UTC')
    GROUP BY host_id
)
GROUP BY host_id
SETTINGS max_threads = 2"""
"""``(host_id, expected, stored, late, backfilled, {reason: dropped}, dead_letters)`` of the hours from ``{since}``
to ``{until}`` (epoch seconds, whole hours; ``until`` exclusive), a row a host.
"""


def fleet_span(now_ms: int, hours: int = DAY_HOURS) -> Mapping[str, int]:
    """The hour of ``now_ms``, as far as it has been computed, and as many before that together they are ``hours``."""
    until = (now_ms // 1000 // HOUR_S + 1) * HOUR_S
    return {"since": max(HOUR_S, until - hours * HOUR_S), "until": until}
