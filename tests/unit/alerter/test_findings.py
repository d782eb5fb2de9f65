"""What an alert about a named finding says: the finding's own words, and what to do about it."""

from __future__ import annotations

import pytest

from services.alerter.delivery.mail import context_of, render
from services.alerter.evaluation.wording import found
from services.alerter.rules.findings import FINDINGS, UNUSUAL
from services.alerter.rules.rule import Language
from shared.schemas.anomaly import Contribution
from tests.unit.alerter.notes import note
from tests.unit.alerter.support import Watch
from tests.unit.detector.findings import test_findings as faults
from tests.unit.detector.findings.days import GB, HOUR, T0, Change, Sections, disk, happens, memory, process, processes
from tests.unit.detector.findings.test_group import day, fleet, nobody

ANY = "- {name: anomaly, title: Unusual behaviour, anomaly: {severity: info}}"
LEAK = "Memory is leaking on web1: 71 % and rising 95 %/h, none left in about 18 min (15 to 22 min)"
CPU = Contribution(metric="cpu.percent", share=0.7, value=99, expected_low=3, expected_high=20)


def leaking_process(ms: int, sections: Sections) -> None:
    grown = int(8 * GB * ms / (2 * HOUR))
    sections["processes"] = processes([*sections["processes"].top, process("leaky", 77, T0, rss=GB + grown)])
    sections["memory"] = memory(35 + grown / (16 * GB) * 100)


def filling(ms: int, sections: Sections) -> None:
    sections["disks"] = [disk(min(100.0, 65 + 35 * ms / (6 * HOUR)))]


def running_out_of_inodes(ms: int, sections: Sections) -> None:
    sections["disks"] = [disk(60, inodes=20 + 80 * ms / (6 * HOUR))]


CHINESE = [
    (faults.overload, "CPU 过载:CPU 使用率 99 %,负载 0.978(4 核);最繁忙:stress (7) 390 %"),
    (
        faults.spike_of_load,
        "负载骤升:14 个任务争用 4 个核心(此时段通常不超过 1.69),其中 0 个在等待磁盘",
    ),
    (faults.memory_stalls, "任务因资源不足而等待:内存不足,所有任务有 30 % 的时间停顿"),
    (faults.swapping, "频繁换页:换出 4 MB/s、换入 2.99 MB/s,交换空间已用 40 %,内存已用 48.4 %"),
    (faults.slow_disk, "磁盘响应缓慢:sda 有 99 % 的时间繁忙,每次请求耗时 400 ms"),
    (faults.lost_packets, "网络错误:eth0 错误 0/s、丢弃 200/s,占全部数据包的 5.39 %"),
    (faults.spike_of_traffic, "网络流量骤升:eth0,接收 10 MB/s(此时段通常为 232 kB/s 至 560 kB/s)"),
    (
        faults.no_traffic,
        "网络流量骤降:eth0,接收 1 kB/s(此时段通常为 232 kB/s 至 560 kB/s)"
        ",发送 1 kB/s(此时段通常为 650 kB/s 至 1.25 MB/s)",
    ),
    (faults.flapping, "指标反复抖动:cpu.percent 在 14 min 内于 18.7 % 与 82.7 % 之间变化 8 次"),
    (faults.hot, "温度过高:coretemp/Package 当前 90 °C(上限 85 °C)"),
    (faults.full, "磁盘即将写满:/srv 已用 99.5 GB(共 100 GB),剩余 500 MB"),
    (faults.no_inodes, "inode 即将耗尽:/srv 的 inode 已用 96 %(960000 / 1000000)"),
    (running_out_of_inodes, "inode 即将耗尽:/srv 的 inode 已用 31.1 %(311111 / 1000000),约 7 h 后耗尽(5 至 8 h)"),
    (faults.gone, "进程消失:daemon-0 (100) 运行 32 天 后退出,未再出现;原占用内存 500 MB"),
    (faults.crashing, "进程反复崩溃:daemon-0 在 3 min 内重新启动 4 次,当前 pid 5003"),
    (faults.leak, "内存泄漏:可用内存 5.48 GB(共 16 GB),占用以 720 MB/h 的速度增长,约 10 h 后耗尽(10 h)"),
    (leaking_process, "内存泄漏:leaky (77) 占用 3 GB,并以 4 GB/h 的速度增长,约 2 h 后耗尽(2 h)"),
    (filling, "磁盘正在写满:/srv 剩余 30.1 GB,以 5.83 GB/h 的速度增长,约 5 h 后写满(4 至 5 h)"),
]


