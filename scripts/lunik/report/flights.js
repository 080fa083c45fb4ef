// flights.js: the flights, each with its steps as a tree next to their times.

const MOST_OPEN = 5; // failed flights that are open at first

function stepRow(step, flight) {
  const length = Math.max(flight.stop - flight.start, 1);
  const bar = report.el("i.bar.t-" + report.toneOf(step));
  const left = Math.min(Math.max((step.time - flight.start) / length, 0), 1) * 100;
  bar.style.left = `min(${left.toFixed(3)}%, calc(100% - 3px))`;
  bar.style.width = `max(3px, ${Math.min(step.duration / length * 100, 100 - left).toFixed(3)}%)`;
  const what = report.el("span.what", null, step.text,
    step.failed && step.failed !== flight.why && report.el("em", null, step.failed),
    step.where && step.where !== flight.where && report.el("small", null, step.where));
  what.style.paddingInlineStart = `${Math.min(step.depth, 12) * 0.9}em`;
  return report.el("li" + (step.failed ? ".bad" : ""), null,
    report.el("span.at", null, "+" + report.span(step.time - flight.start)),
    report.el("span.lane", null, report.laneOf(step)), what,
    report.el("span.track", { "aria-hidden": "true" }, bar),
    report.el("span.took", null, step.open ? "not ended" : step.duration
      ? report.span(step.duration) : ""));
}

function steps(flight) {
  const list = report.el("ol.steps", { "aria-label": "Steps" });
  report.fill(list, flight.steps, 24, (packed) => stepRow(report.stepOf(packed), flight));
  return list;
}

function openBody(flight) {
  return [
    flight.why && report.el("p.why." + report.tone(flight.outcome), null, flight.why),
    report.el("p.facts", null, report.el("button", { type: "button", class: "link no-print",
        onclick: () => { report.selectFlight(flight.index);
          report.timelineState.box.scrollIntoView({ block: "center" });
          report.timelineState.box.focus({ preventScroll: true }); } }, "Show in the timeline")),
    report.lost(flight.lost, "step"), steps(flight)].filter(Boolean);
}

function row(packed, index) {
  const flight = report.flightOf(packed, index);
  const several = report.data.machines.length > 1;
  const details = report.el("details.flight", { id: "flight-" + index },
    report.el("summary", null, report.badge(flight.outcome),
      report.el("span.title", null, report.flightTitle(flight),
        flight.driver && report.el("small", null, flight.driver),
        several && report.el("small", null, report.machineName(flight.machine))),
      report.el("span.where", null, flight.where || "guest"),
      report.el("span.at", null, report.moment(flight.start) + " s"),
      report.el("span.took", null, flight.open ? "not ended"
        : report.span(flight.stop - flight.start))));
  const fill = () => { if (details.open && details.children.length === 1)
    details.append(...openBody(flight)); };
  details.addEventListener("toggle", fill);
  details.fill = fill;
  return details;
}

let list, choice, shown;

function showFlights() {
  const all = report.data.flights.list.map((packed, index) => ({ packed, index }));
  shown = all.filter(({ packed }) => choice.value === "" || packed[7] === choice.value);
  report.fill(list, shown, 41, ({ packed, index }) => row(packed, index));
}

function outcomeChoice() {
  const counts = new Map();
  for (const packed of report.data.flights.list)
    counts.set(packed[7], (counts.get(packed[7]) || 0) + 1);
  choice = report.el("select", { id: "flights-outcome", onchange: showFlights },
    report.el("option", { value: "" }, "all"),
    [...counts].map(([outcome, n]) => report.el("option", { value: outcome },
      `${outcome} (${n.toLocaleString("en")})`)));
  return report.el("div.tools", null, report.el("label", null, "Show ", choice));
}

// Opens a flight's steps and takes the focus there.
report.openFlight = function (index) {
  if (!shown.some((entry) => entry.index === index)) {
    choice.value = "";
    showFlights();
  }
  const details = report.rowAt(list, shown.findIndex((entry) => entry.index === index));
  details.open = true;
  details.fill();
  details.scrollIntoView({ block: "start" });
  details.querySelector("summary").focus({ preventScroll: true });
};

report.flights = function () {
  const { flights } = report.data;
  if (!flights.list.length && !flights.lost) return;
  list = report.el("div.flights");
  report.section("flights", "Flights", report.count(flights.list.length, "flight"),
    report.el("p.about", null, "What was plugged, unplugged, reset and booted, from the call in "
      + "the script to the guest’s answer."),
    outcomeChoice(), report.lost(flights.lost, "flight", report.data.limits.flights),
    report.lost(flights.stepsLost, "step", report.data.limits.steps), list);
  showFlights();
  const failed = shown.filter(({ packed }) => ["bad", "warn"].includes(report.tone(packed[7])));
  for (const { index } of failed.slice(0, MOST_OPEN)) {
    const details = report.rowAt(list, index);
    details.open = true;
    details.fill();
  }
};
