// timeline.js: the timeline: an overview to choose a part of the run in, the chart, and what is known
// of the item that is selected.

const line = {
  lanes: [], from: 0, to: 1, selected: null, width: 0, gutter: 92, height: 0, machine: -1, drawn: 0,
  rows: [],
};

const clamp = (n, low, high) => Math.min(Math.max(n, low), high);
const end = () => Math.max(report.data.duration, 1);
const scale = () => (line.width - line.gutter) / (line.to - line.from);

// ---- drawing -------------------------------------------------------------------------------------

function draw() {
  const before = performance.now();
  line.width = Math.max(line.box.clientWidth, 200);
  line.gutter = line.width < 520 ? 62 : 92;
  const parts = report.chart(line);
  line.pointed = report.svg("path", { class: "pointed" });
  line.chart.setAttribute("viewBox", `0 0 ${line.width} ${line.height + 1}`);
  line.chart.setAttribute("height", line.height + 1);
  line.chart.replaceChildren(...parts, line.pointed);
  drawWindow();
  line.drawn = performance.now() - before;
}

let due = false;

function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => { due = false; draw(); });
}

// ---- overview ------------------------------------------------------------------------------------

const OVERVIEW = 26;

// Draws how much happens in each part of the run: a column is as high as its share of items.
function drawOverview() {
  const width = Math.max(line.box.clientWidth, 200), columns = Math.floor(width / 3);
  const counts = new Float64Array(columns), bad = new Uint8Array(columns);
  for (const lane of line.lanes) for (const item of lane.items) {
    const at = clamp(Math.floor(item.start / end() * columns), 0, columns - 1);
    counts[at]++;
    if (item.tone === "bad") bad[at] = 1;
  }
  const most = Math.log1p(Math.max(...counts, 1));
  const parts = [];
  counts.forEach((count, i) => {
    const height = count && Math.max(2, Math.log1p(count) / most * (OVERVIEW - 4));
    if (count) parts.push(report.svg("rect", { class: bad[i] ? "column bad" : "column", x: i * 3,
      y: OVERVIEW - height, width: 2.4, height }));
  });
  line.window = report.svg("rect", { class: "window", y: 0.5, height: OVERVIEW - 1, rx: 3 });
  line.overview.setAttribute("viewBox", `0 0 ${width} ${OVERVIEW}`);
  line.overview.replaceChildren(...parts, line.window);
}

function drawWindow() {
  const width = line.box.clientWidth;
  const left = line.from / end() * width, right = line.to / end() * width;
  line.window.setAttribute("x", clamp(left, 0, width - 4) + 0.5);
  line.window.setAttribute("width", Math.max(right - left - 1, 3));
  line.whole.disabled = line.from <= 0 && line.to >= end();
}

// ---- the part in view ----------------------------------------------------------------------------

function show(from, to) {
  const length = clamp(to - from, 100, end() * 1.02);
  line.from = clamp(from, 0, Math.max(end() * 1.02 - length, 0));
  line.to = line.from + length;
  redraw();
}

const showAll = () => show(0, end() * 1.02);

function zoom(factor, at) {
  at = at === undefined ? (line.from + line.to) / 2 : at;
  show(at - (at - line.from) * factor, at + (line.to - at) * factor);
}

// Moves the view so that an item is in it.
function reveal(item) {
  const length = line.to - line.from;
  if (item.stop - item.start > length) show(item.start, item.start + length);
  else if (item.start < line.from || item.stop > line.to)
    show((item.start + item.stop - length) / 2, (item.start + item.stop + length) / 2);
  else redraw();
}

function showItem(item) {
  const margin = Math.max((item.stop - item.start) * 0.15, 2000);
  show(item.start - margin, item.stop + margin);
}

// ---- selection -----------------------------------------------------------------------------------

function facts(item, others) {
  const length = item.stop - item.start;
  return [
    report.el("b", null, item.title || item.lane.name),
    report.el("span", null, item.lane.name + ", at " + report.moment(item.start, 1000) + " s"
      + (length ? ", " + report.span(length) : "")
      + (others ? `, and ${others.toLocaleString("en")} more close to it` : "")),
    report.el("span.count", null, `${item.at + 1} of ${item.lane.items.length}`),
    item.flight >= 0 && report.el("button", { type: "button", class: "link",
      onclick: () => report.openFlight(item.flight) }, "Show the flight’s steps"),
  ];
}

