// lanes.js: what the timeline shows: items in lanes, rows of items that do not overlap.
//
// An item: start and stop (nanoseconds of the run), title, tone (a class for its colour), flight (the
// index of the flight that it belongs to, or -1), whole (it is that flight, not a step of it), lane
// and at (its place in the lane). A lane: name, items and rows (arrays of items by time).

const CALLS = new Set(["device_add", "device_del", "object_add", "object_del", "start", "resume",
  "reset", "pause", "shutdown"]);
const GUEST = new Set(["access", "ost", "eject", "guest_reset"]);
const TONES = {
  map: "map", section: "map", listener: "map", memslot: "map", hold: "map", shown: "map",
  gpe: "line", gsi: "line", event: "event", handler: "event", drain: "wait", drained: "wait",
};
const MOST_ROWS = 6;

// The lane and the tone of a step.
report.laneOf = function (step) {
  if (GUEST.has(step.kind)) return "guest";
  return CALLS.has(step.kind) && step.thread === "loop" ? "script" : step.thread;
};

report.toneOf = function (step) {
  if (step.failed) return "bad";
  if (GUEST.has(step.kind)) return "guest";
  return CALLS.has(step.kind) ? "call" : TONES[step.kind] || "work";
};

// Gives a flight's step names for its numbers.
report.stepOf = function (step) {
  const { kinds, threads } = report.data.flights;
  const [time, duration, kind, thread, depth, text, failed, where] = step;
  return { time, duration: duration < 0 ? 0 : duration, open: duration === -2, kind: kinds[kind],
    thread: threads[thread], depth, text, failed, where };
};

report.flightOf = function (flight, index) {
  const [machine, kind, device, driver, where, start, stop, outcome, why, lost, steps] = flight;
  return { index, machine, kind, device, driver, where, start, stop: stop === false
    ? report.data.duration : stop, open: stop === false, outcome, why, lost, steps };
};

report.flightTitle = function (flight) {
  return flight.device ? `${flight.kind} of ${flight.device}` : flight.kind;
};

// Puts an item into the first row that is free at its start; the last row takes what has none.
function pack(rows, item, most) {
  let row = rows.find((r) => r[r.length - 1].stop <= item.start);
  if (!row) {
    if (rows.length < most) rows.push(row = []);
    else row = rows[rows.length - 1];
  }
  row.push(item);
}

function laneNamed(lanes, name) {
  if (!lanes.has(name)) lanes.set(name, { name, items: [] });
  return lanes.get(name);
}

// Items all have the same fields, in the same order, which makes drawing many of them faster.
function addItem(lanes, name, start, stop, title, tone, flight = -1, whole = false) {
  const lane = laneNamed(lanes, name);
  lane.items.push({ start, stop, title, tone, flight, whole, lane, at: 0 });
}

function addFlight(lanes, flight) {
  addItem(lanes, "flights", flight.start, flight.stop, report.flightTitle(flight),
    report.tone(flight.outcome), flight.index, true);
  for (const packed of flight.steps) {
    const step = report.stepOf(packed);
    addItem(lanes, report.laneOf(step), step.time, step.time + step.duration, step.text,
      report.toneOf(step), flight.index);
  }
}

function addOthers(lanes, machine) {
  const { consoles, events, tests } = report.data;
  for (const test of tests)
    addItem(lanes, "examples", test.start, test.stop, test.name, report.tone(test.outcome));
  for (const console of consoles) {
    if (machine >= 0 && console.machine !== machine && console.machine >= 0) continue;
    for (const [time, text] of console.chunks)
      addItem(lanes, "output", time, time, console.name + ": " + text.trim().slice(0, 200), "output");
  }
  for (const [time, of, name, text] of events) if (machine < 0 || of === machine || of < 0)
    addItem(lanes, "events", time, time, name + " " + text,
      name === "note" ? "call" : name === "error" || name === "crashed" ? "bad" : "event");
}

function rank(name) {
  const order = ["examples", "flights", "script", "loop", "vcpu", "thread", "guest", "output",
    "events"];
  const at = order.indexOf(name.split(" ")[0]);
  return at < 0 ? 5 : at;
}

// Returns the lanes of a machine, or of all (machine -1): from the script's to the guest's.
report.lanesOf = function (machine) {
  const lanes = new Map();
  report.data.flights.list.forEach((packed, index) => {
    if (machine < 0 || packed[0] === machine) addFlight(lanes, report.flightOf(packed, index));
  });
  addOthers(lanes, machine);
  const sorted = [...lanes.values()].sort((a, b) => rank(a.name) - rank(b.name)
    || a.name.localeCompare(b.name, "en", { numeric: true }));
  for (const lane of sorted) {
    lane.items.sort((a, b) => a.start - b.start || b.stop - a.stop);
    lane.items.forEach((item, i) => { item.at = i; });
    lane.rows = [];
    const most = lane.items[0].start === lane.items[0].stop ? 1 : MOST_ROWS;
    for (const item of lane.items) pack(lane.rows, item, most);
  }
  return sorted;
};

// Returns the index of the first item of a row that ends at or after a moment.
report.firstAt = function (row, time) {
  let low = 0, high = row.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (row[middle].stop < time) low = middle + 1;
    else high = middle;
  }
  return low;
};
