// ansi.js: what a terminal would make of a console's text: colours are kept, other sequences dropped.

// Sequences: CSI (ESC [ ... letter), OSC and other strings (up to BEL or ESC \), charsets, single ones.
const SEQUENCES = new RegExp([
  "\\u001b\\[([0-9:;<=>?]*)[ -/]*([@-~])",
  "\\u001b[\\]PX^_][^\\u0007\\u001b\\n]*(?:\\u0007|\\u001b\\\\)?",
  "\\u001b[ -/]+[0-~]",
  "\\u001b[0-Z\\\\^-~]",
  "\\u001b",
].join("|"), "g");

const PLAIN = { fg: null, bg: null, bold: false, faint: false, italic: false, under: false,
  inverse: false };

// Returns the class or colour of a colour's number 0 to 255.
function indexed(n) {
  if (n < 16) return "c" + n;
  if (n > 231) {
    const grey = 8 + (n - 232) * 10;
    return `rgb(${grey},${grey},${grey})`;
  }
  const level = (v) => (v ? 55 + 40 * v : 0);
  const cube = n - 16;
  return `rgb(${level(Math.floor(cube / 36))},${level(Math.floor(cube / 6) % 6)},${level(cube % 6)})`;
}

// Takes the colour after 38 or 48; returns it and how many numbers it has used.
function extended(codes, at) {
  if (codes[at] === 5) return [indexed(Math.min(255, codes[at + 1] || 0)), 2];
  if (codes[at] === 2) {
    const [r, g, b] = codes.slice(at + 1, at + 4).map((v) => Math.min(255, v || 0));
    return [`rgb(${r || 0},${g || 0},${b || 0})`, 4];
  }
  return [null, 0];
}

const FLAGS = { 1: ["bold", true], 2: ["faint", true], 3: ["italic", true], 4: ["under", true],
  7: ["inverse", true], 23: ["italic", false], 24: ["under", false], 27: ["inverse", false] };

// Changes the style by the numbers of a sequence ESC [ ... m.
function restyle(style, numbers) {
  const codes = numbers.split(/[;:]/, 64).map((n) => parseInt(n, 10) || 0);
  for (let i = 0; i < codes.length; i++) {
    const n = codes[i];
    if (n === 0) style = PLAIN;
    else if (n === 22) style = { ...style, bold: false, faint: false };
    else if (FLAGS[n]) style = { ...style, [FLAGS[n][0]]: FLAGS[n][1] };
    else if (n >= 30 && n <= 37) style = { ...style, fg: "c" + (n - 30) };
    else if (n >= 90 && n <= 97) style = { ...style, fg: "c" + (n - 82) };
    else if (n >= 40 && n <= 47) style = { ...style, bg: "c" + (n - 40) };
    else if (n >= 100 && n <= 107) style = { ...style, bg: "c" + (n - 92) };
    else if (n === 39) style = { ...style, fg: null };
    else if (n === 49) style = { ...style, bg: null };
    else if (n === 38 || n === 48) {
      const [colour, used] = extended(codes, i + 1);
      style = { ...style, [n === 38 ? "fg" : "bg"]: colour };
      i += used;
    }
  }
  return style;
}

// What remains of a text after backspaces.
function overtyped(text) {
  if (!text.includes("\b")) return text;
  const kept = [];
  for (const c of text) if (c !== "\b") kept.push(c); else kept.pop();
  return kept.join("");
}

function painted(text, style) {
  if (style === PLAIN) return report.visible(text);
  const classes = ["bold", "faint", "italic", "under"].filter((name) => style[name]);
  let { fg, bg } = style;
  if (style.inverse) [fg, bg] = [bg || "back", fg || "fore"];
  for (const [prefix, colour] of [["f-", fg], ["b-", bg]])
    if (colour && !colour.startsWith("rgb")) classes.push(prefix + colour);
  const span = report.el("span", { class: classes.join(" ") || null }, text);
  if (fg && fg.startsWith("rgb")) span.style.color = fg;
  if (bg && bg.startsWith("rgb")) span.style.backgroundColor = bg;
  return span;
}

// Returns a function that makes nodes of one line after the other; colours last beyond the line.
report.terminal = function () {
  let style = PLAIN;
  return function (line) {
    const nodes = [];
    const add = (text) => {
      const start = text.lastIndexOf("\r") + 1; // what was before that is written over
      if (start) nodes.length = 0;
      text = overtyped(text.slice(start));
      if (text) nodes.push(painted(text, style));
    };
    let at = 0;
    line = line.replace(/\r+$/, "");
    for (const match of line.matchAll(SEQUENCES)) {
      add(line.slice(at, match.index));
      at = match.index + match[0].length;
      if (match[2] === "m" && !/[<=>?]/.test(match[1])) style = restyle(style, match[1]);
    }
    add(line.slice(at));
    return nodes;
  };
};
