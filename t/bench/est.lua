-- Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
-- simpleenroll with a different request each time: args: file of base64 CSRs, Authorization header, first line.
local requests, head

function init(args)
    requests = assert(io.open(args[1]))
    for _ = 1, tonumber(args[3]) do
        requests:read("*l")
    end
    head = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\nAuthorization: " .. args[2] ..
           "\r\nContent-Type: application/pkcs10\r\nContent-Length: "
end

function request()
    local csr = requests:read("*l") or error("the requests are used up: make more of them")
    return head .. #csr .. "\r\n\r\n" .. csr
end
