-- SPDX-License-Identifier: Apache-2.0
-- For wrk: GETs with a token; with BENCH_PATHS a file of paths that are asked for in turn.

wrk.headers["Coder-Session-Token"] = os.getenv("STINT_TOKEN")

local file = os.getenv("BENCH_PATHS") or ""
if file ~= "" then
    local requests, at = {}, 0
    init = function()
        for path in io.lines(file) do
            requests[#requests + 1] = wrk.format("GET", path)
        end
    end
    request = function()
        at = at % #requests + 1
        return requests[at]
    end
end
