-- A wrk script: each connection plays one life of a dfget 1.0 after the other.
-- A life has 31 requests, as that of a real one with 13 pieces. A real one that has nothing left to
-- ask for reports its last pieces while a pull of its own is held; this one does so before.
-- Arguments: URL of the file, without its last digits; each connection has a file of its own.
local connections, threads = 0, {}

function setup(thread)
   thread:set("connection", connections)
   connections = connections + 1
   table.insert(threads, thread)
end

function init(args)
   url, lives = args[1] .. connection, 0
   begin()
end

function begin()
   lives = lives + 1
   cid = "127.0.0.1-" .. connection .. "-" .. lives .. ".1"
   todo, reported, given, at = {}, {}, 0, "registry"
end

local function get(path, query)
   return wrk.format("GET", path .. "?" .. query)
end

function request()
   if at == "registry" then
      local body = '{"rawUrl":"' .. url .. '","taskUrl":"' .. url .. '","cid":"' .. cid .. '",' ..
         '"ip":"127.0.0.1","hostName":"c' .. connection .. '","port":15001,"path":"/peer/file/f",' ..
         '"version":"1.0.6","superNodeIp":"127.0.0.1"}'
      return wrk.format("POST", "/peer/registry", {["Content-Type"] = "application/json"}, body)
   elseif at == "begin" then
      return get("/peer/task", "srcCid=" .. cid .. "&dstCid=&range=&result=502&status=700&taskId=" .. task)
   elseif at == "suc" then
      local piece = table.remove(todo, 1)
      table.insert(reported, piece)
      return get("/peer/piece/suc", "taskId=" .. task .. "&cid=" .. cid .. "&dstCid=" .. piece.from ..
         "&pieceRange=" .. piece.range)
   elseif at == "pull" then
      local piece = table.remove(reported, 1)
      return get("/peer/task", "srcCid=" .. cid .. "&dstCid=" .. piece.from .. "&range=" .. piece.range ..
         "&result=503&status=701&taskId=" .. task)
   elseif at == "metrics" then
      return wrk.format("POST", "/task/metrics", {}, '{"success":true,"taskId":"' .. task .. '"}')
   end
   return get("/peer/service/down", "taskId=" .. task .. "&cid=" .. cid)
end

function response(status, headers, body)
   local code = tonumber(body:match('"code":(%d+)'))
   if at == "registry" then
      task, at = body:match('"taskId":"(%x+)"'), "begin"
   elseif at == "begin" or at == "pull" then
      for range, from in body:gmatch('"range":"([%d-]+)".-"cid":"([^"]+)"') do
         table.insert(todo, {range = range, from = from})
         given = given + 1
      end
      at = #todo > 0 and "suc" or #reported > 0 and "pull" or "metrics"
      if at == "metrics" and code ~= 600 then
         error(body)
      end
   elseif at == "suc" then
      at = given == 13 and #todo > 0 and "suc" or "pull"
   elseif at == "metrics" then
      at = "down"
   else
      begin()
   end
end

function done(summary, latency, requests)
   local lives = 0
   for _, thread in ipairs(threads) do
      lives = lives + thread:get("lives") - 1
   end
   io.write(string.format("lives %d seconds %f p99 %f errors %d\n", lives, summary.duration / 1e6,
      latency:percentile(99) / 1e3, summary.errors.status))
end
