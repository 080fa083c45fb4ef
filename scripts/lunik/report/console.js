// console.js: what guests and the script have printed, line by line, with the time.

// Returns [time, text] for each line; text that is cut in pieces is put together.
function linesOf(chunks) {
  const lines = [];
  let open = null;
  for (const [time, text] of chunks) {
    const parts = text.split("\n");
    parts.forEach((part, i) => {
      if (open) { open[1] += part; } else { open = [time, part]; lines.push(open); }
      if (i < parts.length - 1) open = null;
    });
    if (open && open[1] === "") { lines.pop(); open = null; }
  }
  return lines;
}

function lineRow([time, , nodes]) {
  const row = report.el("div.l", null, nodes);
  if (time !== null) row.dataset.t = report.moment(time);
  return row;
}

// Colours last beyond a line, so the lines are painted in order, but only when they are shown.
function painter(lines) {
  const paint = report.terminal();
  let done = 0;
  return (line, index) => {
    for (; done <= index; done++) lines[done].push(paint(lines[done][1]));
    return lineRow(line);
  };
}

function withLoss(lines, console) {
  if (!console.lost) return lines;
  const note = `… ${report.size(console.lost)} not kept …`;
  const before = console.chunks.slice(0, console.lostAfter).map(([, text]) => text).join("")
    .split("\n").length - 1;
  return [...lines.slice(0, before), [null, note], ...lines.slice(before)];
}

function oneConsole(console, index) {
  const lines = withLoss(linesOf(console.chunks), console);
  const screen = report.el("div.screen", { tabindex: "0", role: "region", "aria-label":
    console.name + ", " + report.count(lines.length, "line") });
  report.fill(screen, lines, 19, painter(lines));
  const grow = report.el("button", { type: "button", class: "no-print", "aria-pressed": "false",
    onclick: () => grow.setAttribute("aria-pressed", String(screen.classList.toggle("tall"))) },
  "All lines");
  return report.el("details.console", { id: "console-" + index, open: true },
    report.el("summary", null, report.el("span.title", null, console.name),
      report.el("span.note", null, report.count(lines.length, "line"))),
    lines.length > 24 && report.el("div.tools", null, grow), screen,
    lines.length > 1000 && report.el("p.print-only", null, "Printed: the last 1,000 lines."));
}

report.consoles = function () {
  const { consoles } = report.data;
  const full = consoles.filter((console) => console.chunks.length);
  if (!full.length) return;
  report.section("console", "Console", full.length > 1 && report.count(full.length, "console"),
    full.map(oneConsole));
};
