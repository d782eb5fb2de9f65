"use strict";
// A small reading of /openapi.json: nothing is fetched from anywhere else.
function make(tag, content, style) {
  const box = document.createElement(tag);
  if (style) box.className = style;
  for (const part of [content].flat()) if (part !== undefined && part !== null) box.append(part);
  return box;
}

function prose(text, style) {
  return make("p", text.split("`").map((part, i) => (i % 2 ? make("code", part) : part)), style);
}

function allowed(schema) {
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.type === "array") return `${allowed(schema.items)}, repeatable`;
  const bounds = schema.minimum !== undefined ? ` ${schema.minimum} … ${schema.maximum}` : "";
  return `${schema.type || ""}${schema.format ? ` (${schema.format})` : ""}${bounds}`;
}

function example(content) {
  const [type, body] = Object.entries(content || {})[0] || [];
  if (!body || body.example === undefined) return null;
  const text = typeof body.example === "string" ? body.example : JSON.stringify(body.example, null, 2);
  return make("details", [make("summary", type, "soft"), make("pre", text)]);
}

function operation(method, path, about) {
  const box = make("section", [make("h3", [make("code", `${method.toUpperCase()} ${path}`)]), make("p", about.summary || "")]);
  if (about.description) box.append(prose(about.description, "soft"));
  box.append(make("p", about["x-permission"] ? `Needs: ${about["x-permission"]}` : "Open to everybody", "soft"));
  if (about.parameters && about.parameters.length) {
    const rows = about.parameters.map((p) => make("tr", [make("td", make("code", p.name + (p.required ? " *" : ""))), make("td", allowed(p.schema), "soft text"), make("td", p.schema.default === undefined ? "" : String(p.schema.default)), make("td", p.description || "", "text")]));
    box.append(make("table", make("tbody", rows)));
  }
  if (about.requestBody) box.append(make("p", "Body", "soft"), example(about.requestBody.content) || "");
  const success = example((about.responses["200"] || {}).content);
  if (success) box.append(make("p", "Answer", "soft"), success);
  const refusals = Object.entries(about.responses).filter(([code]) => code !== "200");
  if (refusals.length) box.append(make("p", `Refusals: ${refusals.map(([code, answer]) => `${code} (${answer.description})`).join("; ")}`, "soft"));
  return box;
}

fetch("/openapi.json").then((answer) => answer.json()).then((api) => {
  document.getElementById("version").textContent = api.info.version;
  const docs = document.getElementById("docs");
  docs.append(prose(api.info.description));
  for (const [path, methods] of Object.entries(api.paths)) for (const [method, about] of Object.entries(methods)) docs.append(operation(method, path, about));
});
