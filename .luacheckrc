std = "lua54"
max_line_length = 100
unused_args = false
files["spec"] = { std = "lua54+busted" }
files["scripts/templates"] = { std = "lua54+busted" }
files["library"] = { ignore = { "121", "122", "131", "212", "241" }, -- definitions for editors
  max_line_length = false }
