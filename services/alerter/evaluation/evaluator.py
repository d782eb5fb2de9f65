"""Rules x events -> transitions: holds every pending and firing alert, in memory bounds, without I/O or a clock.

Callers give the time, publish what is returned, and never call it from two tasks at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence

from services.alerter.evaluation.absence import Silence
from services.alerter.evaluation.ahead import Ahead
from services.alerter.evaluation.host import Host, Key
from services.alerter.evaluation.hosts import Hosts
from services.alerter.evaluation.late import Lateness
from services.alerter.evaluation.ourselves import Known, Ours, Ourselves
from services.alerter.evaluation.probes import policy, sections_of
from services.alerter.evaluation.readings import Values
from services.alerter.evaluation.roster import Roster
from services.alerter.evaluation.state import Policy, Reason, Verdict, end
from services.alerter.evaluation.stepping import Stepper
from services.alerter.evaluation.telling import Teller, applies, finding_key, is_about_us, labels
from services.alerter.evaluation.timeline import Timing
from services.alerter.rules.rule import Language, Rule, at_least
from shared.alerting.matching import matches
from shared.schemas.alert import Alert
from shared.schemas.anomaly import Anomaly
from shared.schemas.control import Watched
from shared.schemas.metrics import BY_NAME
from shared.schemas.sample import HostSample

STALE_MS = 300_000
"""A pause between readings that does not interrupt "it lasted"; longer where a section comes more rarely."""

ANOMALY_STALE_MS = 3_600_000
FORGET_AFTER_S = 7 * 86_400.0
AGAIN_S = 86_400.0
"""What lasts is said again so often: the alerts topic forgets what was said a week ago, and who starts then would know
nothing of it.
"""
_NONE: frozenset[str] = frozenset()


class Evaluator:
    """``name`` tells alerters apart; ``known`` is asked when a host is first heard of, ``ours`` before anything is
    said about a host that says nothing itself.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        silent_after_ms: int,
        language: Language = "en",
        max_hosts: int = 20_000,
        max_alerts: int = 100_000,
        name: str = "alerter",
        known: Known = lambda _: (),
        ours: Ours = lambda _: True,
    ) -> None:
        self._silent_after_ms = silent_after_ms
        self._known = known
        self._ours = ours
        self._stepper = Stepper(Teller(language, silent_after_ms), max_alerts)
        self._step, self._ended = self._stepper.step, self._stepper.end
        self._us = Ourselves(name, self._stepper, known, ours)
        self._roster = Roster(2 * max_hosts)
        self._said_again: float | None = None
        self._ahead = Ahead()
        self.silence = Silence()
        self._hosts = Hosts(max_hosts, self.silence, self._stepper)
        self.lateness = Lateness()
        self.timings: Counter[Timing] = Counter()
        self._take(rules)

    def _take(self, rules: Sequence[Rule]) -> None:
        self._rules = {r.name: r for r in rules}
        self._sections = sections_of(rules)
        self._anomaly_rules = [r for r in rules if r.anomaly]
        self._absent_rules = [r for r in rules if r.absent]
        self._silence_rules = [r for r in rules if r.condition == "silent"]
        self._us.take(self._rules)

    @property
    def open(self) -> int:
        """Alerts pending or firing."""
        return self._stepper.open

    @property
    def refused(self) -> int:
        """Alerts that could not begin because ``max_alerts`` were pending or firing."""
        return self._stepper.refused

    @property
    def hosts(self) -> int:
        return len(self._hosts)

    def only_future_for(self, monotonic: float) -> float:
        """Seconds for which every sample, of whatever host, was from the future: then it is our clock that is wrong."""
        return self._ahead.all_for(monotonic)

    # -- events ------------------------------------------------------------------------------------------------

    def sample(self, sample: HostSample, now_ms: int, monotonic: float) -> list[Alert]:
        host, out = self._host(sample.host_id, now_ms, monotonic)
        if host is None:
            return out
        self._hosts.heard(host, monotonic)
        before_ms = host.samples.newest
        if not self._is_live(host, sample, now_ms, monotonic):
            return out
        if host.name != sample.host or host.labels != sample.labels or not host.samples.since:
            host.name, host.labels = sample.host, sample.labels
            host.samples.since = host.samples.since or sample.ts
            self._roster.present(host.host_id, host.name, host.labels, now_ms)
        # A rule has one metric, so what it begins or ends here is no other's business.
        active = {rule for rule, _ in host.episodes} if host.episodes else _NONE
        if active:
            out += self._spoke_again(host, now_ms)
        if host.seen:
            self._excuse(host, sample.ts - before_ms)
        return [*out, *self._judge_sections(host, sample, active)]

    def _is_live(self, host: Host, sample: HostSample, now_ms: int, monotonic: float) -> bool:
        timing = host.samples.judge(sample.ts, now_ms, monotonic)
        self.timings[timing] += 1
        if timing is Timing.FUTURE:
            self._ahead.from_future(host, sample.ts - now_ms, monotonic)
        else:
            self._ahead.from_now(host)
        return timing is Timing.LIVE

    def _judge_sections(self, host: Host, sample: HostSample, active: Container[str]) -> list[Alert]:
        """``active``: rules that have an episode here."""
        out: list[Alert] = []
        at = sample.ts
        for name, section, readings in self._sections:
            found = section(sample)
            if found is None:
                continue
            before, pause = host.rhythm.get(name, (0, 0))
            host.rhythm[name] = (at, at - before if before else 0)
            for read, labelled, probes in readings:
                values = read(found)
                for probe in probes:
                    rule = probe.rule
                    has = rule.name in active
                    judged = probe.judge(host, values, at, has)
                    if judged:
                        stale_ms = max(STALE_MS, 3 * pause)
                        for instance, verdict, value in judged:
                            out += self._judged(host, rule, instance, probe.policy, verdict, at, value, stale_ms)
                    if has and labelled and not rule.absent:
                        out += self._gone(host, rule, probe.policy, values, at, max(STALE_MS, 3 * pause))
        return out

    def anomaly(self, anomaly: Anomaly, now_ms: int, monotonic: float) -> list[Alert]:
        host, out = self._host(anomaly.host_id, now_ms, monotonic)
        if host is None:
            return out
        host.name = host.name or anomaly.host
        closes = anomaly.state == "close"
        if not closes and (
            anomaly.anomaly_id in host.closed_anomalies
            or host.anomalies.judge(anomaly.ts, now_ms, monotonic) in (Timing.LATE, Timing.FUTURE)
        ):
            return out
        if closes:
            host.closed_anomalies.append(anomaly.anomaly_id)
        for rule in self._anomaly_rules:
            out += self._judge_anomaly(host, rule, anomaly, closes)
        return out

    def tick(self, now_ms: int, monotonic: float) -> list[Alert]:
        """What time alone brings about: silence, calm that has lasted, data that stopped coming, being late."""
        self._hosts.forget_parked(monotonic)
        out = self._us.tick(now_ms, self.lateness.seconds)
        late = self._us.late
        for host in self._hosts:
            out += self._tick_host(host, now_ms, monotonic, late)
        return out

    def lasting(self, now_ms: int, monotonic: float) -> list[Alert]:
        """Once a day, the newest event of every alert that is open and of which nothing was said for a day."""
        if self._said_again is not None and monotonic - self._said_again < AGAIN_S:
            return []
        self._said_again = monotonic
        told = (alert for host in (self._us.host, *self._hosts) for alert in host.told.values())
        return [alert for alert in told if now_ms - alert.ts >= AGAIN_S * 1000]

    # -- rules that change -------------------------------------------------------------------------------------

    def adopt(self, rules: Sequence[Rule], now_ms: int) -> list[Alert]:
        """Go on with other rules; returns the ends of alerts whose rule is gone, is about something else now, or no
        longer means them. All others go on as they are.
        """
        before = self._rules
        self._take(rules)
        self._hosts.forget_parked()  # what they remember may be of other conditions
        out: list[Alert] = []
        for host in (self._us.host, *self._hosts):
            for key, episode in list(host.episodes.items()):
                if reason := self._no_longer(before.get(key[0]), host, key):
                    host.open_anomalies.pop(key, None)
                    out.append(self._ended(host, key, end(episode, reason, now_ms)))
            for memory in (host.series, host.seen):
                for key in [k for k in memory if not _same_memory(before.get(k[0]), self._rules.get(k[0]))]:
                    del memory[key]
        return out

    def _no_longer(self, before: Rule | None, host: Host, key: Key) -> Reason | None:
        rule = self._rules.get(key[0])
        if rule is None:
            return Reason.RULE_GONE
        if before is not None and before.subject != rule.subject:
            return Reason.RULE_CHANGED
        # A host that was taken up and has not spoken yet is known by what was said of it.
        known = labels(rule, host, key[1]) if host.samples.since or host is self._us.host else host.told[key].labels
        return None if matches(rule.match, known) else Reason.NOT_MEANT

    # -- hosts that come from and go to other alerters ------------------------------------------------------------

    def restore(self, alerts: Iterable[Alert], now_ms: int, monotonic: float) -> list[Alert]:
        """Take up where the alerters before us stopped: of our hosts, the newest event of each alert (``Known``).

        To be called before the first event, and when partitions came; what is here already stays as it is.
        """
        out: list[Alert] = []
        by_host: dict[str, list[Alert]] = {}
        for alert in alerts:
            if is_about_us(alert):
                out += self._us.take_up(alert, now_ms)
            else:
                by_host.setdefault(alert.host_id, []).append(alert)
        for host_id, theirs in by_host.items():
            if self._hosts.get(host_id) is None and self._ours(host_id):
                out += self.take_up(host_id, theirs, now_ms, monotonic)
        return out

    def take_up(self, host_id: str, alerts: Iterable[Alert], now_ms: int, monotonic: float) -> list[Alert]:
        """Go on with a host's alerts where another alerter, or we before a restart, stopped; returns the ends of
        those whose rule is gone or changed.
        """
        alerts = list(alerts)
        host, out = self._hosts.place(host_id, alerts, now_ms, monotonic)
        if host is None:
            return self._turn_away(host_id, alerts, now_ms)
        for alert in alerts:
            host.name = host.name or alert.host
            rule = self._rules.get(alert.rule)
            if rule and rule.metric_name:
                host.samples.newest = max(host.samples.newest, alert.ts)
            if alert.state not in ("resolved", "inactive"):
                self.silence.heard(host_id, monotonic)
                out += self._stepper.take_up(host, rule, alert, now_ms)
            elif alert.anomaly_id:
                host.closed_anomalies.append(alert.anomaly_id)
        return out

    def release(self, host_ids: Iterable[str], monotonic: float) -> None:
        """These are somebody else's now: says nothing more of them and ends nothing.

        Who comes back soon finds what was learned of it, and of its alerts those that nobody changed meanwhile.
        """
        for host_id in host_ids:
            self._hosts.give_away(host_id, monotonic)

    def reassigned(self, now_ms: int, monotonic: float) -> list[Alert]:
        """Partitions came or went: release the hosts that are not ours, take in those that are and would be missed."""
        self.release([host.host_id for host in self._hosts if not self._ours(host.host_id)], monotonic)
        return [a for watched in self._roster for a in self._miss(watched, now_ms, monotonic)]

    # -- hosts that would be missed ----------------------------------------------------------------------------

    def watched(self, host_id: str, event: Watched | None, now_ms: int, monotonic: float) -> list[Alert]:
        """The control topic says that this host would be missed, or, ``None``, that it would not any more: then what
        is said of it ends, unless it speaks.
        """
        self._roster.told(host_id, event)
        if event is not None:
            return self._miss(event, now_ms, monotonic)
        host = self._hosts.get(host_id)
        if host is None:
            return []
        if host.samples.since and self.silence.since_heard(host_id, monotonic) * 1000 < self._silent_after_ms:
            self._roster.present(host_id, host.name, host.labels, now_ms)
            return []
        return list(self._hosts.forget(host_id, now_ms))

    def roster(self, monotonic: float) -> list[tuple[str, Watched | None]]:
        """What the control topic should say of our hosts from now on, as ``(key, event)``; ``None`` forgets.

        Each is returned once: the caller sees that it is published.
        """
        return self._roster.take(monotonic)

    def _miss(self, watched: Watched, now_ms: int, monotonic: float) -> list[Alert]:
        if self.silence.counts(watched.id) or not self._ours(watched.id):
            return []
        out: list[Alert] = []
        host = self._hosts.get(watched.id)  # is there without a word of its own where an anomaly named it
        if host is None:
            if self._hosts.full:
                return []
            host, out = self._host(watched.id, now_ms, monotonic)
            assert host
        self._hosts.missed(host, monotonic)
        host.name, host.labels = watched.host, watched.labels
        return out

    # -- conditions --------------------------------------------------------------------------------------------

    def _judged(
        self,
        host: Host,
        rule: Rule,
        instance: str,
        policy: Policy,
        verdict: Verdict,
        at: int,
        value: float,
        stale_ms: int,
    ) -> Iterator[Alert]:
        key = (rule.name, instance)
        if (verdict is Verdict.BEYOND or key in host.episodes) and applies(rule, host, instance):
            yield from self._step(host, rule, key, policy, verdict, at, value, stale_ms)

    def _gone(self, host: Host, rule: Rule, policy: Policy, values: Values, at: int, stale_ms: int) -> Iterator[Alert]:
        there = {instance for instance, _ in values}
        for key in [k for k in host.episodes if k[0] == rule.name and k[1] not in there]:
            yield from self._step(host, rule, key, policy, Verdict.GONE, at, None, stale_ms)

    def _judge_anomaly(self, host: Host, rule: Rule, anomaly: Anomaly, closes: bool) -> Iterator[Alert]:
        """One alert a host, rule and finding, whatever the number of anomalies; renamed, it stays where it was."""
        assert rule.anomaly
        begun = (k for k, ids in host.open_anomalies.items() if k[0] == rule.name and anomaly.anomaly_id in ids)
        key = next(begun, (rule.name, finding_key(anomaly.finding)))
        members = host.open_anomalies.setdefault(key, set())
        wanted = (
            not closes
            and at_least(anomaly.severity, rule.anomaly.severity)
            and anomaly.score >= rule.anomaly.score
            and rule.anomaly.means(anomaly.finding)
            and applies(rule, host, "")
        )
        if wanted:
            members.add(anomaly.anomaly_id)
        elif closes:
            members.discard(anomaly.anomaly_id)
        # A severity that falls while the anomaly lasts does not end the alert: the anomaly does.
        verdict = Verdict.BEYOND if wanted else Verdict.BETWEEN if members else Verdict.CALM
        if not members:
            del host.open_anomalies[key]
        # Ticks look at the episode too, by our clock, which is ahead of the detector's news; these count all the same.
        at = max(anomaly.ts, host.episodes[key].seen_at + 1) if key in host.episodes else anomaly.ts
        yield from self._step(host, rule, key, policy(rule), verdict, at, anomaly.score, ANOMALY_STALE_MS, anomaly)

    def _excuse(self, host: Host, pause: int) -> None:
        """A host that says nothing says nothing of what would be missed either."""
        for rule in self._absent_rules:
            if rule.absent and 2 * pause >= rule.absent.after:
                for key in [k for k in host.seen if k[0] == rule.name]:
                    host.seen[key] += pause

    def _spoke_again(self, host: Host, now_ms: int) -> Iterator[Alert]:
        for rule in self._silence_rules:
            key = (rule.name, "")
            if key in host.episodes:
                at = max(now_ms, host.episodes[key].seen_at + 1)
                yield from self._step(host, rule, key, policy(rule), Verdict.CALM, at, None, STALE_MS)

    # -- time --------------------------------------------------------------------------------------------------

    def _tick_host(self, host: Host, now_ms: int, monotonic: float, late: bool) -> Iterator[Alert]:
        silent_s = self.silence.silent_for(host.host_id)
        for rule in self._silence_rules:
            key = (rule.name, "")
            beyond = silent_s * 1000 >= rule.silent_after_ms(self._silent_after_ms)
            if beyond and key not in host.episodes and not late and self._may_claim(rule, host):
                yield from self._step(host, rule, key, policy(rule), Verdict.BEYOND, now_ms, silent_s, STALE_MS)
            elif key in host.episodes and (beyond or host.episodes[key].calm_since is not None):
                verdict = Verdict.BEYOND if beyond else Verdict.CALM
                yield from self._step(host, rule, key, policy(rule), verdict, now_ms, silent_s, now_ms)
        for rule in self._anomaly_rules if host.episodes else ():
            for key in [k for k in host.episodes if k[0] == rule.name]:
                yield from self._tick_anomaly(host, rule, key, now_ms)
        unheard_s = self.silence.since_heard(host.host_id, monotonic)
        if unheard_s * 1000 <= STALE_MS:
            for rule in self._absent_rules if host.seen else ():
                yield from self._tick_absent(host, rule)
            if host.episodes and not silent_s:
                yield from self._tick_stale(host)
        elif unheard_s > FORGET_AFTER_S:
            self._roster.gone(host.host_id)
            yield from self._hosts.forget(host.host_id, now_ms)

    def _may_claim(self, rule: Rule, host: Host) -> bool:
        return applies(rule, host, "") and self._ours(host.host_id)

    def _tick_anomaly(self, host: Host, rule: Rule, key: Key, now_ms: int) -> Iterator[Alert]:
        """An anomaly says that it opened and that it closed; the time between passes here."""
        episode = host.episodes[key]
        if episode.state == "pending" and host.open_anomalies.get(key):
            yield from self._step(
                host, rule, key, policy(rule), Verdict.BEYOND, now_ms, episode.value, ANOMALY_STALE_MS
            )
        elif episode.calm_since is not None:
            yield from self._step(host, rule, key, policy(rule), Verdict.CALM, now_ms, None, ANOMALY_STALE_MS)
        elif now_ms - episode.seen_at > ANOMALY_STALE_MS:
            host.open_anomalies.pop(key, None)
            yield self._ended(host, key, end(episode, Reason.NO_DATA, now_ms))

    def _tick_absent(self, host: Host, rule: Rule) -> Iterator[Alert]:
        """The host speaks; what it had and no longer has is by its own times."""
        assert rule.absent
        newest = host.samples.newest
        _, pause = host.rhythm.get(BY_NAME[rule.absent.metric].section, (0, 0))
        for key, seen_at in [(k, at) for k, at in host.seen.items() if k[0] == rule.name]:
            missed = newest - seen_at
            if missed < max(rule.absent.after, 3 * pause):
                continue
            if missed > FORGET_AFTER_S * 1000:
                del host.seen[key]
                if key in host.episodes:
                    yield self._ended(host, key, end(host.episodes[key], Reason.GONE, newest))
            elif applies(rule, host, key[1]):
                yield from self._step(host, rule, key, policy(rule), Verdict.BEYOND, newest, missed / 1000, newest)

    def _tick_stale(self, host: Host) -> Iterator[Alert]:
        """The host speaks, and has spoken here for long enough, but no longer of this."""
        since = host.samples.since
        for key, episode in list(host.episodes.items()):
            rule = self._rules[key[0]]
            if (rule.metric or rule.forecast) and since:
                _, pause = host.rhythm.get(BY_NAME[rule.metric_name].section, (0, 0))
                if host.samples.newest - max(episode.seen_at, since) > max(STALE_MS, 3 * pause):
                    yield self._ended(host, key, end(episode, Reason.NO_DATA, host.samples.newest))

    # -- bookkeeping -------------------------------------------------------------------------------------------

    def _host(self, host_id: str, now_ms: int, monotonic: float) -> tuple[Host | None, list[Alert]]:
        """The host, with what is known of it, and what ends by that; ``None`` where there is no room for it."""
        host = self._hosts.get(host_id)
        if host is not None:
            return host, []
        out = self.take_up(host_id, self._known(host_id), now_ms, monotonic)
        return self._hosts.get(host_id), out

    def _turn_away(self, host_id: str, alerts: Iterable[Alert], now_ms: int) -> list[Alert]:
        """What was said of a host ends, where nobody goes on with it."""
        stranger = Host(host_id)
        out: list[Alert] = []
        for alert in alerts:
            if alert.state not in ("resolved", "inactive"):
                out += self._stepper.take_up(stranger, self._rules.get(alert.rule), alert, now_ms)
        return [*out, *self._hosts.end_all(stranger, Reason.NO_ROOM, now_ms)]


def _same_memory(before: Rule | None, after: Rule | None) -> bool:
    """Whether what was remembered for a rule's condition still serves."""
    if before is None or after is None or before.subject != after.subject:
        return False
    return before.forecast is None or after.forecast is None or before.forecast.over == after.forecast.over
