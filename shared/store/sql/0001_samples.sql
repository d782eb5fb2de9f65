-- Host samples: raw JSON lines enter `landing_metrics` (kept nowhere) and leave it through views into one wide, typed
-- table per section. Reasons and rejected options: docs/adr/0003-storage-schema.md.
--
-- Fixed point: percentages x10, loads and pressures x100 (`shared/store/tables.py` knows
-- the factors). Tables replace by (host, instant), so that a repeat of an event is harmless.
-- `sections` in `samples`: bit 0 cpu, 1 load, 2 memory, 3 swap, 4 pressure, 5 processes; a section that was not due
-- is zeros without its bit.

CREATE TABLE IF NOT EXISTS landing_metrics
(
    host_id String,
    host String,
    labels Map(String, String),
    event_id String,
    ts Int64,
    seq UInt64,
    agent Tuple(version String, interval_ms UInt32, started_at Int64, cpu_percent Float64, rss_bytes UInt64, tick_ms Float64, spooled_events UInt64, spooled_bytes UInt64, dropped_events UInt64),
    system Tuple(hostname String, platform String, architecture String, boot_time Int64, kernel String, os String),
    cpu Tuple(count UInt16, percent Float64, per_core Array(Float64), modes Tuple(user Float64, system Float64, idle Float64, nice Float64, iowait Float64, irq Float64, softirq Float64, steal Float64, guest Float64), freq Tuple(current Nullable(Float64), min Nullable(Float64), max Nullable(Float64)), context_switches_per_s Float64, interrupts_per_s Float64),
    load Tuple(load1 Nullable(Float64), load5 Float64, load15 Float64),
    memory Tuple(total UInt64, available UInt64, used UInt64, free UInt64, percent Float64, buffers UInt64, cached UInt64, shared UInt64, slab UInt64),
    swap Tuple(total Nullable(UInt64), used UInt64, free UInt64, percent Float64, in_bytes_per_s Float64, out_bytes_per_s Float64),
    pressure Tuple(cpu_some_avg10 Nullable(Float64), cpu_some_avg60 Float64, memory_some_avg10 Float64, memory_some_avg60 Float64, memory_full_avg10 Float64, memory_full_avg60 Float64, io_some_avg10 Float64, io_some_avg60 Float64, io_full_avg10 Float64, io_full_avg60 Float64),
    processes Tuple(count Nullable(UInt64), running UInt64, sleeping UInt64, disk_sleep UInt64, stopped UInt64, zombie UInt64, idle UInt64, other UInt64, threads UInt64, top Array(Tuple(pid UInt32, name String, status String, cpu_percent Float64, memory_percent Float64, memory_info Tuple(rss UInt64, vms UInt64), create_time Int64, cmdline Array(String), username String))),
    disks Array(Tuple(device String, mountpoint String, fstype String, total UInt64, used UInt64, free UInt64, percent Float64, inodes_total UInt64, inodes_used UInt64, inodes_percent Float64, read_only Bool)),
    disk_io Array(Tuple(device String, read_bytes UInt64, write_bytes UInt64, reads UInt64, writes UInt64, read_bytes_per_s Float64, write_bytes_per_s Float64, reads_per_s Float64, writes_per_s Float64, utilization_percent Float64, await_ms Float64, queue_depth Float64)),
    network Array(Tuple(interface String, bytes_sent UInt64, bytes_recv UInt64, packets_sent UInt64, packets_recv UInt64, errors_in UInt64, errors_out UInt64, drops_in UInt64, drops_out UInt64, sent_bytes_per_s Float64, recv_bytes_per_s Float64, sent_packets_per_s Float64, recv_packets_per_s Float64, errors_per_s Float64, drops_per_s Float64, speed_mbps Nullable(UInt64), is_up Bool)),
    gpus Tuple(devices Array(Tuple(id UInt16, name String, load Float64, memory_total Float64, memory_used Float64, memory_util Float64, temperature Nullable(Float64))), reason Nullable(String)),
    temperatures Array(Tuple(sensor String, label String, celsius Float64, high Nullable(Float64), critical Nullable(Float64)))
)
ENGINE = Null;