function select(item, others) {
  line.selected = item;
  line.readout.replaceChildren(...facts(item, others).filter(Boolean));
  reveal(item);
}

// Selects a flight, and shows it from end to end.
report.selectFlight = function (index) {
  if (line.machine >= 0 && report.data.flights.list[index][0] !== line.machine) setMachine(-1);
  const lane = line.lanes.find((l) => l.name === "flights");
  const item = lane && lane.items.find((i) => i.flight === index && i.whole);
  if (!item) return;
  showItem(item);
  select(item);
};

// ---- keyboard and pointer ------------------------------------------------------------------------

function nearest(items, time) {
  let best = items[0];
  for (const item of items)
    if (Math.abs(item.start - time) < Math.abs(best.start - time)) best = item;
  return best;
}

function step(by) {
  const now = line.selected;
  if (!now) return select(nearest(line.lanes[0].items, line.from));
  return select(now.lane.items[clamp(now.at + by, 0, now.lane.items.length - 1)]);
}

function changeLane(by) {
  if (!line.selected) return step(0);
  const at = line.lanes.indexOf(line.selected.lane) + by;
  const lane = line.lanes[clamp(at, 0, line.lanes.length - 1)];
  return select(nearest(lane.items, line.selected.start));
}

const last = () => line.selected.lane.items.length;

const KEYS = {
  ArrowRight: () => step(1), ArrowLeft: () => step(-1),
  ArrowDown: () => changeLane(1), ArrowUp: () => changeLane(-1),
  PageDown: () => step(10), PageUp: () => step(-10),
  Home: () => line.selected && step(-last()), End: () => line.selected && step(last()),
  "+": () => zoom(0.5, line.selected ? line.selected.start : undefined),
  "=": () => zoom(0.5, line.selected ? line.selected.start : undefined),
  "-": () => zoom(2, line.selected ? line.selected.start : undefined),
  z: () => line.selected && showItem(line.selected),
  0: showAll, Escape: showAll,
  Enter: () => line.selected && line.selected.flight >= 0
    && report.openFlight(line.selected.flight),
};

function onKey(event) {
  const act = KEYS[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey || !line.lanes.length) return;
  event.preventDefault();
  act();
}

// Calls move(event) while the pointer is held down, and then done(event).
function drag(element, down, move, done) {
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const start = down(event);
    const on = (e) => move(e, start, event);
    const off = (e) => {
      window.removeEventListener("pointermove", on);
      window.removeEventListener("pointerup", off);
      window.removeEventListener("pointercancel", off);
      if (e.type === "pointerup") done(e, start, event);
    };
    window.addEventListener("pointermove", on);
    window.addEventListener("pointerup", off);
    window.addEventListener("pointercancel", off);
  });
}

const timeAt = (event, element) => (event.clientX - element.getBoundingClientRect().left);

// Returns what is drawn where the pointer is, or undefined.
function boxAt(event) {
  const area = line.chart.getBoundingClientRect();
  return report.boxAt(line, event.clientX - area.left, event.clientY - area.top);
}

// Marks the item under the pointer.
function point(box) {
  line.pointed.setAttribute("d", box ? report.outline(box) : "");
  line.chart.classList.toggle("on-item", Boolean(box));
}

