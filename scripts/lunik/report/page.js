// page.js: the report's data, and what all parts of the page use: elements, text, times.
//
// Whatever a guest or a script has printed gets into the page by el() alone, which makes text of
// it, never markup.

const report = { data: JSON.parse(document.getElementById("data").textContent) };

// ---- elements ------------------------------------------------------------------------------------

// Makes an element: el("p.note", {title: "x"}, "text", child, ...). Names of attributes that start
// with "on" are listeners; false, null and undefined stand for none.
report.el = function (what, attributes, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  report.put(element, attributes, children);
  return element;
};

// Makes an element of SVG.
report.svg = function (tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  report.put(element, attributes, children);
  return element;
};

report.put = function (element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === false || child === null || child === undefined) continue;
    element.append(child.nodeType ? child : report.visible(String(child)));
  }
};

// ---- text ----------------------------------------------------------------------------------------

// Characters without a shape of their own, or that reorder others, are shown as ^A, or by their
// numbers.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;

report.visible = function (text) {
  return text.replace(HIDDEN, (c) => {
    const code = c.charCodeAt(0);
    if (code < 32 || code === 127) return "^" + String.fromCharCode(code ^ 64);
    return "\u27e8" + code.toString(16).toUpperCase() + "\u27e9";
  });
};

// Returns "1 event", "2 events", "12,345 events".
report.count = function (n, what, many) {
  return n.toLocaleString("en") + "\u00a0" + (n === 1 ? what : many || what + "s");
};

// Returns a length of time in nanoseconds, with three digits that matter.
report.span = function (ns) {
  const units = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]];
  for (const [unit, name] of units) {
    if (Math.abs(ns) < unit) continue;
    const value = ns / unit;
    const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
    return (value >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(digits))
      + "\u00a0" + name;
  }
  return Math.round(ns) + "\u00a0ns";
};

// Returns a moment of the run, in seconds; step: the distance that has to show, in nanoseconds.
report.moment = function (ns, step) {
  const digits = step ? Math.min(9, Math.max(0, Math.ceil(9 - Math.log10(step) - 1e-9))) : 3;
  return (ns / 1e9).toFixed(digits);
};

report.size = function (bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let n = 0;
  while (bytes >= 1024 && n < 4) { bytes /= 1024; n++; }
  return (n ? bytes.toFixed(bytes < 10 ? 1 : 0) : bytes) + "\u00a0" + units[n];
};

// ---- outcomes ------------------------------------------------------------------------------------

// Outcomes of runs, flights and tests: a class for the colour, and a sign for those who don't see it.
report.outcomes = {
  passed: ["good", "✓"], accepted: ["good", "✓"], ejected: ["good", "✓"], done: ["good", "✓"],
  failed: ["bad", "✕"], crashed: ["bad", "✕"], refused: ["warn", "!"], interrupted: ["warn", "!"],
  skipped: ["quiet", "–"], "under way": ["busy", "…"],
};

report.badge = function (outcome, text) {
  const [tone, sign] = report.outcomes[outcome] || ["quiet", "·"];
  return report.el("span.badge." + tone, null,
    report.el("span.sign", { "aria-hidden": "true" }, sign), text || outcome);
};

report.tone = function (outcome) { return (report.outcomes[outcome] || ["quiet"])[0]; };

// ---- sections ------------------------------------------------------------------------------------

report.sections = [];

// Adds a section: note says how much it holds, in the list of sections.
report.section = function (id, title, note, ...children) {
  const heading = report.el("h2", { id: id + "-title" }, title,
    note && report.el("span.note", null, note));
  const section = report.el("section", { id, "aria-labelledby": id + "-title" }, heading, children);
  document.getElementById("main").append(section);
  report.sections.push({ id, title, note });
  return section;
};

// Names with their values: [[name, value], ...].
report.pairs = function (list) {
  return report.el("dl.pairs", null, list.map(([name, value]) => report.el("div", null,
    report.el("dt", null, name), report.el("dd", null, value))));
};

// A line that names what was not kept.
report.lost = function (n, what, limit) {
  return n > 0 && report.el("p.lost", null, report.count(n, what) + " not kept"
    + (limit ? " (a report keeps " + limit.toLocaleString("en") + ")" : "") + ".");
};

report.machineName = function (index) {
  const machine = report.data.machines[index];
  return machine ? machine.name : "";
};
