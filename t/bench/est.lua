-- Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
-- simpleenroll with a different request each time: args: file of base64 CSRs, Authorization header, first line.
local requests, at = {}, 0

function init(args)
    local first, n = tonumber(args[3]), 0
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/pkcs10"
    wrk.headers["Authorization"] = args[2]
    for each in io.lines(args[1]) do
        n = n + 1
        if n > first then
            requests[#requests + 1] = each
        end
    end
end

function request()
    at = at + 1
    if at > #requests then
        error("the requests are used up: make more of them")
    end
    return wrk.format(nil, nil, nil, requests[at])
end

function done(summary)
    io.write("Used: " .. summary.requests .. "\n")
end