CREATE TABLE IF NOT EXISTS samples
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    sections UInt8 CODEC(ZSTD(1)),
    cpu_percent UInt16 CODEC(Delta, ZSTD(1)),
    cpu_user UInt16 CODEC(Delta, ZSTD(1)),
    cpu_system UInt16 CODEC(Delta, ZSTD(1)),
    cpu_idle UInt16 CODEC(Delta, ZSTD(1)),
    cpu_nice UInt16 CODEC(Delta, ZSTD(1)),
    cpu_iowait UInt16 CODEC(Delta, ZSTD(1)),
    cpu_irq UInt16 CODEC(Delta, ZSTD(1)),
    cpu_softirq UInt16 CODEC(Delta, ZSTD(1)),
    cpu_steal UInt16 CODEC(Delta, ZSTD(1)),
    cpu_guest UInt16 CODEC(Delta, ZSTD(1)),
    cpu_context_switches_per_s UInt64 CODEC(Delta, ZSTD(1)),
    cpu_interrupts_per_s UInt64 CODEC(Delta, ZSTD(1)),
    cpu_count UInt16 CODEC(Delta, ZSTD(1)),
    cpu_per_core Array(UInt16) CODEC(ZSTD(1)),
    cpu_freq_current Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    cpu_freq_min Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    cpu_freq_max Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    cpu_load1 UInt64 CODEC(Delta, ZSTD(1)),
    cpu_load5 UInt64 CODEC(Delta, ZSTD(1)),
    cpu_load15 UInt64 CODEC(Delta, ZSTD(1)),
    memory_percent UInt16 CODEC(Delta, ZSTD(1)),
    memory_total_bytes UInt64 CODEC(Delta, ZSTD(1)),
    memory_available_bytes UInt64 CODEC(Delta, ZSTD(1)),
    memory_used_bytes UInt64 CODEC(Delta, ZSTD(1)),
    memory_free_bytes UInt64 CODEC(Delta, ZSTD(1)),
    memory_buffers_bytes UInt64 CODEC(Delta, ZSTD(1)),
    memory_cached_bytes UInt64 CODEC(Delta, ZSTD(1)),
    memory_shared_bytes UInt64 CODEC(Delta, ZSTD(1)),
    memory_slab_bytes UInt64 CODEC(Delta, ZSTD(1)),
    swap_percent UInt16 CODEC(Delta, ZSTD(1)),
    swap_total_bytes UInt64 CODEC(Delta, ZSTD(1)),
    swap_used_bytes UInt64 CODEC(Delta, ZSTD(1)),
    swap_free_bytes UInt64 CODEC(Delta, ZSTD(1)),
    swap_in_bytes_per_s UInt64 CODEC(Delta, ZSTD(1)),
    swap_out_bytes_per_s UInt64 CODEC(Delta, ZSTD(1)),
    pressure_cpu_some_avg10 UInt16 CODEC(Delta, ZSTD(1)),
    pressure_cpu_some_avg60 UInt16 CODEC(Delta, ZSTD(1)),
    pressure_memory_some_avg10 UInt16 CODEC(Delta, ZSTD(1)),
    pressure_memory_some_avg60 UInt16 CODEC(Delta, ZSTD(1)),
    pressure_memory_full_avg10 UInt16 CODEC(Delta, ZSTD(1)),
    pressure_memory_full_avg60 UInt16 CODEC(Delta, ZSTD(1)),
    pressure_io_some_avg10 UInt16 CODEC(Delta, ZSTD(1)),
    pressure_io_some_avg60 UInt16 CODEC(Delta, ZSTD(1)),
    pressure_io_full_avg10 UInt16 CODEC(Delta, ZSTD(1)),
    pressure_io_full_avg60 UInt16 CODEC(Delta, ZSTD(1)),
    processes_count UInt64 CODEC(Delta, ZSTD(1)),
    processes_running UInt64 CODEC(Delta, ZSTD(1)),
    processes_sleeping UInt64 CODEC(Delta, ZSTD(1)),
    processes_disk_sleep UInt64 CODEC(Delta, ZSTD(1)),
    processes_stopped UInt64 CODEC(Delta, ZSTD(1)),
    processes_zombie UInt64 CODEC(Delta, ZSTD(1)),
    processes_idle UInt64 CODEC(Delta, ZSTD(1)),
    processes_other UInt64 CODEC(Delta, ZSTD(1)),
    processes_threads UInt64 CODEC(Delta, ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1)) COMMENT 'when it was inserted, for the rollups',
    INDEX by_stored_at stored_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ts)
