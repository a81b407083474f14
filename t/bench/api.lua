-- Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
-- Single certificates, each time another one: args: Authorization header, how many there are.
local count, tail

function init(args)
    count = tonumber(args[2])
    tail = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\nAuthorization: " .. args[1] .. "\r\n\r\n"
    math.randomseed(os.time())
end

function request()
    return "GET /api/v1/certificates/mc-bench-" .. math.random(1, count) .. tail
end
