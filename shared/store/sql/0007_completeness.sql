-- The completeness ledger: what the numbers of the agents' events say was expected, beside what is stored. Reasons:
-- docs/adr/0006-completeness-ledger.md. Every table is keyed by facts of the event or of the message, so that a repeat,
-- or a whole topic read again, changes nothing.

ALTER TABLE landing_metrics ADD COLUMN IF NOT EXISTS run UInt64;

ALTER TABLE samples ADD COLUMN IF NOT EXISTS run UInt64 CODEC(Delta, ZSTD(1)) AFTER seq;

-- The view of 0001 with `run`. Changed in place: nothing that is inserted meanwhile misses it.
ALTER TABLE samples_mv MODIFY QUERY
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    host_id,
    seq,
    run,
    toUInt8((cpu.count > 0) + 2 * isNotNull(load.load1) + 4 * (memory.total > 0) + 8 * isNotNull(swap.total) + 16 * isNotNull(pressure.cpu_some_avg10) + 32 * isNotNull(processes.count)) AS sections,
    toUInt16(round(cpu.percent * 10)) AS cpu_percent,
    toUInt16(round(cpu.modes.user * 10)) AS cpu_user,
    toUInt16(round(cpu.modes.system * 10)) AS cpu_system,
    toUInt16(round(cpu.modes.idle * 10)) AS cpu_idle,
    toUInt16(round(cpu.modes.nice * 10)) AS cpu_nice,
    toUInt16(round(cpu.modes.iowait * 10)) AS cpu_iowait,
    toUInt16(round(cpu.modes.irq * 10)) AS cpu_irq,
    toUInt16(round(cpu.modes.softirq * 10)) AS cpu_softirq,
    toUInt16(round(cpu.modes.steal * 10)) AS cpu_steal,
    toUInt16(round(cpu.modes.guest * 10)) AS cpu_guest,
    toUInt64(round(cpu.context_switches_per_s)) AS cpu_context_switches_per_s,
    toUInt64(round(cpu.interrupts_per_s)) AS cpu_interrupts_per_s,
    cpu.count AS cpu_count,
    arrayMap(x -> toUInt16(round(x * 10)), cpu.per_core) AS cpu_per_core,
    toUInt64(round(cpu.freq.current)) AS cpu_freq_current,
    toUInt64(round(cpu.freq.min)) AS cpu_freq_min,
    toUInt64(round(cpu.freq.max)) AS cpu_freq_max,
    toUInt64(round(ifNull(load.load1, 0) * 100)) AS cpu_load1,
    toUInt64(round(load.load5 * 100)) AS cpu_load5,
    toUInt64(round(load.load15 * 100)) AS cpu_load15,
    toUInt16(round(memory.percent * 10)) AS memory_percent,
    memory.total AS memory_total_bytes,
    memory.available AS memory_available_bytes,
    memory.used AS memory_used_bytes,
    memory.free AS memory_free_bytes,
    memory.buffers AS memory_buffers_bytes,
    memory.cached AS memory_cached_bytes,
    memory.shared AS memory_shared_bytes,
    memory.slab AS memory_slab_bytes,
    toUInt16(round(swap.percent * 10)) AS swap_percent,
    ifNull(swap.total, 0) AS swap_total_bytes,
    swap.used AS swap_used_bytes,
    swap.free AS swap_free_bytes,
    toUInt64(round(swap.in_bytes_per_s)) AS swap_in_bytes_per_s,
    toUInt64(round(swap.out_bytes_per_s)) AS swap_out_bytes_per_s,
    toUInt16(round(ifNull(pressure.cpu_some_avg10, 0) * 100)) AS pressure_cpu_some_avg10,
    toUInt16(round(pressure.cpu_some_avg60 * 100)) AS pressure_cpu_some_avg60,
    toUInt16(round(pressure.memory_some_avg10 * 100)) AS pressure_memory_some_avg10,
    toUInt16(round(pressure.memory_some_avg60 * 100)) AS pressure_memory_some_avg60,
    toUInt16(round(pressure.memory_full_avg10 * 100)) AS pressure_memory_full_avg10,
    toUInt16(round(pressure.memory_full_avg60 * 100)) AS pressure_memory_full_avg60,
    toUInt16(round(pressure.io_some_avg10 * 100)) AS pressure_io_some_avg10,
    toUInt16(round(pressure.io_some_avg60 * 100)) AS pressure_io_some_avg60,
    toUInt16(round(pressure.io_full_avg10 * 100)) AS pressure_io_full_avg10,
    toUInt16(round(pressure.io_full_avg60 * 100)) AS pressure_io_full_avg60,
    ifNull(processes.count, 0) AS processes_count,
    processes.running AS processes_running,
    processes.sleeping AS processes_sleeping,
    processes.disk_sleep AS processes_disk_sleep,
    processes.stopped AS processes_stopped,
    processes.zombie AS processes_zombie,
    processes.idle AS processes_idle,
    processes.other AS processes_other,
    processes.threads AS processes_threads