ORDER BY (toStartOfHour(ts), host_id, ts)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS samples_mv TO samples AS
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    host_id,
    seq,
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

CREATE TABLE IF NOT EXISTS processes
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    pid UInt32 CODEC(Delta, ZSTD(1)),
    name LowCardinality(String) CODEC(ZSTD(1)),
    status LowCardinality(String) CODEC(ZSTD(1)),
    username LowCardinality(String) CODEC(ZSTD(1)),
    cpu_percent UInt64 CODEC(Delta, ZSTD(1)),
    memory_percent UInt16 CODEC(Delta, ZSTD(1)) COMMENT 'x100',
    rss UInt64 CODEC(Delta, ZSTD(1)),
    vms UInt64 CODEC(Delta, ZSTD(1)),
    create_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    cmdline Array(String) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ts)
ORDER BY (toStartOfHour(ts), host_id, pid, ts)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS processes_mv TO processes AS
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    host_id,
    p.pid AS pid,
    p.name AS name,
    p.status AS status,
    p.username AS username,
    toUInt64(round(p.cpu_percent * 10)) AS cpu_percent,
    toUInt16(round(p.memory_percent * 100)) AS memory_percent,
    p.memory_info.rss AS rss,
    p.memory_info.vms AS vms,
    fromUnixTimestamp64Milli(p.create_time, 'UTC') AS create_time,
    p.cmdline AS cmdline
FROM landing_metrics
ARRAY JOIN processes.top AS p;

CREATE TABLE IF NOT EXISTS disks
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    mountpoint LowCardinality(String) CODEC(ZSTD(1)),
    device LowCardinality(String) CODEC(ZSTD(1)),
    fstype LowCardinality(String) CODEC(ZSTD(1)),
    total UInt64 CODEC(Delta, ZSTD(1)),
    used UInt64 CODEC(Delta, ZSTD(1)),
    free UInt64 CODEC(Delta, ZSTD(1)),
    percent UInt16 CODEC(Delta, ZSTD(1)),
    inodes_total UInt64 CODEC(Delta, ZSTD(1)),
    inodes_used UInt64 CODEC(Delta, ZSTD(1)),
    inodes_percent UInt16 CODEC(Delta, ZSTD(1)),
    read_only Bool CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ts)
ORDER BY (toStartOfHour(ts), host_id, mountpoint, ts)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS disks_mv TO disks AS
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    host_id,
    d.mountpoint AS mountpoint,
    d.device AS device,
    d.fstype AS fstype,
    d.total AS total,
    d.used AS used,
    d.free AS free,
    toUInt16(round(d.percent * 10)) AS percent,
    d.inodes_total AS inodes_total,
    d.inodes_used AS inodes_used,
    toUInt16(round(d.inodes_percent * 10)) AS inodes_percent,
    d.read_only AS read_only
FROM landing_metrics
ARRAY JOIN disks AS d;

