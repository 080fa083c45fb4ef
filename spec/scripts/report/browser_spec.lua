-- A report in a browser: hostile text stays text, the page works with the keyboard, and in print.
local browser = require "spec.support.browser"
local command = require "spec.support.command"
local pages = require "spec.support.pages"

local HOSTILE = [==[
  local m <close> = lunik.machine { name = "</script><b>vm", accel = "none", memory = "64M",
    maxmem = "1G", slots = 4, serial = "buffer" }
  m:start()
  local function say(text) for c in text:gmatch "." do m:outb(0x3f8, c:byte()) end end
  say "</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>\n"
  say "\27[31;1mred\27[0m \27]0;title\7plain \27[2J\27[38;2;1;2;3mrgb\27[0m\n"
  say "a\0b\1\xff \u{202e}gnp\u{2028}x <!-- & &lt;\n"
  say "10%\r50%\r100%\nabc\b\bX\n"
  m:emit("note<i>", { text = "</script><u>" })
  print("<b>printed</b>")
  for i = 1, 3 do
    m:object_add("memory-backend-ram", { id = "mem" .. i, size = "16M" })
    m:device_add("pc-dimm", { id = "dimm" .. i, memdev = "mem" .. i })
  end
  lunik.sleep(0.05)
  error "<script>failed()</script>"
]==]

-- What is looked at in the page, in one go, as the browser takes long to start.
local LOOK = [==[
  report.fillAll();
  const lines = [...document.querySelector(".screen").querySelectorAll(".l")];
  check("title", document.title);
  check("markup", document.querySelectorAll("main b b, main u, main i i, .screen img").length);
  lines.forEach((line, i) => check("line " + i, line.textContent));
  check("error shown", document.querySelector(".errors .what").textContent);
  check("event", [...document.querySelectorAll(".event .name")].map((e) => e.textContent)
    .includes("note<i>"));
  const spans = [...lines[1].querySelectorAll("span")];
  check("colours", spans.map((s) => s.className).join() + spans[1].style.color);

  check("loaded", performance.getEntriesByType("resource").length);
  const foreign = document.createElement("script");
  foreign.textContent = "document.title = 'run'";
  document.body.append(foreign);
  check("foreign script", document.title === "run");

  const box = document.querySelector(".timeline");
  const key = (name) => box.dispatchEvent(new KeyboardEvent("keydown", { key: name,
    bubbles: true, cancelable: true }));
  const now = () => document.querySelector(".readout .count").textContent.split(" ")[0];
  box.focus();
  check("focus", document.activeElement === box);
  for (const name of ["End", "Home", "ArrowDown", "ArrowUp", "+", "-", "z", "0"]) {
    key("ArrowRight");
    key(name);
  }
  key("Home");
  check("first", now());
  key("ArrowRight");
  check("second", now());

  const line = report.timelineState, chart = line.chart.getBoundingClientRect();
  const there = line.rows.find((row) => row.boxes.length).boxes.at(-1);
  const at = { clientX: chart.left + there.x + 1, clientY: chart.top + there.y + 5, button: 0,
    bubbles: true };
  line.chart.dispatchEvent(new PointerEvent("pointermove", at));
  check("pointed", document.querySelector(".pointed").getAttribute("d") !== "");
  line.chart.dispatchEvent(new PointerEvent("pointerdown", at));
  window.dispatchEvent(new PointerEvent("pointerup", at));
  check("clicked", line.selected === there.item);
  line.chart.dispatchEvent(new PointerEvent("pointermove", { ...at, clientX: chart.left + 5 }));
  check("names are no items", document.querySelector(".pointed").getAttribute("d") === "");

  const first = document.querySelector("a, button, input, select, summary, [tabindex]");
  check("skip", first.className + " " + first.hash);
  check("headings", document.querySelectorAll("h1").length);
  const named = (e) => e.textContent.trim() || e.ariaLabel || e.labels && e.labels.length;
  check("nameless", [...document.querySelectorAll("a, button, input, select, summary, "
    + "[tabindex='0']")].filter((e) => !named(e)).length);
  check("sections", [...document.querySelectorAll("section")].every((s) =>
    document.getElementById(s.getAttribute("aria-labelledby"))));
  const back = () => getComputedStyle(document.body).backgroundColor;
  document.querySelector("input[value=light]").click();
  const light = back();
  document.querySelector("input[value=dark]").click();
  check("dark differs", light !== back());
]==]

