-- Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
-- Single certificates, each time another one: args: Authorization header, how many there are.
local count

function init(args)
    wrk.headers["Authorization"] = args[1]
    count = tonumber(args[2])
    math.randomseed(os.time())
end

function request()
    return wrk.format("GET", "/api/v1/certificates/mc-bench-" .. math.random(1, count))
end
