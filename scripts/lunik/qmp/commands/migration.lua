--- Commands about migration, of which there is none yet: what clients ask before they do anything
-- else.

local json = require "lunik.json"

local function array(list) return setmetatable(list or {}, json.Array) end

return {
  { name = "query-migrate-capabilities", returns = "[MigrationCapabilityStatus]",
    run = function() return array() end },
  { name = "migrate-set-capabilities",
    args = { capabilities = "[MigrationCapabilityStatus]" }, run = function() end },
  { name = "query-migrate", returns = "MigrationInfo", run = function() end },
}
