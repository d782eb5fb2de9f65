"""Every sentence the API says to a client, in Chinese and in English."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

Language = Literal["zh", "en"]


class Text(NamedTuple):
    zh: str
    en: str

    def say(self, language: Language) -> str:
        return self.en if language == "en" else self.zh

    def of(self, **parts: object) -> Text:
        """The sentence with its ``{parts}`` filled in; a part that is itself a ``Text`` keeps both languages."""
        return Text(
            self.zh.format(**{k: v.zh if isinstance(v, Text) else v for k, v in parts.items()}),
            self.en.format(**{k: v.en if isinstance(v, Text) else v for k, v in parts.items()}),
        )


@lru_cache(maxsize=256)
def language(accept_language: str) -> Language:
    """What a client wants to read; Chinese unless it prefers English."""
    best: tuple[float, Language] = (0.0, "zh")
    for part in accept_language.lower().split(","):
        tag, _, parameters = part.strip().partition(";")
        name: Language | None = "en" if tag.startswith("en") else "zh" if tag.startswith("zh") or tag == "*" else None
        if name and (weight := _weight(parameters)) > best[0]:
            best = (weight, name)
    return best[1]


def _weight(parameters: str) -> float:
    key, _, value = parameters.replace(" ", "").partition("=")
    try:
        return float(value) if key == "q" else 1.0
    except ValueError:
        return 0.0


OK = Text("操作成功", "Success")
UNAUTHORIZED = Text("未授权访问", "Unauthorized")
GPU_NO_DEVICE = Text("未检测到GPU设备", "No GPU device detected")
GPU_NO_LIBRARY = Text(
    "GPU监控不可用,请安装GPUtil库", "GPU monitoring is not available, please install the GPUtil library"
)

BAD_REQUEST = Text("请求无法理解", "The request cannot be understood")
FORBIDDEN = Text("权限不足: 需要 {needs} 权限", "Forbidden: this needs the permission {needs}")
NOT_FOUND = Text("接口不存在", "There is no such route")
METHOD_NOT_ALLOWED = Text("不支持的请求方法, 可用: {allowed}", "Method not allowed here; allowed: {allowed}")
INTERNAL = Text("服务器内部错误", "Internal error")
STORE_AWAY = Text("存储暂时不可用, 请稍后重试", "The store is not available at the moment, please try again later")
STORE_SLOW = Text(
    "查询超时, 请缩小时间范围后重试", "The query took too long, please ask for a shorter range or try again later"
)
BUSY = Text("服务器繁忙, 请稍后重试", "The server is busy, please try again later")
STARTING = Text("服务正在启动, 请稍后重试", "The service is starting, please try again in a moment")
TOO_LARGE = Text("请求体过大, 最多 {most} 字节", "The request body is too large; at most {most} bytes are accepted")
MISDIRECTED = Text(
    "不接受 Host 头 {host}, 请设置 LAPWING_API__ALLOWED_HOSTS",
    "The Host header {host} is not served here; see LAPWING_API__ALLOWED_HOSTS",
)

UNKNOWN_HOST = Text("主机不存在: {host}", "Unknown host: {host}")
NO_FEEDBACK = Text("没有对异常 {id} 的反馈", "Nothing was said of the anomaly {id}")
UNKNOWN_ANOMALY = Text("异常不存在: {id}", "There is no anomaly {id}")
NO_HOSTS = Text("还没有主机上报数据", "No host has reported yet")
AMBIGUOUS_HOST = Text(
    "参数 host 必须唯一: 名为 {host} 的主机有多台, 请使用其 id: {ids}",
    "Parameter host must name one host: several are called {host}; use one of the ids {ids}",
)
NO_DATA = Text("该主机暂无 {section} 数据", "This host has not reported {section} yet")
NO_DATA_THEN = Text("该主机在 {at} 之前没有 {section} 数据", "This host has no {section} data before {at}")

UNKNOWN_ALERT = Text("告警不存在: {id}", "There is no alert {id}")
ALERT_IS_OVER = Text("告警 {id} 已结束, 无法确认", "The alert {id} is over and cannot be acknowledged")
NO_ACK = Text("告警 {id} 未被确认", "Nobody has acknowledged the alert {id}")
UNKNOWN_SILENCE = Text("静默不存在: {id}", "There is no silence {id}")
SILENCE_IS_OVER = Text("静默 {id} 已结束, 请新建一个", "The silence {id} is over; make a new one")
TOO_MANY_SILENCES = Text("静默过多, 最多 {most} 个", "There are too many silences; at most {most} may stand at a time")
SILENCE_OF_ALL = Text(
    "参数 matchers 必须至少有一个不匹配空值: 否则所有告警都会被静默",
    "Parameter matchers must have at least one that an empty value does not match: these would silence everything",
)
END_OR_DURATION = Text(
    "参数 ends_at 和 duration 必须给出其中一个", "Parameter ends_at must be given, or duration, and not both"
)
LATER_THAN_START = Text("晚于 starts_at 和现在的时间", "later than starts_at and than now")
WITHIN_A_YEAR = Text("366 天之内的时间", "within 366 days from now")
MATCHER = Text(
    '如 severity="critical" 或 host=~"web-.*", 其中的正则表达式为 RE2 语法',
    'a matcher such as severity="critical" or host=~"web-.*", with a regular expression that RE2 takes',
)
UNKNOWN_RECEIVER = Text("接收者不存在: {name}", "There is no receiver {name}")
RECEIVER_OF_A_FILE = Text(
    "接收者 {name} 来自告警服务的配置, 只能在那里修改",
    "The receiver {name} comes from the alerter's own settings and can only be changed there",
)
TOO_MANY_RECEIVERS = Text("接收者过多, 最多 {most} 个", "There are too many receivers; at most {most} can be entered")
NO_ANSWER = Text(
    "告警服务在 {seconds} 秒内没有告知 {name} 的结果, 它在运行吗?",
    "The alerter did not say within {seconds} s what became of the message to {name}; is it running?",
)
NO_SETUP = Text("告警服务还没有公布其配置, 它在运行吗?", "No alerter has said yet how it is set up; is it running?")
A_WEB_ADDRESS = Text("http:// 或 https:// 地址, 不含用户名", "an http:// or https:// address without a user name")
A_URL = Text("一个 URL, 如 slack://T0/B0/x", "a URL such as slack://T0/B0/x")
ADDRESSES = Text("以逗号分隔的邮件地址", "mail addresses with commas between them")
A_HOST_THAT_IS_KNOWN = Text("可解析的主机 (找不到 {host})", "at a host that can be found ({host} cannot)")
NOT_PRIVATE = Text(
    "公网地址 (见 LAPWING_ALERTER__ALLOW_PRIVATE_RECEIVERS)",
    "at a public address (see LAPWING_ALERTER__ALLOW_PRIVATE_RECEIVERS)",
)
A_FIXED_SERVICE = Text(
    "以下服务之一的地址: {known} (见 LAPWING_ALERTER__ALLOW_PRIVATE_RECEIVERS)",
    "the URL of one of {known} (see LAPWING_ALERTER__ALLOW_PRIVATE_RECEIVERS)",
)

LINK_ACK = Text("确认此告警", "Acknowledge this alert")
LINK_SILENCE = Text("静默此主机的此告警 1 小时", "Silence this alert on this host for an hour")
LINK_NORMAL = Text("这是正常的: 以后类似情况不再告警", "This was normal: do not alarm about the like again")
LINK_BUTTON = Text("确定", "Do it")
LINK_DONE = Text("已完成", "Done")
LINK_USED = Text("此链接已使用过, 无需再次操作", "This link was used already; there is nothing more to do")
LINK_EXPIRED = Text("此链接已过期, 请在面板中操作", "This link is too old; use the dashboard instead")
LINK_UNKNOWN = Text("此链接无效或不完整", "This link is not valid, or a part of it is missing")
LINK_OVER = Text("此告警已结束, 无需确认", "This alert is over; there is nothing to acknowledge")
NO_ALERTS_FROM_OUTSIDE = Text(
    "不接受外部告警: 告警由规则产生",
    "Lapwing takes no alerts from outside: its own rules make them. Send these to an Alertmanager",
)
PATTERN = Text("正则表达式(RE2 语法)", "a regular expression that RE2 takes")

BAD_PARAMETER = Text("参数 {name} 必须是 {allowed}", "Parameter {name} must be {allowed}")
REPEATED_PARAMETER = Text("参数 {name} 只能出现一次", "Parameter {name} must be given once only")
MISSING_PARAMETER = Text("缺少参数 {name}, 必须是 {allowed}", "Parameter {name} is missing; it must be {allowed}")
UNKNOWN_PARAMETER = Text(
    "未知参数 {name}, 允许的参数: {known}", "Unknown parameter {name}; allowed parameters: {known}"
)
UNKNOWN_PARAMETER_NEAR = Text(
    "未知参数 {name}, 是否指 {nearest}? 允许的参数: {known}",
    "Unknown parameter {name}, did you mean {nearest}? Allowed parameters: {known}",
)
TOO_MANY_PARAMETERS = Text("查询参数过多, 最多 {most} 个", "Too many query parameters; at most {most} are accepted")
TOO_MANY_POINTS = Text(
    "参数 step 太小: 最多返回 {most} 个点, 请使用不小于 {least} 的 step",
    "Parameter step is too small: at most {most} points are answered; use a step of {least} or more",
)
EMPTY_RANGE = Text("参数 from 必须早于 to", "Parameter from must be earlier than to")
NO_QUANTILES = Text(
    "参数 agg 必须是 avg, min, max, last, sum 或 count: 指标 {metric} 在此时间范围没有分位数",
    "Parameter agg must be avg, min, max, last, sum or count: {metric} has no quantiles that far back",
)
BAD_CURSOR = Text(
    "参数 cursor 无效, 必须是上一页返回的 next_cursor 并保持相同的 sort",
    ("Parameter cursor is not valid; it must be the next_cursor of the page before, with the same sort"),
)

BAD_BODY = Text("请求体 {problem}", "Request body: {problem}")
BODY_SLOW = Text("请求体未及时到达", "The request body did not arrive in time")
BODY_NOT_JSON = Text("请求体必须是 JSON 对象", "The request body must be a JSON object")
BAD_FIELD = Text("参数 {name} 无效: {problem}", "Parameter {name} is not valid: {problem}")

LOGIN_FAILED = Text("用户名或密码错误", "Wrong user name or password")
LOGIN_LIMITED = Text(
    "登录尝试过多, 请在 {seconds} 秒后重试", "Too many login attempts, please try again in {seconds} s"
)
CSRF_MISSING = Text(
    "缺少或错误的 X-CSRF-Token 请求头", "The X-CSRF-Token header is missing or wrong; see GET /api/auth/me/"
)
CROSS_SITE = Text("拒绝跨站请求", "Requests from other sites are refused")
WRONG_OLD_PASSWORD = Text("原密码错误", "The old password is wrong")
NOT_A_USER = Text("该操作需要以用户身份登录", "This needs a logged-in user, not an API token")
USER_EXISTS = Text("用户已存在: {name}", "There is already a user {name}")
UNKNOWN_USER = Text("用户不存在: {name}", "Unknown user: {name}")
UNKNOWN_TOKEN = Text("令牌不存在: {id}", "Unknown token: {id}")
LAST_ADMIN = Text(
    "{name} 是最后一个可用的管理员, 不能停用或降级",
    "{name} is the last enabled admin and cannot be disabled or demoted",
)

UNKNOWN_LETTER = Text("死信不存在: {id}", "Unknown dead letter: {id}")
AMBIGUOUS_LETTER = Text(
    "{id} 对应多条死信, 请使用其 id: {ids}", "Several dead letters came from {id}; use one of the ids {ids}"
)
NOTHING_NAMED = Text(
    "必须指定 ids 或至少一个筛选条件", "Name the letters: give ids or at least one of topic, host, stage, reason, since"
)
NO_BROKER = Text(
    "无法重发: 内置消息代理只在 lapwing up 运行时存在",
    "Nothing can be sent: this broker lives inside `lapwing up`; start it first",
)
BUS_REFUSED = Text("消息代理未接受: {reason}", "The broker did not take it: {reason}")

MODEL_WANTS_COLUMNS = Text(
    "当前使用的 {method} 模型需要多列数据 ({columns}), 无法判断单个数值; 请用 lapwing train use 换用单列模型",
    "The {method} model in use judges several columns ({columns}), not single numbers; "
    "put another into use with `lapwing train use`",
)
STREAMS_FULL = Text("实时连接过多, 请稍后重试", "There are too many live streams, please try again later")

UNKNOWN_ENCODING = Text(
    "不支持的 Content-Encoding, 可用: {known}", "This Content-Encoding is not supported; use one of {known}"
)
CANNOT_UNPACK = Text("请求体不是完整的 {encoding} 数据", "The request body is not whole, valid {encoding} data")
UNPACKED_TOO_LARGE = Text(
    "解压后的请求体过大, 最多 {most} 字节", "The request body is too large unpacked; at most {most} bytes are accepted"
)
EMPTY_BATCH = Text(
    "请求体没有任何事件, 每行应为一个 JSON 事件", "The request body has no events; send one JSON event a line"
)
INGEST_LIMITED = Text(
    "该令牌提交的事件过多, 请在 {seconds} 秒后重试",
    "This token has posted too many events, please try again in {seconds} s",
)
TOKEN_OF_ANOTHER_HOST = Text(
    "该令牌只能提交主机 {own} 的事件, 不能提交 {other} 的事件",
    "This token is for events of host {own} only, not for those of {other}",
)
HOST_BOUND_SCOPE = Text("只能与唯一的 scope ingest 一起使用", "left out unless the only scope is ingest")
BUS_AWAY = Text(
    "消息总线暂时不可用, 请稍后重试", "The message bus is not available at the moment, please try again later"
)
NOT_STORED_YET = Text(
    "事件尚未写入存储, 请稍后重试", "The events have not reached the store in time, please try again later"
)

INSTANT = Text(
    "RFC 3339 时间 (如 2026-01-31T12:00:00Z), 1970 到 2100 年之间, 不晚于现在",
    "an RFC 3339 time such as 2026-01-31T12:00:00Z, between 1970 and 2100 and not in the future",
)
MOMENT = Text(
    "RFC 3339 时间 (如 2026-01-31T12:00:00Z), 毫秒时间戳, 或 now-6h 形式",
    "an RFC 3339 time such as 2026-01-31T12:00:00Z, epoch milliseconds, or now-6h",
)
STEP = Text("auto, 或带单位 s, m, h, d 的数字 (如 30s)", "auto, or a number with s, m, h or d such as 30s")
WHOLE_NUMBER = Text("{low} 到 {high} 之间的整数", "a whole number from {low} to {high}")
NUMBER = Text("{low} 到 {high} 之间的数字", "a number from {low} to {high}")
ONE_OF = Text("以下之一: {choices}", "one of {choices}")
SHORT_TEXT = Text("1 到 {most} 个字符的文本", "text of 1 to {most} characters")
MISSING_FIELD = Text("缺少参数 {name}", "Parameter {name} is missing")
A_STRING = Text("字符串", "a string")
A_NUMBER = Text("数字", "a number")
A_WHOLE_NUMBER = Text("整数", "a whole number")
TRUE_OR_FALSE = Text("true 或 false", "true or false")
A_LIST = Text("列表", "a list")
AN_OBJECT = Text("JSON 对象", "a JSON object")
LONG_ENOUGH = Text("至少 {least} 个字符的文本", "text of {least} or more characters")
METRIC = Text(
    "指标目录中的名称 (见 /api/system/metrics/){near}", "a name from the catalogue (/api/system/metrics/){near}"
)
