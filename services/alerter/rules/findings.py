"""What the detector may call an anomaly, and how that is said to people."""

from __future__ import annotations

from dataclasses import dataclass

UNUSUAL = "unusual"
"""No name of its own: far from what is usual, and nothing more."""


@dataclass(frozen=True, slots=True)
class Words:
    """``says``: parts of a sentence with gaps for evidence and ``labels``; a part with a gap that nothing fills is left
    out. None in English, in which the detector speaks for itself.
    """

    title: str
    advice: str
    says: tuple[str, ...] = ()


FINDINGS: dict[str, dict[str, Words]] = {
    UNUSUAL: {
        "en": Words(
            "Unusual behaviour",
            "This host does not behave as it usually does. The metrics that contribute most are named first: see what "
            "else changed at that time. If all is well, call it normal, and it is not told again.",
        ),
        "zh": Words(
            "行为异常",
            "该主机的表现与平时不同。贡献最大的指标列在最前面:请查看当时还有什么变化。如果一切正常,请标记为正常,"
            "以后不再告警。",
        ),
    },
    "cpu_overload": {
        "en": Words(
            "CPU overloaded",
            "See the busiest processes (`top`). Is it work that was asked for? Then wait, spread it, or `renice` it; "
            "a loop that does nothing may be restarted.",
        ),
        "zh": Words(
            "CPU 过载",
            "请查看最繁忙的进程(`top`)。如果是正常任务,可等待、分散负载或用 `renice` 降低优先级;如果是空转的死循环,"
            "可以重启该进程。",
            ("CPU 使用率 {cpu[0]}", ",负载 {load1[0]}({load1[1]} 核)", ";最繁忙:{processes[0]}"),
        ),
    },
    "gpu_overload": {
        "en": Words(
            "GPU overloaded",
            "See which processes use it (`nvidia-smi`), and whether their work was meant for this machine.",
        ),
        "zh": Words("GPU 过载", "请用 `nvidia-smi` 查看占用 GPU 的进程,并确认这些任务是否应在此主机上运行。"),
    },
    "memory_pressure": {
        "en": Words(
            "Memory is running out",
            "See who holds most of it. Before the kernel chooses for you, restart what has grown, or stop what can "
            "wait.",
        ),
        "zh": Words(
            "内存即将耗尽",
            "请查看占用内存最多的进程。在内核强制终止进程之前,重启占用不断增长的进程,或停止可以推迟的任务。",
        ),
    },
    "memory_leak": {
        "en": Words(
            "Memory leak",
            "See whether the process that grew was changed lately. Keep what explains it (a heap dump, its log), and "
            "restart it at a time of your choice, before none is left.",
        ),
        "zh": Words(
            "内存泄漏",
            "请查看内存不断增长的进程最近是否有变更。先保留现场(堆转储、日志),"
            "并在内存耗尽之前选择合适的时间重启该进程。",
            (
                "{labels[process]} ({labels[pid]}) 占用 {rss[0]},并以 {rate[0]} 的速度增长",
                "可用内存 {available[0]}(共 {available[1]}),占用以 {rate[0]} 的速度增长",
                ",约 {none left in[0]} 后耗尽({between[0]})",
                ";{process[0]} 在 {process[2]} 内增长了 {process[1]}",
            ),
        ),
    },
    "load_spike": {
        "en": Words(
            "Load spike",
            "See what runs, and what waits: many tasks in state D wait for a disk or a network file system, the "
            "others for a CPU. A job that began at this minute is the first to look at.",
        ),
        "zh": Words(
            "负载骤升",
            "请查看正在运行和等待的任务:大量 D 状态的任务在等待磁盘或网络文件系统,其余在等待 CPU。"
            "先检查此时刚启动的任务。",
            (
                "{load1[0]} 个任务争用 {cores[0]} 个核心",
                "(此时段通常不超过 {usually up to[0]})",
                ",其中 {waiting for disks[0]} 个在等待磁盘",
            ),
        ),
    },
    "pressure_storm": {
        "en": Words(
            "Tasks wait for resources",
            "Work stands still for want of this resource. See who uses most of it; of memory, stop something before "
            "the kernel does; of I/O, see which disk is busy (`iostat -x`).",
        ),
        "zh": Words(
            "任务因资源不足而等待",
            "任务因缺少该资源而停顿。请查看占用最多的进程;若是内存,应在内核强制终止进程之前停止部分任务;若是 I/O,请用 "
            "`iostat -x` 查看哪块磁盘繁忙。",
            (
                "内存不足,所有任务有 {pressure memory_full_avg10[0]} 的时间停顿",
                "CPU 不足,部分任务有 {pressure cpu_some_avg60[0]} 的时间停顿",
                "I/O 不足,所有任务有 {pressure io_full_avg60[0]} 的时间停顿",
            ),
        ),
    },
    "swap_storm": {
        "en": Words(
            "Heavy swapping",
            "What runs does not fit into memory, and all of it is slow. See who holds most (`top`, by memory); stop "
            "or move something: more swap does not help.",
        ),
        "zh": Words(
            "频繁换页",
            "正在运行的程序超出了内存容量,整机都会变慢。请按内存查看占用最多的进程(`top`),停止或迁移一部分;"
            "增加交换空间没有帮助。",
            ("换出 {written[0]}、换入 {read back[0]}", ",交换空间已用 {swap[0]}", ",内存已用 {memory[0]}"),
        ),
    },
    "disk_filling": {
        "en": Words(
            "A disk is filling up",
            "Find what grows (`du -xh --max-depth=2`, newest files first): logs, dumps, temporary files. Delete or "
            "move it, or enlarge the file system, before the time that is left is over.",
        ),
        "zh": Words(
            "磁盘正在写满",
            "请找出正在增长的内容(`du -xh --max-depth=2`,先看最新的文件):日志、转储、临时文件。在写满之前删除、"
            "迁移或扩容。",
            (
                "{labels[mountpoint]} 剩余 {left[0]},以 {rate[0]} 的速度增长",
                ",约 {full in[0]} 后写满({between[0]})",
            ),
        ),
    },
    "disk_full": {
        "en": Words(
            "A disk is nearly full",
            "What writes there fails soon, or already does. Delete what can go (`du -xh --max-depth=2`); space of "
            "deleted files that are still open (`lsof +L1`) comes back when their process is restarted.",
        ),
        "zh": Words(
            "磁盘即将写满",
            "写入该磁盘的程序即将或已经失败。请删除可以清理的内容(`du -xh --max-depth=2`);"
            "已删除但仍被打开的文件(`lsof +L1`)要重启对应进程才会释放空间。",
            ("{labels[mountpoint]} 已用 {used[0]}(共 {used[1]})", ",剩余 {left[0]}"),
        ),
    },
    "disk_slow": {
        "en": Words(
            "Disks are slow",
            "See who reads and writes most (`iotop`), and whether the device is failing (`dmesg`, `smartctl -a`) or "
            "slowed down by a backup, a rebuild, or the cloud's limit.",
        ),
        "zh": Words(
            "磁盘响应缓慢",
            "请查看读写最多的进程(`iotop`),并检查设备是否故障(`dmesg`、`smartctl -a`),或是否受备份、阵列重建、"
            "云盘限速影响。",
            ("{labels[device]} 有 {busy[0]} 的时间繁忙,每次请求耗时 {await[0]}",),
        ),
    },
    "inode_exhaustion": {
        "en": Words(
            "Inodes are running out",
            "No file can be made there when none are left, whatever space there is. Find the directory with very many "
            "small files (`du --inodes -x`): sessions, caches, mail queues; delete the old ones.",
        ),
        "zh": Words(
            "inode 即将耗尽",
            "inode 耗尽后,即使有剩余空间也无法创建文件。请找出小文件极多的目录(`du --inodes -x`),例如会话、缓存、"
            "邮件队列,并清理旧文件。",
            (
                "{labels[mountpoint]} 的 inode 已用 {used[0]}({inodes[0]} / {inodes[1]})",
                ",约 {none left in[0]} 后耗尽({between[0]})",
            ),
        ),
    },
    "network_spike": {
        "en": Words(
            "Network traffic spike",
            "See who talks to whom (`ss -tp`, `iftop`): a backup, a release, a crawler, or somebody who should not. "
            "If it is meant, call it normal.",
        ),
        "zh": Words(
            "网络流量骤升",
            "请查看通信双方(`ss -tp`、`iftop`):可能是备份、发布、爬虫,也可能是不应有的访问。如属正常,请标记为正常。",
            (
                "{labels[interface]}",
                ",接收 {received[0]}(此时段通常为 {usually received[0]} 至 {usually received[1]})",
                ",发送 {sent[0]}(此时段通常为 {usually sent[0]} 至 {usually sent[1]})",
            ),
        ),
    },
    "network_drop": {
        "en": Words(
            "Network traffic drop",
            "What usually comes does not. See whether the service answers, whether its port is open (`ss -ltn`), and "
            "what lies before it: load balancer, DNS, firewall, cable.",
        ),
        "zh": Words(
            "网络流量骤降",
            "平时应有的流量没有到来。请检查服务是否响应、端口是否打开(`ss -ltn`),以及前面的负载均衡、DNS、"
            "防火墙和线路。",
            (
                "{labels[interface]}",
                ",接收 {received[0]}(此时段通常为 {usually received[0]} 至 {usually received[1]})",
                ",发送 {sent[0]}(此时段通常为 {usually sent[0]} 至 {usually sent[1]})",
            ),
        ),
    },
    "network_errors": {
        "en": Words(
            "Network errors",
            "Errors are mostly cable, connector, or speed and duplex (`ethtool`, `ip -s link`); drops are mostly a "
            "machine that cannot keep up, or a full queue. See the switch's counters as well.",
        ),
        "zh": Words(
            "网络错误",
            "错误多由网线、接口或速率与双工设置引起(`ethtool`、`ip -s link`);丢包多因主机处理不及或队列已满。"
            "请同时查看交换机端口的计数。",
            ("{labels[interface]} 错误 {errors[0]}、丢弃 {drops[0]}", ",占全部数据包的 {of all[0]}"),
        ),
    },
    "process_crash": {
        "en": Words(
            "A process is gone",
            "It crashed, was killed or was stopped. See its own log, `journalctl -u` its unit, and `dmesg` for the "
            "out-of-memory killer; then start it again.",
        ),
        "zh": Words(
            "进程消失",
            "该进程崩溃、被终止或被停止。请查看其日志、对应服务的 `journalctl -u`,以及 `dmesg` 中的内存不足终止记录,"
            "然后重新启动。",
            ("{labels[process]} ({pid[0]}) 运行 {ran for[0]} 后退出,未再出现", ";原占用内存 {memory[0]}"),
        ),
    },
    "crash_loop": {
        "en": Words(
            "A process crashes again and again",
            "Its own log says why it ends. See what changed last: a release, its settings, a disk that is full, "
            "something it needs that does not answer. What starts it may soon give up.",
        ),
        "zh": Words(
            "进程反复崩溃",
            "其自身日志会说明退出原因。请查看最近的变更:发布、配置、磁盘写满、依赖的服务无响应。"
            "负责启动它的程序可能很快会放弃。",
            ("{labels[process]} 在 {starts[1]} 内重新启动 {starts[0]} 次", ",当前 pid {pid[0]}"),
        ),
    },
    "flapping": {
        "en": Words(
            "A metric flaps",
            "Something comes and goes: a job that is started again and again, a health check that fails at times, two "
            "that fight. See what runs while the number is high.",
        ),
        "zh": Words(
            "指标反复抖动",
            "有任务在反复启停:例如不断重启的作业、时好时坏的健康检查、互相冲突的程序。请查看数值升高时在运行什么。",
            ("{metric[0]} 在 {crossings[1]} 内于 {levels[0]} 与 {levels[1]} 之间变化 {crossings[0]} 次",),
        ),
    },
    "temperature": {
        "en": Words(
            "Too hot",
            "See fans, dust, and the room's air; other machines that are hot too mean the room. It slows down, or "
            "switches itself off, before it breaks: move its work away.",
        ),
        "zh": Words(
            "温度过高",
            "请检查风扇、灰尘和机房空调;若其他主机也过热,则是机房问题。机器会先降频或自动关机,请先迁走其任务。",
            ("{labels[sensor]} 当前 {now[0]}(上限 {opens at[0]})",),
        ),
    },
    "host_outlier": {
        "en": Words(
            "Differs from its group",
            "The others do the same work and are well, so it is this one: another release or setting, a share of the "
            "load that is not even, failing hardware. Compare it with one of them.",
        ),
        "zh": Words(
            "与同组主机明显不同",
            "同组其他主机正常,问题在本机:版本或配置不同、负载分配不均、硬件故障。请与同组的一台主机对比。",
            ("{labels[metric]} 为 {here[0]}", ",同组 {hosts[0]} 台主机的中位数为 {group's median[0]}"),
        ),
    },
}