FROM landing_metrics;

-- Samples that came late, or by way of the agent's spool; those that came at once have no row. Of several messages that
-- brought an event, the greatest figures count, in whatever order they came.
CREATE TABLE IF NOT EXISTS arrivals
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    run SimpleAggregateFunction(max, UInt64) CODEC(Delta, ZSTD(1)),
    late_ms SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)) COMMENT '0: in time',
    backfilled SimpleAggregateFunction(max, UInt8) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (toStartOfHour(ts), host_id, ts)
SETTINGS ttl_only_drop_parts = 1;

-- What the agents say they gave up since they started, as it stood at the end of each hour.
CREATE TABLE IF NOT EXISTS agent_drops
(
    hour DateTime('UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    run UInt64 CODEC(Delta, ZSTD(1)),
    reason LowCardinality(String) CODEC(ZSTD(1)),
    events SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, host_id, run, reason)
SETTINGS ttl_only_drop_parts = 1;

-- Recomputed with the hour rollups, and like them: of two computations the one that saw more samples wins, then the later.
-- `dropped` is cumulative over the run.
CREATE TABLE IF NOT EXISTS completeness
(
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    hour DateTime('UTC') CODEC(Delta, ZSTD(1)),
    run UInt64 CODEC(Delta, ZSTD(1)),
    stored UInt64 CODEC(Delta, ZSTD(1)),
    first_seq UInt64 CODEC(Delta, ZSTD(1)),
    last_seq UInt64 CODEC(Delta, ZSTD(1)),
    late UInt64 CODEC(Delta, ZSTD(1)),
    backfilled UInt64 CODEC(Delta, ZSTD(1)),
    dropped Map(String, UInt64) CODEC(ZSTD(1)),
    computed_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (host_id, hour, run)
SETTINGS ttl_only_drop_parts = 1;

-- Numbers grow by one within a run, so what was expected is a difference; before a run's first number nothing was. A
-- leap of more than 100 million is not a loss but a host that counts anew. `shared/store/ledger.py` has the same sums
-- for all hosts at once.
CREATE VIEW IF NOT EXISTS v_completeness AS
SELECT
    hour,
    host_id,
    toUInt64(sum(run_expected)) AS expected,
    sum(run_stored) AS stored,
    expected - stored AS missing,
    sum(run_late) AS late,
    sum(run_backfilled) AS backfilled,
    sumMap(run_dropped) AS dropped,
    sum(refused) AS dead_letters,
    if(expected = 0, NULL, floor(100 * stored / expected, 2)) AS percent
FROM
(
    SELECT
        hour,
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
        FROM completeness FINAL
        WINDOW earlier AS (PARTITION BY host_id, run ORDER BY hour ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    )
    UNION ALL
    SELECT toStartOfHour(sent_at) AS hour, host_id, 0, 0, 0, 0, map(), count() AS refused
    FROM dead_letters FINAL
    WHERE topic = 'lapwing.metrics.v1' AND state != 'retried'
    GROUP BY hour, host_id
)
GROUP BY hour, host_id;
