--- Returns the path of the prompts' history, nil if there is none.
return function()
  local home = os.getenv "HOME"
  return os.getenv "LUNIK_HISTORY" or home and home .. "/.lunik_history"
end
