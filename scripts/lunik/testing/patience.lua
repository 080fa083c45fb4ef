--- By how much all of the kit's waits are longer than on a quiet machine whose KVM runs guests
-- natively: the factor in $LUNIK_PATIENCE; 1 without.

local given = os.getenv "LUNIK_PATIENCE"
if not given then return 1 end

local factor = tonumber(given)
if factor and factor > 0 and factor < math.huge then return factor end
error(("LUNIK_PATIENCE is '%s' (want a factor above 0 for the time-outs)"):format(given), 0)
