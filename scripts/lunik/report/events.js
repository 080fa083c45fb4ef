// events.js: the journal: every event of every machine, and the script's notes.

let list, filter, only, hint, rows;

function eventRow([time, machine, name, text, more]) {
  return report.el("div.event" + (name === "error" || name === "crashed" ? ".bad" : ""),
    { role: "listitem" },
    report.el("span.at", null, report.moment(time, 1e5)),
    rows.several && report.el("span.of", null, report.machineName(machine)),
    report.el("span.name", null, name),
    report.el("span.text", null, text, more && report.el("pre", null, more)));
}

function showEvents() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.all.filter(([, machine, name, text]) => {
    if (only && only.value !== "" && only.value !== String(machine)) return false;
    const line = (name + " " + text + " " + report.machineName(machine)).toLowerCase();
    return words.every((word) => line.includes(word));
  });
  hint.textContent = found.length === rows.all.length ? ""
    : `${found.length.toLocaleString("en")} of ${rows.all.length.toLocaleString("en")}`;
  report.fill(list, found, 25, eventRow);
}

function tools(machines) {
  let timer;
  filter = report.el("input", { type: "search", id: "events-filter", placeholder: "device-added dimm1",
    autocomplete: "off", spellcheck: "false",
    oninput: () => { clearTimeout(timer); timer = setTimeout(showEvents, 120); } });
  only = machines.length > 1 && report.el("select", { id: "events-machine", onchange: showEvents },
    report.el("option", { value: "" }, "all machines"),
    machines.map((m, i) => report.el("option", { value: String(i) }, m.name)));
  hint = report.el("span.hint", { role: "status" });
  return report.el("div.tools", null, report.el("label", null, "Find ", filter),
    only && report.el("label", null, "Of ", only), hint);
}

report.events = function () {
  const { events, eventsLost, machines, limits } = report.data;
  if (!events.length) return;
  rows = { all: events, several: machines.length > 1 };
  list = report.el("div.events" + (rows.several ? ".several" : ""), { role: "list" });
  report.section("events", "Events", report.count(events.length, "event"), tools(machines),
    eventsLost > 0 && report.el("p.lost", null, report.count(eventsLost, "event")
      + ` not kept: those in the middle (a report keeps ${limits.events.toLocaleString("en")}).`),
    list, events.length > 2000 && report.el("p.print-only", null,
      "Printed: the first and the last 1,000."));
  showEvents();
};
