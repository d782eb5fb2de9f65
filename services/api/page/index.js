"use strict";
// What hosts, processes and people write is only ever set as textContent.
const TEXTS = {
  zh: { login: "登录", logout: "退出", username: "用户名", password: "密码", host: "主机", cpu: "CPU", memory: "内存", network: "网络", system: "系统", disks: "磁盘", events: "异常与告警", processes: "进程", cores: "核", load: "负载", used: "已用", of: "共", days: "天", received: "接收", sent: "发送", name: "名称", resident: "内存", command: "命令", none: "一切正常", online: "在线", silent: "失联", conflict: "标识冲突", lost: "连接中断, 正在重连…", since: "开始", kind: "类型", summary: "摘要", state: "状态", other: "English", failed: "无法连接" },
  en: { login: "Log in", logout: "Log out", username: "User name", password: "Password", host: "Host", cpu: "CPU", memory: "Memory", network: "Network", system: "System", disks: "Disks", events: "Anomalies and alerts", processes: "Processes", cores: "cores", load: "load", used: "used", of: "of", days: "days", received: "received", sent: "sent", name: "Name", resident: "Memory", command: "Command", none: "All is well", online: "online", silent: "silent", conflict: "two agents, one id", lost: "connection lost, trying again…", since: "Since", kind: "Kind", summary: "Summary", state: "State", other: "中文", failed: "Cannot connect" },
};
const POINTS = 120;
let language = localStorage.getItem("language") || (navigator.language.startsWith("zh") ? "zh" : "en");
let csrf = "";
let host = "";
let listening = null;
let booted = 0;
const lines = { cpu: [], memory: [], network: [] };
const at = (id) => document.getElementById(id);
const say = (key) => TEXTS[language][key];

class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function call(path, body, method) {
  const options = { method: method || (body ? "POST" : "GET"), headers: { "Accept-Language": language } };
  if (body) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
    options.headers["X-CSRF-Token"] = csrf;
  }
  const answer = await fetch(path, options);
  const envelope = await answer.json();
  if (!envelope.success) throw new Refused(answer.status, envelope.message);
  return envelope.data;
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
  return `${bytes.toFixed(bytes < 10 && unit ? 1 : 0)} ${units[unit]}`;
}

function text(id, value) { at(id).textContent = value; }

function row(table, cells, tag) {
  const line = document.createElement("tr");
  for (const cell of cells) {
    const box = document.createElement(tag || "td");
    if (cell instanceof Node) box.append(cell);
    else if (typeof cell === "object") { box.textContent = cell.text; box.className = cell.style; }
    else box.textContent = cell;
    line.append(box);
  }
  table.append(line);
}

const number = (value) => ({ text: value, style: "number" });

function line(name, value, ceiling) {
  const points = lines[name];
  points.push(value);
  if (points.length > POINTS) points.shift();
  const top = ceiling || Math.max(1, ...points);
  const drawn = points.map((p, i) => `${(100 * (i + POINTS - points.length)) / (POINTS - 1)},${98 - (96 * p) / top}`);
  at(`${name}-line`).firstElementChild.setAttribute("points", drawn.join(" "));
}

function meter(percent) {
  const bar = document.createElement("meter");
  Object.assign(bar, { min: 0, max: 100, low: 75, high: 90, optimum: 10, value: percent });
  return bar;
}

function show(state, metrics) {
  if (state.cpu) {
    text("cpu", `${state.cpu.cpu_percent.toFixed(1)} %`);
    text("cpu-more", `${state.cpu.cpu_count} ${say("cores")}, ${say("load")} ${state.cpu.load_avg.map((v) => (v === null ? "–" : v.toFixed(2))).join(" ")}`);
    line("cpu", state.cpu.cpu_percent, 100);
  }
  if (state.memory) {
    text("memory", `${state.memory.percent.toFixed(1)} %`);
    text("memory-more", `${size(state.memory.used)} ${say("used")} ${say("of")} ${size(state.memory.total)}`);
    line("memory", state.memory.percent, 100);
  }
  if (state.system) {
    booted = Date.parse(state.system.boot_time);
    text("uptime", uptime());
    text("system-more", `${state.system.hostname} · ${state.system.platform}`);
  }
  if (metrics && metrics["network.recv_bytes_per_s"]) {
    const sum = (values) => Object.entries(values).reduce((all, [name, v]) => (name === "lo" ? all : all + v), 0);
    const received = sum(metrics["network.recv_bytes_per_s"]);
    const sent = sum(metrics["network.sent_bytes_per_s"] || {});
    text("network", `${size(received + sent)}/s`);
    text("network-more", `${say("received")} ${size(received)}/s, ${say("sent")} ${size(sent)}/s`);
    line("network", received + sent);
  }
  if (state.disks) {
    at("disks").replaceChildren();
    for (const disk of state.disks) row(at("disks"), [disk.mountpoint, disk.device, meter(disk.percent), number(`${disk.percent.toFixed(1)} %`), number(`${size(disk.used)} ${say("of")} ${size(disk.total)}`)]);
  }
  if (state.processes) {
    at("processes").replaceChildren();
    row(at("processes"), [number("PID"), say("name"), number("CPU %"), number(say("resident")), say("command")], "th");
    for (const p of state.processes.slice(0, 12)) row(at("processes"), [number(p.pid), p.name, number(p.cpu_percent.toFixed(1)), number(size(p.memory_info.rss)), { text: p.cmdline.join(" ").slice(0, 160), style: "text soft" }]);
  }
}