@pytest.mark.parametrize(("fault", "chinese"), CHINESE)
def test_what_the_detector_finds_is_said_in_its_own_words(fault: Change, chinese: str) -> None:
    anomaly = happens(fault, 250)[0][1]
    assert found("en", anomaly) == anomaly.summary
    assert found("zh", anomaly) == f"web-1 {chinese}"


def test_a_host_unlike_its_group_is_said_in_chinese_too() -> None:
    anomaly = fleet(5, 140, lambda n, minute: day(minute) + (45 if n == 3 and minute >= 120 else 0), nobody)[0]
    assert found("zh", anomaly) == "h3 与同组主机明显不同:cpu.percent 为 71.5 %,同组 5 台主机的中位数为 27.2 %"


def test_who_grew_is_said_in_chinese() -> None:
    anomaly = happens(faults.leak, 250)[0][1]
    grew = anomaly.model_copy(
        update={"evidence": anomaly.evidence | {"process": "run in 5 (7) grew by 3 GB in 2 days"}}
    )
    assert found("zh", grew).endswith(";run in 5 (7) 在 2 天 内增长了 3 GB")


def test_a_host_whose_label_is_named_like_evidence_is_not_misread() -> None:
    anomaly = happens(faults.leak, 250)[0][1]
    assert "{" not in found("zh", anomaly.model_copy(update={"labels": {"process": "{pid}", "pid": "1"}}))
    assert "占用 " not in found("zh", anomaly.model_copy(update={"labels": {"process": "x", "pid": "1"}}))


def test_what_only_the_models_say_is_said_by_what_contributes() -> None:
    watch = Watch(ANY, language="zh")
    (fired,) = watch.anomaly("open", finding="gpu_overload", summary="GPU overloaded on web1", contributions=[CPU])
    assert fired.summary == "web1 GPU 过载:cpu.percent 99.0 %(通常为 3.0 % 至 20.0 %)"
    assert fired.annotations["description"] == fired.summary


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_says_what_to_do(finding: str, language: Language) -> None:
    (fired,) = Watch(ANY, language=language).anomaly("open", finding=finding, contributions=[CPU])
    words = FINDINGS[finding][language]
    assert fired.annotations["advice"] == words.advice
    assert len({FINDINGS[f][language].advice for f in FINDINGS}) == len(FINDINGS)
    assert words.advice.isascii() == (language == "en")


def test_an_advice_that_somebody_wrote_goes_before_ours() -> None:
    watch = Watch("- {name: any, title: Odd, advice: Call Bob., anomaly: {severity: info}}")
    (fired,) = watch.anomaly("open", finding="memory_leak")
    assert fired.annotations["advice"] == "Call Bob."


def test_a_finding_that_fires_once_it_has_lasted_still_has_its_own_words() -> None:
    watch = Watch("- {name: anomaly, title: Odd, for: 1m, anomaly: {severity: info}}")
    watch.anomaly("open", finding="memory_leak", summary=LEAK)
    (fired,) = watch.tick(61)
    assert (fired.state, fired.summary) == ("firing", LEAK)


def test_a_mail_about_a_finding_says_its_words_and_no_score() -> None:
    (fired,) = Watch(ANY).anomaly("open", finding="memory_leak", summary=LEAK, severity="critical")
    mail = render(context_of(note(fired), "en", None))
    for part in (mail.text, mail.html):
        assert part.count(LEAK) == 1
        assert "score" not in part and "limit" not in part
    assert "see whether the process that grew" in mail.text.lower()
    unnamed = Watch(ANY).anomaly("open", finding=UNUSUAL, summary="Unusual behaviour on web1: load1 9")
    assert "score 2 (limit 1)" in render(context_of(note(*unnamed), "en", None)).text


def test_a_finding_among_many_is_named_with_its_words() -> None:
    watch = Watch(ANY)
    names = ["cpu_overload", "load_spike", "swap_storm", "memory_leak"]
    fired = [a for i, n in enumerate(names) for a in watch.anomaly("open", anomaly_id=n, finding=n, summary=f"{n} {i}")]
    mail = render(context_of(note(*fired), "en", None))
    assert "- Warning: memory_leak 3, " in mail.text
    assert "memory_leak 3" in mail.html
