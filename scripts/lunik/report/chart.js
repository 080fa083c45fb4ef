// chart.js: draws the lanes of the timeline, in few shapes: items of one tone are one path, however
// many they are. What is where is kept in boxes, for the pointer.
//
// A view: lanes, from and to (nanoseconds of the run), width and gutter (pixels), selected (an item).
// Drawing sets its height, and rows: y and boxes of each. A box: x, y, width, item, and others (how
// many more items it stands for).

const AXIS = 22, ROW = 18, PAD = 5, TICK = 3, LETTER = 6.1; // pixels

const rounded = (x) => Math.round(x * 10) / 10;
const scaleOf = (view) => (view.width - view.gutter) / (view.to - view.from);

// The outline of a box, for a path.
report.outline = function ({ x, y, width }) {
  const w = rounded(width);
  return `M${rounded(x)} ${y + 1}h${w}v${ROW - 2}h${-w}z`;
};

// ---- axis ----------------------------------------------------------------------------------------

// Returns a distance of ticks: 1, 2 or 5 times a power of ten, at least that long.
function roundStep(ns) {
  const power = 10 ** Math.floor(Math.log10(Math.max(ns, 1)));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= ns);
}

function drawAxis(parts, view) {
  const factor = scaleOf(view);
  const step = roundStep(90 / factor);
  let grid = "";
  for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) {
    const x = rounded(view.gutter + (t - view.from) * factor);
    grid += `M${x} ${AXIS - 4}V${view.height}`;
    if (x < view.width - 24) parts.push(report.svg("text", { class: "tick", x, y: AXIS - 9,
      "text-anchor": x < view.gutter + 16 ? "start" : "middle" }, report.moment(t, step) + " s"));
  }
  parts.push(report.svg("path", { class: "grid", d: grid }));
}

// ---- items ---------------------------------------------------------------------------------------

// Returns the boxes of the items of a row that are in view. Items that are narrower than a tick, and
// close together, become one, in the tone of the worst.
function boxesOf(view, row, y) {
  const factor = scaleOf(view), tick = TICK / factor;
  const most = view.width + 2, least = view.gutter - 2;
  const boxes = [];
  let i = report.firstAt(row, view.from);
  while (i < row.length && row[i].start <= view.to) {
    const first = row[i];
    const x = Math.max(view.gutter + (first.start - view.from) * factor, least);
    const width = Math.min(view.gutter + (first.stop - view.from) * factor, most) - x;
    let item = first, next = i + 1;
    while (width < TICK && next < row.length && row[next].start - first.start < tick
      && row[next].stop - row[next].start < tick) {
      if (row[next] === view.selected || item !== view.selected && row[next].tone === "bad")
        item = row[next];
      next++;
    }
    boxes.push({ x, y, width: Math.max(width, TICK), item, others: next - i - 1 });
    i = next;
  }
  return boxes;
}

const isInstant = (box) => box.item.stop <= box.item.start || box.width < 5;

// Bars come first, then instants; those that are bad come last of each, so that they are seen.
const order = (name) => (name.includes("instant") ? 2 : 0) + (name.includes("t-bad") ? 1 : 0);

function drawItems(parts, view) {
  const outlines = new Map();
  let selected = null;
  for (const row of view.rows) for (const box of row.boxes) {
    const name = "item t-" + box.item.tone + (isInstant(box) ? " instant" : "");
    const outline = report.outline(box);
    if (box.item === view.selected) selected = { class: name + " selected", d: outline };
    else outlines.set(name, (outlines.get(name) || "") + outline);
  }
  for (const name of [...outlines.keys()].sort((a, b) => order(a) - order(b)))
    parts.push(report.svg("path", { class: name, d: outlines.get(name) }));
  if (selected) parts.push(report.svg("path", selected));
}

// Draws the titles of bars, where there is room for some letters and no other title.
function drawTitles(parts, view) {
  for (const row of view.rows) {
    let free = view.gutter;
    for (const box of row.boxes) {
      const left = Math.max(box.x, free), { title } = box.item;
      const most = Math.floor((Math.min(box.x + box.width, view.width) - left - 8) / LETTER);
      if (most < 4 || box.others || isInstant(box)) continue;
      const text = title.length > most ? title.slice(0, most - 1) + "…" : title;
      parts.push(report.svg("text", { class: "on", x: rounded(left + 4), y: row.y + ROW - 5 }, text));
      free = left + 8 + text.length * LETTER;
    }
  }
}

// ---- the whole -----------------------------------------------------------------------------------

function drawNames(parts, view) {
  const names = [];
  let rules = "", y = AXIS;
  for (const lane of view.lanes) {
    rules += `M0 ${y}H${view.width}`;
    names.push(report.svg("text", { class: "lane" + (view.selected && view.selected.lane === lane
      ? " current" : ""), x: 4, y: y + PAD + 13 }, lane.name));
    y += lane.rows.length * ROW + 2 * PAD;
  }
  parts.push(report.svg("rect", { class: "gutter", x: 0, y: AXIS, width: view.gutter - 2,
    height: y - AXIS }), report.svg("path", { class: "rule", d: rules }), ...names);
}

// Draws what is in view; returns the elements.
report.chart = function (view) {
  view.rows = [];
  let y = AXIS;
  for (const lane of view.lanes) {
    lane.rows.forEach((row, i) => {
      const top = y + PAD + i * ROW;
      view.rows.push({ y: top, boxes: boxesOf(view, row, top) });
    });
    y += lane.rows.length * ROW + 2 * PAD;
  }
  view.height = y;
  const parts = [];
  drawAxis(parts, view);
  drawItems(parts, view);
  drawTitles(parts, view);
  drawNames(parts, view);
  return parts;
};

// Returns the box at a place of the chart, the one that is drawn last; undefined where there is none.
report.boxAt = function (view, x, y) {
  const row = view.rows.find((r) => y >= r.y && y < r.y + ROW);
  if (!row || x < view.gutter - 2) return undefined;
  return row.boxes.findLast((box) => x >= box.x - 1 && x <= box.x + box.width + 1);
};
