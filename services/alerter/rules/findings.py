"""The names of anomalies."""

from __future__ import annotations

UNUSUAL = "unusual"
"""No name of its own: far from what is usual, and nothing more."""

FINDINGS: dict[str, dict[str, str]] = {
    UNUSUAL: {"en": "Unusual behaviour", "zh": "行为异常"},
    "cpu_overload": {"en": "CPU overloaded", "zh": "CPU 过载"},
    "gpu_overload": {"en": "GPU overloaded", "zh": "GPU 过载"},
    "memory_pressure": {"en": "Memory is running out", "zh": "内存即将耗尽"},
    "memory_leak": {"en": "Memory leak", "zh": "内存泄漏"},
    "load_spike": {"en": "Load spike", "zh": "负载骤升"},
    "pressure_storm": {"en": "Tasks wait for resources", "zh": "任务因资源不足而等待"},
    "swap_storm": {"en": "Heavy swapping", "zh": "频繁换页"},
    "disk_filling": {"en": "A disk is filling up", "zh": "磁盘正在写满"},
    "disk_full": {"en": "A disk is nearly full", "zh": "磁盘即将写满"},
    "disk_slow": {"en": "Disks are slow", "zh": "磁盘响应缓慢"},
    "inode_exhaustion": {"en": "Inodes are running out", "zh": "inode 即将耗尽"},
    "network_spike": {"en": "Network traffic spike", "zh": "网络流量骤升"},
    "network_drop": {"en": "Network traffic drop", "zh": "网络流量骤降"},
    "network_errors": {"en": "Network errors", "zh": "网络错误"},
    "process_crash": {"en": "A process is gone", "zh": "进程消失"},
    "crash_loop": {"en": "A process crashes again and again", "zh": "进程反复崩溃"},
    "flapping": {"en": "A metric flaps", "zh": "指标反复抖动"},
    "temperature": {"en": "Too hot", "zh": "温度过高"},
    "host_outlier": {"en": "Differs from its group", "zh": "与同组主机明显不同"},
}
"""What the detector may call an anomaly, and how it is called before people, by language."""
