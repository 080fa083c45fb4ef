// list.js: long lists. Their rows are made a chunk at a time: those in view at once, the others while
// nothing else is to do, so that the browser finds their text and prints them. The browser skips
// the layout of chunks out of view (content-visibility).

const CHUNK = 100;

report.pending = new Set(); // chunks without rows yet

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) entry.target.fill();
}, { rootMargin: "600px" });

function fillSome(deadline) {
  for (const chunk of report.pending) {
    chunk.fill();
    if (deadline.timeRemaining() < 4) break;
  }
  if (report.pending.size) whenIdle();
}

const later = window.requestIdleCallback
  || ((fn) => setTimeout(() => fn({ timeRemaining: () => 0 }), 20));

let asked = false;

function whenIdle() {
  if (asked) return;
  asked = true;
  later((deadline) => { asked = false; fillSome(deadline); });
}

// Fills all chunks, before printing.
report.fillAll = function () {
  for (const chunk of report.pending) chunk.fill();
};

function newChunk(items, from, to, height, make) {
  const chunk = report.el("div.chunk", { role: "presentation" });
  chunk.style.containIntrinsicSize = `auto ${(to - from) * height}px`;
  chunk.style.minHeight = `${(to - from) * height}px`;
  chunk.fill = () => {
    if (!report.pending.delete(chunk)) return;
    watcher.unobserve(chunk);
    const rows = document.createDocumentFragment();
    for (let i = from; i < to; i++) rows.append(make(items[i], i));
    chunk.append(rows);
    chunk.style.minHeight = "";
  };
  report.pending.add(chunk);
  watcher.observe(chunk);
  return chunk;
}

// Puts rows for items into an element, in place of those that are there. make(item, index) makes a
// row, whose height is about that many pixels.
report.fill = function (element, items, height, make) {
  for (const old of element.children) report.pending.delete(old);
  const chunks = [];
  for (let from = 0; from < items.length; from += CHUNK)
    chunks.push(newChunk(items, from, Math.min(from + CHUNK, items.length), height, make));
  element.replaceChildren(...chunks);
  whenIdle();
};

// Makes the row at an index of such a list, and returns it.
report.rowAt = function (element, index) {
  const chunk = element.children[Math.floor(index / CHUNK)];
  if (!chunk) return null;
  chunk.fill();
  return chunk.children[index % CHUNK];
};