CREATE TABLE IF NOT EXISTS disk_io
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    device LowCardinality(String) CODEC(ZSTD(1)),
    read_bytes UInt64 CODEC(Delta, ZSTD(1)),
    write_bytes UInt64 CODEC(Delta, ZSTD(1)),
    reads UInt64 CODEC(Delta, ZSTD(1)),
    writes UInt64 CODEC(Delta, ZSTD(1)),
    read_bytes_per_s UInt64 CODEC(Delta, ZSTD(1)),
    write_bytes_per_s UInt64 CODEC(Delta, ZSTD(1)),
    reads_per_s UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'x10',
    writes_per_s UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'x10',
    utilization_percent UInt16 CODEC(Delta, ZSTD(1)),
    await_ms UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'x100',
    queue_depth UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'x100'
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ts)
ORDER BY (toStartOfHour(ts), host_id, device, ts)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS disk_io_mv TO disk_io AS
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    host_id,
    d.device AS device,
    d.read_bytes AS read_bytes,
    d.write_bytes AS write_bytes,
    d.reads AS reads,
    d.writes AS writes,
    toUInt64(round(d.read_bytes_per_s)) AS read_bytes_per_s,
    toUInt64(round(d.write_bytes_per_s)) AS write_bytes_per_s,
    toUInt64(round(d.reads_per_s * 10)) AS reads_per_s,
    toUInt64(round(d.writes_per_s * 10)) AS writes_per_s,
    toUInt16(round(d.utilization_percent * 10)) AS utilization_percent,
    toUInt64(round(d.await_ms * 100)) AS await_ms,
    toUInt64(round(d.queue_depth * 100)) AS queue_depth
FROM landing_metrics
ARRAY JOIN disk_io AS d;

CREATE TABLE IF NOT EXISTS network
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    interface LowCardinality(String) CODEC(ZSTD(1)),
    bytes_sent UInt64 CODEC(Delta, ZSTD(1)),
    bytes_recv UInt64 CODEC(Delta, ZSTD(1)),
    packets_sent UInt64 CODEC(Delta, ZSTD(1)),
    packets_recv UInt64 CODEC(Delta, ZSTD(1)),
    errors_in UInt64 CODEC(Delta, ZSTD(1)),
    errors_out UInt64 CODEC(Delta, ZSTD(1)),
    drops_in UInt64 CODEC(Delta, ZSTD(1)),
    drops_out UInt64 CODEC(Delta, ZSTD(1)),
    sent_bytes_per_s UInt64 CODEC(Delta, ZSTD(1)),
    recv_bytes_per_s UInt64 CODEC(Delta, ZSTD(1)),
    sent_packets_per_s UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'x10',
    recv_packets_per_s UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'x10',
    errors_per_s UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'x100',
    drops_per_s UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'x100',
    speed_mbps Nullable(UInt64) CODEC(ZSTD(1)),
    is_up Bool CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ts)
ORDER BY (toStartOfHour(ts), host_id, interface, ts)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS network_mv TO network AS
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    host_id,
    n.interface AS interface,
    n.bytes_sent AS bytes_sent,
    n.bytes_recv AS bytes_recv,
    n.packets_sent AS packets_sent,
    n.packets_recv AS packets_recv,
    n.errors_in AS errors_in,
    n.errors_out AS errors_out,
    n.drops_in AS drops_in,
    n.drops_out AS drops_out,
    toUInt64(round(n.sent_bytes_per_s)) AS sent_bytes_per_s,
    toUInt64(round(n.recv_bytes_per_s)) AS recv_bytes_per_s,
    toUInt64(round(n.sent_packets_per_s * 10)) AS sent_packets_per_s,
    toUInt64(round(n.recv_packets_per_s * 10)) AS recv_packets_per_s,
    toUInt64(round(n.errors_per_s * 100)) AS errors_per_s,
    toUInt64(round(n.drops_per_s * 100)) AS drops_per_s,
    n.speed_mbps AS speed_mbps,
    n.is_up AS is_up
FROM landing_metrics
ARRAY JOIN network AS n;

-- One row a reading even where there is no device: `id` 65535 then carries the reason.
CREATE TABLE IF NOT EXISTS gpus
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    id UInt16 CODEC(Delta, ZSTD(1)),
    name LowCardinality(String) CODEC(ZSTD(1)),
    load UInt16 CODEC(Delta, ZSTD(1)),
    memory_total UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'MiB',
    memory_used UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'MiB',
    memory_util UInt16 CODEC(Delta, ZSTD(1)),
    temperature Nullable(Int32) CODEC(Delta, ZSTD(1)) COMMENT 'x10',
    reason LowCardinality(String) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ts)
