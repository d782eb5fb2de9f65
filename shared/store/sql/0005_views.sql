-- Views for people, dashboards and BI: one row an instant, repeats removed, real units. A public interface
-- (docs/clickhouse.md): columns are added, never renamed or removed. Always ask them for a range of `ts`.
-- A section that was not due at an instant is NULL.

CREATE VIEW IF NOT EXISTS v_samples AS
SELECT
    ts,
    host_id,
    seq,
    if(bitTest(sections, 0), cpu_percent / 10, NULL) AS cpu_percent,
    if(bitTest(sections, 0), cpu_user / 10, NULL) AS cpu_user_percent,
    if(bitTest(sections, 0), cpu_system / 10, NULL) AS cpu_system_percent,
    if(bitTest(sections, 0), cpu_iowait / 10, NULL) AS cpu_iowait_percent,
    if(bitTest(sections, 0), cpu_steal / 10, NULL) AS cpu_steal_percent,
    if(bitTest(sections, 0), cpu_count, NULL) AS cpu_count,
    if(bitTest(sections, 0), arrayMap(x -> x / 10, cpu_per_core), []) AS cpu_per_core_percent,
    if(bitTest(sections, 0), cpu_context_switches_per_s, NULL) AS cpu_context_switches_per_s,
    if(bitTest(sections, 0), cpu_interrupts_per_s, NULL) AS cpu_interrupts_per_s,
    if(bitTest(sections, 1), cpu_load1 / 100, NULL) AS load1,
    if(bitTest(sections, 1), cpu_load5 / 100, NULL) AS load5,
    if(bitTest(sections, 1), cpu_load15 / 100, NULL) AS load15,
    if(bitTest(sections, 2), memory_percent / 10, NULL) AS memory_percent,
    if(bitTest(sections, 2), memory_total_bytes, NULL) AS memory_total_bytes,
    if(bitTest(sections, 2), memory_available_bytes, NULL) AS memory_available_bytes,
    if(bitTest(sections, 2), memory_used_bytes, NULL) AS memory_used_bytes,
    if(bitTest(sections, 2), memory_cached_bytes, NULL) AS memory_cached_bytes,
    if(bitTest(sections, 3), swap_percent / 10, NULL) AS swap_percent,
    if(bitTest(sections, 3), swap_used_bytes, NULL) AS swap_used_bytes,
    if(bitTest(sections, 4), pressure_cpu_some_avg10 / 100, NULL) AS pressure_cpu_some_avg10,
    if(bitTest(sections, 4), pressure_memory_some_avg10 / 100, NULL) AS pressure_memory_some_avg10,
    if(bitTest(sections, 4), pressure_memory_full_avg10 / 100, NULL) AS pressure_memory_full_avg10,
    if(bitTest(sections, 4), pressure_io_some_avg10 / 100, NULL) AS pressure_io_some_avg10,
    if(bitTest(sections, 4), pressure_io_full_avg10 / 100, NULL) AS pressure_io_full_avg10,
    if(bitTest(sections, 5), processes_count, NULL) AS processes_count,
    if(bitTest(sections, 5), processes_running, NULL) AS processes_running,
    if(bitTest(sections, 5), processes_zombie, NULL) AS processes_zombie,
    if(bitTest(sections, 5), processes_threads, NULL) AS processes_threads
FROM samples FINAL;

CREATE VIEW IF NOT EXISTS v_processes AS
SELECT
    ts, host_id, pid, name, status, username,
    cpu_percent / 10 AS cpu_percent,
    memory_percent / 100 AS memory_percent,
    rss AS rss_bytes,
    vms AS vms_bytes,
    create_time,
    cmdline
FROM processes FINAL;

CREATE VIEW IF NOT EXISTS v_disks AS
SELECT
    ts, host_id, mountpoint, device, fstype,
    percent / 10 AS percent,
    total AS total_bytes,
    used AS used_bytes,
    free AS free_bytes,
    inodes_percent / 10 AS inodes_percent,
    inodes_total,
    inodes_used,
    read_only
FROM disks FINAL;

CREATE VIEW IF NOT EXISTS v_disk_io AS
SELECT
    ts, host_id, device,
    read_bytes_per_s,
    write_bytes_per_s,
    reads_per_s / 10 AS reads_per_s,
    writes_per_s / 10 AS writes_per_s,
    utilization_percent / 10 AS utilization_percent,
    await_ms / 100 AS await_ms,
    queue_depth / 100 AS queue_depth,
    read_bytes AS read_bytes_total,
    write_bytes AS write_bytes_total
FROM disk_io FINAL;

CREATE VIEW IF NOT EXISTS v_network AS
SELECT
    ts, host_id, interface,
    sent_bytes_per_s,
    recv_bytes_per_s,
    sent_packets_per_s / 10 AS sent_packets_per_s,
    recv_packets_per_s / 10 AS recv_packets_per_s,
    errors_per_s / 100 AS errors_per_s,
    drops_per_s / 100 AS drops_per_s,
    bytes_sent AS sent_bytes_total,
    bytes_recv AS recv_bytes_total,
    speed_mbps,
    is_up
FROM network FINAL;

CREATE VIEW IF NOT EXISTS v_gpus AS
SELECT
    ts, host_id, id, name,
    load / 10 AS load_percent,
    memory_used AS memory_used_mib,
    memory_total AS memory_total_mib,
    memory_util / 10 AS memory_percent,
    temperature / 10 AS temperature_celsius
FROM gpus FINAL
WHERE reason = '';

CREATE VIEW IF NOT EXISTS v_temperatures AS
SELECT ts, host_id, sensor, label, celsius / 10 AS celsius, high / 10 AS high_celsius, critical / 10 AS critical_celsius
FROM temperatures FINAL;

CREATE VIEW IF NOT EXISTS v_scores AS
SELECT ts, host_id, score / 1000 AS score, warming_up, metrics
FROM scores FINAL;

CREATE VIEW IF NOT EXISTS v_minutes AS
SELECT ts, host_id, metric, label, count, min, max, avg, last, p50, p95, p99
FROM rollup_1m FINAL;

CREATE VIEW IF NOT EXISTS v_hours AS
SELECT ts, host_id, metric, label, count, min, max, avg, last, p50, p95, p99
FROM rollup_1h FINAL;

CREATE VIEW IF NOT EXISTS v_hosts AS
SELECT host_id, host, labels, last_seen
FROM hosts FINAL;

CREATE VIEW IF NOT EXISTS v_anomalies AS
SELECT
    started_at, ended_at, updated_at, anomaly_id, host_id, host, labels, state, finding, severity, score, peak_score,
    summary, contributions, top_processes, evidence
FROM anomalies FINAL;

CREATE VIEW IF NOT EXISTS v_alerts AS
SELECT
    started_at, ended_at, updated_at, alert_id, fingerprint, host_id, host, rule, state, severity, labels, annotations,
    value, threshold, summary, reason, anomaly_id
FROM alerts FINAL;

CREATE VIEW IF NOT EXISTS v_logs AS
SELECT ts, host_id, host, source, level, message, fields, event_id
FROM logs FINAL;
