// machines.js: the machines, with their options, and their objects and devices at the end.

function objectRow([id, type, path, properties, isDevice]) {
  return report.el("details.object", null,
    report.el("summary", null, report.el("span.title", null, id || path),
      report.el("span.type", null, type),
      report.el("span.kind", null, isDevice ? "device" : "object")),
    report.el("p.path", null, path),
    properties.length ? report.pairs(properties) : report.el("p.about", null, "No properties."));
}

function facts(machine) {
  const { duration } = report.data;
  const until = machine.closed === false ? duration : machine.closed;
  return report.pairs([["state", machine.state], ["accelerator", machine.accel],
    ["exit code", machine.exit === false ? "none" : String(machine.exit)],
    ["made at", report.moment(machine.made) + " s"],
    ["closed at", machine.closed === false ? "end of the run" : report.moment(until) + " s"]]);
}

function machineOf(machine, index) {
  const { objects } = machine;
  const list = report.el("div.objects");
  const details = report.el("details.machine", { id: "machine-" + index,
    open: report.data.machines.length === 1 || null },
  report.el("summary", null, report.el("span.title", null, machine.name),
    report.el("span.note", null, [machine.board, machine.accel, machine.state,
      report.count(objects.length, "object")].filter(Boolean).join(" · "))),
  report.el("div.halves", null,
    report.el("div", null, report.el("h3", null, "Run"), facts(machine)),
    machine.options.length > 0 && report.el("div", null, report.el("h3", null, "Options"),
      report.pairs(machine.options))),
  report.el("h3", null, "Objects and devices at the end"),
  report.lost(machine.objectsLost, "object"), list);
  const fill = () => details.open && !list.children.length
    && report.fill(list, objects, 37, objectRow);
  details.addEventListener("toggle", fill);
  fill();
  return details;
}

report.machines = function () {
  const { machines, machinesLost, limits } = report.data;
  if (!machines.length) return;
  report.section("machines", "Machines", report.count(machines.length, "machine"),
    report.lost(machinesLost, "machine", limits.machines), machines.map(machineOf));
};