ORDER BY (toStartOfHour(ts), host_id, id, ts)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS gpus_mv TO gpus AS
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    host_id,
    g.1 AS id,
    g.2 AS name,
    toUInt16(round(g.3 * 10)) AS load,
    toUInt64(round(g.4)) AS memory_total,
    toUInt64(round(g.5)) AS memory_used,
    toUInt16(round(g.6 * 10)) AS memory_util,
    toInt32(round(g.7 * 10)) AS temperature,
    g.8 AS reason
FROM landing_metrics
ARRAY JOIN if(
    isNotNull(gpus.reason),
    [(65535::UInt16, '', 0::Float64, 0::Float64, 0::Float64, 0::Float64, NULL::Nullable(Float64), assumeNotNull(gpus.reason))],
    arrayMap(d -> (d.id, d.name, d.load, d.memory_total, d.memory_used, d.memory_util, d.temperature, ''), gpus.devices)
) AS g;

CREATE TABLE IF NOT EXISTS temperatures
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    sensor LowCardinality(String) CODEC(ZSTD(1)),
    label LowCardinality(String) CODEC(ZSTD(1)),
    celsius Int32 CODEC(Delta, ZSTD(1)) COMMENT 'x10',
    high Nullable(Int32) CODEC(ZSTD(1)) COMMENT 'x10',
    critical Nullable(Int32) CODEC(ZSTD(1)) COMMENT 'x10'
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ts)
ORDER BY (toStartOfHour(ts), host_id, sensor, label, ts)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS temperatures_mv TO temperatures AS
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    host_id,
    t.sensor AS sensor,
    t.label AS label,
    toInt32(round(t.celsius * 10)) AS celsius,
    toInt32(round(t.high * 10)) AS high,
    toInt32(round(t.critical * 10)) AS critical
FROM landing_metrics
ARRAY JOIN temperatures AS t;

CREATE TABLE IF NOT EXISTS systems
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    host LowCardinality(String) CODEC(ZSTD(1)),
    labels Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    hostname LowCardinality(String) CODEC(ZSTD(1)),
    platform LowCardinality(String) CODEC(ZSTD(1)),
    architecture LowCardinality(String) CODEC(ZSTD(1)),
    boot_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    kernel LowCardinality(String) CODEC(ZSTD(1)),
    os LowCardinality(String) CODEC(ZSTD(1)),
    agent_version LowCardinality(String) CODEC(ZSTD(1)),
    agent_interval_ms UInt32 CODEC(ZSTD(1)),
    agent_started_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    agent_cpu_percent UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'x10',
    agent_rss_bytes UInt64 CODEC(Delta, ZSTD(1)),
    agent_dropped_events UInt64 CODEC(Delta, ZSTD(1)),
    agent_spooled_events UInt64 CODEC(Delta, ZSTD(1)),
    agent_spooled_bytes UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (host_id, ts)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS systems_mv TO systems AS
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    host_id,
    host,
    labels,
    system.hostname AS hostname,
    system.platform AS platform,
    system.architecture AS architecture,
    fromUnixTimestamp64Milli(system.boot_time, 'UTC') AS boot_time,
    system.kernel AS kernel,
    system.os AS os,
    agent.version AS agent_version,
    agent.interval_ms AS agent_interval_ms,
    fromUnixTimestamp64Milli(agent.started_at, 'UTC') AS agent_started_at,
    toUInt64(round(agent.cpu_percent * 10)) AS agent_cpu_percent,
    agent.rss_bytes AS agent_rss_bytes,
    agent.dropped_events AS agent_dropped_events,
    agent.spooled_events AS agent_spooled_events,
    agent.spooled_bytes AS agent_spooled_bytes
FROM landing_metrics
WHERE system.boot_time > 0;

-- Every host ever heard of: the newest name, labels and instant win.
CREATE TABLE IF NOT EXISTS hosts
(
    host_id String,
    host String,
    labels Map(String, String),
    last_seen DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(last_seen)
ORDER BY host_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS hosts_mv TO hosts AS
SELECT
    host_id,
    argMax(landing_metrics.host, landing_metrics.ts) AS host,
    argMax(landing_metrics.labels, landing_metrics.ts) AS labels,
    fromUnixTimestamp64Milli(max(landing_metrics.ts), 'UTC') AS last_seen
FROM landing_metrics
GROUP BY host_id;
