// start.js: the head of the page and the result; puts all parts together.

const { data } = report;

// ---- light and dark ------------------------------------------------------------------------------

const THEMES = [["auto", "Auto"], ["light", "Light"], ["dark", "Dark"]];

function remembered() {
  try { return localStorage.getItem("lunik-report-theme"); } catch { return null; }
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("lunik-report-theme", theme); } catch { /* pages may not keep it */ }
}

function themeSwitch() {
  const now = THEMES.some(([name]) => name === remembered()) ? remembered() : "auto";
  setTheme(now);
  return report.el("fieldset.theme", null, report.el("legend.hidden", null, "Colours of the page"),
    THEMES.map(([name, text]) => report.el("label", null,
      report.el("input", { type: "radio", name: "theme", value: name, checked: name === now,
        onchange: () => setTheme(name) }), report.el("span", null, text))));
}

// ---- head ----------------------------------------------------------------------------------------

function head() {
  const { result } = data;
  const host = new Map(data.host);
  const facts = [["Duration", report.span(data.duration)], ["Exit code", String(result.code)],
    ["Started", data.when], ["Accelerator", host.get("KVM") === "usable" ? "KVM" : "no KVM"],
    ["Lunik", data.lunik]];
  document.getElementById("top").append(
    report.el("div.line", null, report.el("p.over", null, "Lunik report"), themeSwitch()),
    report.el("h1", null, data.title),
    report.el("p.outcome", null, report.badge(result.outcome), report.el("span", null, result.text)),
    report.el("dl.facts", null, facts.map(([name, value]) => report.el("div", null,
      report.el("dt", null, name), report.el("dd", null, value)))));
}

// ---- result --------------------------------------------------------------------------------------

function errorOf(error) {
  return report.el("li", null, report.el("p.what", null, error.message),
    report.el("p.facts", null, report.el("span", null, error.source),
      report.el("span", null, "at " + report.moment(error.time) + " s")),
    error.traceback && report.el("details", { open: data.errors.length < 4 || null },
      report.el("summary", null, "Traceback"), report.el("pre", null, error.traceback)));
}

function testOf(test) {
  const body = [test.message, test.traceback].filter(Boolean).join("\n");
  const line = [report.badge(test.outcome), report.el("span.title", null, test.name),
    report.el("span.took", null, report.span(test.stop - test.start))];
  return body ? report.el("details.test", { open: test.outcome === "failed" || null },
    report.el("summary", null, line), report.el("pre", null, body))
    : report.el("p.test", null, line);
}

function tests() {
  if (!data.tests.length) return null;
  const counts = ["passed", "failed", "skipped"].map((outcome) =>
    [data.tests.filter((test) => test.outcome === outcome).length, outcome]);
  const list = report.el("div.tests");
  report.fill(list, data.tests, 33, testOf);
  return [report.el("h3", null, "Examples ", report.el("span.note", null,
    counts.filter(([n]) => n).map(([n, what]) => `${n.toLocaleString("en")} ${what}`).join(", "))),
  report.lost(data.testsLost, "example", data.limits.tests), list];
}

function result() {
  report.section("result", "Result", null,
    data.errors.length > 0 && [report.el("ol.errors", null, data.errors.map(errorOf)),
      report.lost(data.errorsLost, "error", data.limits.errors)],
    tests(),
    report.el("div.halves", null,
      report.el("div", null, report.el("h3", null, "Run"), report.pairs([["script", data.script],
        ...(data.arguments.length ? [["arguments", data.arguments.join(" ")]] : []),
        ["machines", report.count(data.machines.length, "machine")],
        ["flights", report.count(data.flights.list.length, "flight")],
        ["events", report.count(data.events.length, "event")], ["version", data.versions]])),
      report.el("div", null, report.el("h3", null, "Host"), report.pairs(data.host))));
}

// ---- the whole -----------------------------------------------------------------------------------

function sectionList() {
  document.getElementById("sections").append(report.el("ul", null,
    report.sections.map(({ id, title }) =>
      report.el("li", null, report.el("a", { href: "#" + id }, title)))));
  const links = new Map([...document.querySelectorAll(".sections a")].map((a) =>
    [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -75% 0px" });
  for (const { id } of report.sections) seen.observe(document.getElementById(id));
}

// For printing: all lists are made, machines and consoles open.
function beforePrint() {
  report.fillAll();
  for (const details of document.querySelectorAll("details.machine, details.console"))
    details.open = true;
}

head();
result();
report.timeline();
report.flights();
report.events();
report.consoles();
report.memory();
report.machines();
sectionList();
document.getElementById("bottom").append(report.el("p", null,
  `Written by Lunik ${data.lunik}. This page is complete: it loads nothing from anywhere.`));
window.addEventListener("beforeprint", beforePrint);
document.documentElement.dataset.ready = "true";