describe("a report in a browser", function()
  local page, seen, messages

  setup(function()
    if not browser.found() then return end
    page = pages.run(HOSTILE)
    seen, messages = browser.run(page, LOOK)
  end)

  teardown(function()
    if page then getmetatable(page).__close(page) end
  end)

  before_each(function()
    if not page then pending("needs chromium (make deps GROUPS=browser)") end
  end)

  -- Checks values by their names.
  local function saw(expected)
    assert.is_nil(seen.error)
    for name, value in pairs(expected) do assert.equal(value, seen[name], name) end
  end

  it("shows hostile text as text", function()
    saw {
      markup = "0", event = "true",
      ["line 0"] = "</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>",
      ["line 1"] = "red plain rgb",
      ["line 2"] = "a^@b^A\u{fffd} ⟨202E⟩gnp\u{2028}x <!-- & &lt;",
      ["line 3"] = "100%", ["line 4"] = "aX",
    }
    assert.matches("^lua_[%w_]+%.lua$", seen.title)
    assert.matches(": <script>failed%(%)</script>$", seen["error shown"])
  end)

  it("shows the colours of a terminal", function()
    saw { colours = "bold f-c1,rgb(1, 2, 3)" }
  end)

  it("loads nothing and runs no other script; nothing else is in the browser's log", function()
    saw { loaded = "0", ["foreign script"] = "false" }
    assert.equal(1, #messages)
    assert.matches("Content Security Policy", messages[1])
  end)

  it("follows the keyboard in the timeline", function()
    saw { focus = "true", first = "1", second = "2" }
  end)

  it("follows the pointer in the timeline", function()
    saw { pointed = "true", clicked = "true", ["names are no items"] = "true" }
  end)

  it("has a skip link, headings, names for what takes the focus, a switch of colours", function()
    saw { skip = "skip #main", headings = "1", nameless = "0", sections = "true",
      ["dark differs"] = "true" }
  end)

  it("fits into a narrow window", function()
    local values = browser.run(page, 'check("fits", document.documentElement.scrollWidth '
      .. '<= innerWidth); check("width", innerWidth)', "--window-size=500,800")
    assert.same({ fits = "true", width = "500" }, values)
  end)

  it("prints", function()
    local pdf, complaints = browser.print(page)
    assert.same({}, complaints)
    assert.matches("^%%PDF%-", pdf)
  end)

  it("stays one page with 10,000 events and a megabyte of output", function()
    local large <close> = pages.run [==[
      local m <close> = lunik.machine { name = "large", accel = "none", memory = "16M" }
      for i = 1, 10000 do
        m:emit("tick", { number = i })
        if i % 25 == 0 then lunik.sleep(0.001) end
      end
      for i = 1, 20000 do print(("line %d of what the script prints, and more"):format(i)) end
    ]==]
    assert.equal(10000, #pages.data(large).events)
    local values, complaints = browser.run(large, [[
      report.fillAll();
      check("events", document.querySelectorAll(".event").length);
      const { lanes } = report.timelineState, times = lanes.find((l) => l.name === "events").items;
      const view = { lanes, from: times[0].start, to: times.at(-1).stop, width: 2000, gutter: 92 };
      const shapes = report.chart(view).length;
      check("drawn", view.rows.some((row) => row.boxes.length > 100));
      check("few shapes", shapes < 60);
      check("many lines", document.querySelectorAll(".l").length > 5000);
    ]])
    assert.same({}, complaints)
    assert.same({ events = "10000", drawn = "true", ["few shapes"] = "true",
      ["many lines"] = "true" }, values)
    assert.is_true(#command.read(large) < 8 << 20)
  end)
end)
