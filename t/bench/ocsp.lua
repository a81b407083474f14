-- Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
-- OCSP requests for serials in random order.  Args: "post" or "get", path, file of base64 requests, "all" (each once,
-- in order, then again) or a seed.
local requests, at, random = {}, 0, true

local function decoded(text)
    local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    local value, out = {}, {}
    for i = 1, 64 do
        value[alphabet:byte(i)] = i - 1
    end
    for a, b, c, d in text:gmatch("(.)(.)(.)(.)") do
        local n = value[a:byte()] * 262144 + value[b:byte()] * 4096 + (value[c:byte()] or 0) * 64 + (value[d:byte()] or 0)
        out[#out + 1] = string.char(math.floor(n / 65536), math.floor(n / 256) % 256, n % 256):sub(1, c == "=" and 1 or d == "=" and 2 or 3)
    end
    return table.concat(out)
end

local function escaped(text)
    return (text:gsub("[+/=]", { ["+"] = "%2B", ["/"] = "%2F", ["="] = "%3D" }))
end

function init(args)
    random = args[4] ~= "all"
    if random then
        math.randomseed(tonumber(args[4]))
    end
    for each in io.lines(args[3]) do
        if args[1] == "post" then
            requests[#requests + 1] = wrk.format("POST", args[2], { ["Content-Type"] = "application/ocsp-request" }, decoded(each))
        else
            requests[#requests + 1] = wrk.format("GET", args[2] .. "/" .. escaped(each))
        end
    end
end

function request()
    at = random and math.random(#requests) or at % #requests + 1
    return requests[at]
end