function listen() {
  line.box.addEventListener("keydown", onKey);
  line.box.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8,
      line.from + (timeAt(event, line.chart) - line.gutter) / scale());
  }, { passive: false });
  drag(line.chart, () => ({ from: line.from, to: line.to, factor: scale() }), (event, was, first) => {
    const by = (event.clientX - first.clientX) / was.factor;
    if (Math.abs(event.clientX - first.clientX) > 3) show(was.from - by, was.to - by);
  }, (event, was, first) => {
    const box = Math.abs(event.clientX - first.clientX) <= 3 && boxAt(event);
    if (box) select(box.item, box.others);
  });
  line.chart.addEventListener("dblclick", (event) => {
    const box = boxAt(event);
    if (box) showItem(box.item);
  });
  line.chart.addEventListener("pointermove", (event) => point(boxAt(event)));
  line.chart.addEventListener("pointerleave", () => point(null));
  const overviewTime = (event) => clamp(timeAt(event, line.overview)
    / line.overview.clientWidth, 0, 1) * end();
  drag(line.overview, overviewTime, (event, from) => {
    const to = overviewTime(event);
    if (Math.abs(to - from) > end() / 400) show(Math.min(from, to), Math.max(from, to));
  }, (event, from) => {
    const half = (line.to - line.from) / 2;
    if (Math.abs(overviewTime(event) - from) <= end() / 400) show(from - half, from + half);
  });
  new ResizeObserver(() => {
    if (line.box.clientWidth === line.seen) return;
    line.seen = line.box.clientWidth;
    drawOverview();
    redraw();
  }).observe(line.box);
}

// ---- the section ---------------------------------------------------------------------------------

function setMachine(index) {
  line.machine = index;
  line.lanes = report.lanesOf(index);
  line.selected = null;
  if (line.choice) line.choice.value = String(index);
  drawOverview();
  showAll();
}

function machineChoice() {
  const { machines } = report.data;
  if (machines.length < 2) return null;
  line.choice = report.el("select", { id: "timeline-machine",
    onchange: () => setMachine(Number(line.choice.value)) },
  report.el("option", { value: "-1" }, "all machines"),
  machines.map((m, i) => report.el("option", { value: String(i) }, m.name)));
  return report.el("label", null, "Show ", line.choice);
}

function tools() {
  const button = (text, title, act) => report.el("button", { type: "button", title,
    "aria-label": title, onclick: act }, text);
  line.whole = button("Whole run", "Show the whole run (0)", showAll);
  return report.el("div.tools", null, machineChoice(),
    report.el("span.group", null, button("−", "Zoom out (-)", () => zoom(2)),
      button("+", "Zoom in (+)", () => zoom(0.5)), line.whole));
}

const KEY_HELP = [["← →", "the item before, the next one"], ["↑ ↓", "another lane"],
  ["Home End", "the first, the last of the lane"], ["+ −", "zoom"], ["Z", "zoom to the item"],
  ["0", "the whole run"], ["Enter", "the flight’s steps"]];

const LEGEND = [["call", "call"], ["work", "plug, realize"], ["map", "memory map"],
  ["line", "interrupt"], ["guest", "guest"], ["event", "event, handler"], ["output", "output"],
  ["bad", "failed"]];

function help() {
  return report.el("details.help", null, report.el("summary", null, "Keys and pointer"),
    report.el("dl", null, KEY_HELP.map(([key, what]) => report.el("div", null,
      report.el("dt", null, report.el("kbd", null, key)), report.el("dd", null, what)))),
    report.el("p", null, "Drag moves, Ctrl and the wheel zoom, a double click zooms to an item. "
      + "In the strip above, drag to choose a part of the run."));
}

report.timeline = function () {
  line.lanes = report.lanesOf(-1);
  if (!line.lanes.length) return;
  line.overview = report.svg("svg", { class: "overview", height: OVERVIEW, "aria-hidden": "true",
    preserveAspectRatio: "none" });
  line.chart = report.svg("svg", { class: "chart", "aria-hidden": "true" });
  line.box = report.el("div.timeline", { tabindex: "0", role: "application",
    "aria-roledescription": "timeline", "aria-describedby": "timeline-now",
    "aria-label": "Timeline. Arrow keys choose an item, Enter shows its flight." },
  line.overview, line.chart);
  line.readout = report.el("p.readout", { id: "timeline-now", role: "status" },
    report.el("span", null, "Choose an item to see what it is."));
  report.section("timeline", "Timeline", report.span(report.data.duration), tools(), line.box,
    line.readout,
    report.el("ul.legend", { "aria-label": "Colours" }, LEGEND.map(([tone, text]) =>
      report.el("li", null, report.el("i.t-" + tone), text))), help());
  listen();
  setMachine(-1);
};

report.timelineState = line;