async function events() {
  const whose = `host=${encodeURIComponent(host)}`;
  const [anomalies, alerts] = await Promise.all([call(`/api/system/anomalies/?limit=8&${whose}`), call(`/api/system/alerts/?limit=8&${whose}`)]);
  const found = [...anomalies.items.map((a) => [a.started_at, a.finding, a.summary, a.state, a.state === "open"]), ...alerts.items.map((a) => [a.started_at, a.rule, a.summary, a.state, a.state === "firing"])];
  found.sort((a, b) => (a[0] < b[0] ? 1 : -1));
  at("events").replaceChildren();
  if (!found.length) row(at("events"), [{ text: say("none"), style: "good" }]);
  else row(at("events"), [say("since"), say("kind"), say("summary"), say("state")], "th");
  for (const [since, kind, summary, state, open] of found.slice(0, 12)) row(at("events"), [new Date(since).toLocaleString(), kind, { text: summary, style: "text" }, { text: state, style: open ? "bad" : "soft" }]);
}

async function hosts() {
  const known = await call("/api/system/hosts/");
  const box = at("host");
  box.replaceChildren(...known.map((h) => new Option(h.name, h.id, false, h.id === host)));
  const mine = known.find((h) => h.id === host);
  if (mine) {
    text("state", say(mine.status));
    at("state").className = `dot ${mine.status === "online" ? "good" : "bad"}`;
  }
}

function follow() {
  if (listening) listening.close();
  listening = new EventSource(`/api/system/stream/?host=${encodeURIComponent(host)}`);
  listening.addEventListener("sample", (event) => { const data = JSON.parse(event.data); show(data.state, data.metrics); });
  for (const kind of ["anomaly", "alert"]) listening.addEventListener(kind, () => setTimeout(() => events().catch(lost), 2500));
  listening.onerror = () => { text("state", say("lost")); at("state").className = "dot warn"; setTimeout(() => hosts().catch(lost), 2500); };
}

function uptime() {
  const seconds = Math.max(0, Math.floor((Date.now() - booted) / 1000));
  const days = Math.floor(seconds / 86400);
  const clock = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60].map((n) => String(Math.floor(n)).padStart(2, "0")).join(":");
  return days ? `${days} ${say("days")}, ${clock}` : clock;
}

function lost(error) {
  if (error instanceof Refused && error.status === 401) askIn();
}

async function choose(id) {
  host = id;
  for (const points of Object.values(lines)) points.length = 0;
  const [monitor, usage] = await Promise.all([call(`/api/system/monitor/?host=${encodeURIComponent(host)}`), call(`/api/system/cpu_usage/?limit=${POINTS}&host=${encodeURIComponent(host)}`)]);
  lines.cpu.push(...usage.data);
  show(monitor);
  await Promise.all([events(), hosts()]);
  follow();
}

async function enter() {
  csrf = (await call("/api/auth/me/")).csrf_token || "";
  localStorage.setItem("known", "yes");
  at("login").hidden = true;
  at("board").hidden = false;
  const known = await call("/api/system/hosts/");
  const mine = await call("/api/system/system/").catch(() => null);
  const first = (mine && known.find((h) => h.name === mine.hostname)) || known[0];
  if (first) await choose(first.id);
  else setTimeout(() => enter().catch(lost), 2000);
}

function askIn() {
  localStorage.removeItem("known");
  if (listening) listening.close();
  at("board").hidden = true;
  at("login").hidden = false;
  at("username").focus();
}

function speak() {
  document.documentElement.lang = language;
  for (const box of document.querySelectorAll("[data-text]")) box.textContent = say(box.dataset.text);
  for (const name of ["username", "password"]) { at(name).placeholder = say(name); at(name).setAttribute("aria-label", say(name)); }
  at("host").setAttribute("aria-label", say("host"));
  text("language", say("other"));
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  text("refused", "");
  call("/api/auth/login/", { username: at("username").value, password: at("password").value, cookie: true })
    .then(() => { at("password").value = ""; return enter(); })
    .catch((error) => text("refused", error instanceof Refused ? error.message : say("failed")));
});
at("logout").addEventListener("click", () => call("/api/auth/logout/", { everywhere: false }).catch(() => {}).then(askIn));
at("host").addEventListener("change", (event) => choose(event.target.value).catch(lost));
at("language").addEventListener("click", () => { language = language === "zh" ? "en" : "zh"; localStorage.setItem("language", language); speak(); if (host) choose(host).catch(lost); });
setInterval(() => { if (booted) text("uptime", uptime()); }, 1000);
setInterval(() => { if (!at("board").hidden && host) Promise.all([hosts(), events()]).catch(lost); }, 10000);
speak();
// Whoever never logged in here need not be refused first.
if (localStorage.getItem("known")) enter().catch(askIn);
else askIn();
