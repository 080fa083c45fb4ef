-- Runs alone: it sets how many huge pages the host has.
require "spec.support.matrix.describe" "huge_pages"
