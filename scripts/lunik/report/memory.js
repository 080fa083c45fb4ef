// memory.js: the memory maps: what each address space showed at first and at the end, and what of it
// has come and gone.

const KEY = ["ram", "rom", "romd", "i/o", "reserved", "hole"];
const MOST_ROWS = 400;

const keyOf = (row) => [row[0], row[1], row[2], row[3], ...row[4]].join("\n");

// Marks the rows that the other map has not.
function marked(rows, other) {
  const known = new Set(other.map(keyOf));
  return rows.map((row) => [row, row[2] !== "hole" && !known.has(keyOf(row))]);
}

function rowOf([row, changed], sign) {
  const [address, size, kind, name, notes, doublings] = row;
  const height = kind === "hole" ? 1.5 : Math.max(1.7 + 1.25 * notes.length,
    1.2 + Math.min(doublings, 48) * 0.045);
  const block = report.el("div.block.m-" + (KEY.includes(kind) ? kind.replace("/", "") : "other"),
    null, changed && report.el("b.sign", { title: sign === "+" ? "new" : "gone later" }, sign),
    report.el("span.name", null, kind === "hole" ? "" : name),
    report.el("span.size", null, size),
    notes.map((note) => report.el("span.note", null, note)));
  block.style.minHeight = height + "rem";
  return report.el("li" + (changed ? ".changed" : ""), null,
    report.el("span.address", null, address), block,
    report.el("span.kind", null, kind));
}

function column(title, rows, sign) {
  const shown = rows.slice(0, MOST_ROWS);
  return report.el("div.map", null, title && report.el("h4", null, title),
    report.el("ol", { reversed: true }, shown.map((row) => rowOf(row, sign))),
    report.lost(rows.length - shown.length, "row", MOST_ROWS));
}

function space(before, after) {
  const then = marked(before ? before.rows : [], after ? after.rows : []);
  const now = marked(after ? after.rows : [], before ? before.rows : []);
  const gone = then.filter(([, changed]) => changed).length;
  const come = now.filter(([, changed]) => changed).length;
  const name = (before || after).name;
  const note = !before || !after ? "" : gone || come ? `${come} new, ${gone} gone` : "unchanged";
  return report.el("details.space", { open: gone || come || name === "memory" || null },
    report.el("summary", null, report.el("span.title", null, name),
      report.el("span.note", null, note)),
    note === "unchanged" ? column(null, then, "") : report.el("div.maps", null,
      before && column("At first", then, "−"), after && column("At the end", now, "+")));
}

function mapOf(machine, several) {
  const { before, after } = machine.maps;
  const names = [...new Set([...before, ...after].map((s) => s.name))].sort((a, b) =>
    (b === "memory") - (a === "memory") || a.localeCompare(b));
  const find = (spaces, name) => spaces.find((s) => s.name === name);
  return report.el("div.machine-map", null,
    several && report.el("h3", null, machine.name),
    names.map((name) => space(find(before, name), find(after, name))),
    machine.slots && report.el("p.about", null, machine.slots));
}

report.memory = function () {
  const { machines } = report.data;
  const mapped = machines.filter((m) => m.maps.before.length || m.maps.after.length);
  if (!mapped.length) return;
  report.section("memory", "Memory map", null,
    report.el("p.about", null, "From the highest address down, before the script changed anything "
      + "and at the end. Heights are logarithmic."),
    report.el("ul.legend", { "aria-label": "Kinds of memory" }, KEY.map((kind) =>
      report.el("li", null, report.el("i.m-" + kind.replace("/", "")), kind))),
    mapped.length > 8 ? mapped.map((m) => report.el("details.machine-maps", null,
      report.el("summary", null, m.name), mapOf(m, false)))
      : mapped.map((m) => mapOf(m, mapped.length > 1)));
};
