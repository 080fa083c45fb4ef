-- The reader of C headers.
local c_page = require "docs.generate.c_page"
local headers = require "docs.generate.headers"

local TEXT = [[
/*
 * sample.h: a sample.
 *
 * Errors: none.
 */
#ifndef LUNIK_SAMPLE_H
#define LUNIK_SAMPLE_H
#include <stdint.h>

typedef struct lunik_thing lunik_thing;

/* ---- things --------------------------------------------------------------------------------- */

/* The kinds. */
enum {
    LUNIK_ONE = 1,
    LUNIK_TWO,
};

/* A thing: what it has, and
 * what it is for. */
struct lunik_thing {
    int size; /* bytes */

    void (*done)(lunik_thing *t);
};

/* The rules:
 *   first,
 *   second. */

/* Makes one. */
int lunik_thing_new(lunik_thing **out);
/* Frees it. */
static inline void lunik_thing_free(lunik_thing *t)
{
    if (t) {
        t->size = 0;
    }
}

#define LUNIK_MAP(X)      \
    X(ONE)                \
    X(TWO)

#endif
]]

describe("the reader of headers", function()
  local file = headers.parse(TEXT)
  local entries = file.sections[2].entries

  it("reads the introduction and sections", function()
    assert.same({ { text = "sample.h: a sample." }, { text = "Errors: none." } }, file.intro)
    assert.equal("things", file.sections[2].title)
  end)

  it("takes declarations and the comment before them together", function()
    assert.same({ "LUNIK_ONE", "LUNIK_TWO" }, entries[1].names)
    assert.same({ "lunik_thing" }, entries[2].names)
    assert.same({ { text = "A thing: what it has, and what it is for." } }, entries[2].doc)
    assert.matches("int size; /%* bytes %*/\n\n    void", entries[2].code)
    assert.same({ "lunik_thing_new" }, entries[4].names)
  end)

  it("keeps comments that stand alone, and their layout", function()
    assert.same({ { text = "The rules:" }, { lines = "first,\nsecond." } }, entries[3].doc)
    assert.equal("", entries[3].code)
  end)

  it("leaves bodies and padding out", function()
    assert.equal("static inline void lunik_thing_free(lunik_thing *t);", entries[5].code)
    assert.equal("#define LUNIK_MAP(X) \\\n    X(ONE) \\\n    X(TWO)", entries[6].code)
  end)

  it("links structs where they are defined", function()
    local names, forward = c_page.names(file)
    assert.same({ "LUNIK_ONE", "LUNIK_TWO", "lunik_thing", "lunik_thing_new", "lunik_thing_free",
      "LUNIK_MAP" }, names)
    assert.same({ "lunik_thing" }, forward)
  end)
end)
