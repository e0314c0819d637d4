-- A wrk script: each connection plays one life of a client of the specification after the other.
-- Arguments: URL of the file, without its last digits; each connection has a file of its own.
local connections, threads = 0, {}

function setup(thread)
   thread:set("connection", connections)
   connections = connections + 1
   table.insert(threads, thread)
end

function init(args)
   url, lives, waits = args[1] .. connection, 0, 0
   begin()
end

function begin()
   lives = lives + 1
   client = connection .. "-" .. lives
   todo, at = {}, "peer"
end

local function send(method, path, body)
   return wrk.format(method, path, {["Content-Type"] = "application/json"}, body)
end

local function pull(query)
   return wrk.format("GET", "/tasks/" .. task .. "/pieces?clientID=" .. client .. "&num=4" .. query)
end

function request()
   if at == "peer" then
      return send("POST", "/peers", '{"IP":"127.0.0.1","hostName":"c' .. client .. '","port":15001}')
   elseif at == "task" then
      return send("POST", "/tasks", '{"rawURL":"' .. url .. '","cID":"' .. client .. '","peerID":"' .. peer ..
         '","path":"/f"}')
   elseif at == "begin" then
      return pull("&dfgetTaskStatus=STARTED")
   elseif at == "report" then
      piece = table.remove(todo, 1)
      return send("PUT", "/tasks/" .. task .. "/pieces/" .. piece.range, '{"clientID":"' .. client ..
         '","dstPID":"' .. piece.from .. '","pieceStatus":"SUCCESS"}')
   elseif at == "pull" then
      return pull("&pieceRange=" .. piece.range .. "&dstPID=" .. piece.from .. "&pieceResult=SUCCESS")
   elseif at == "finish" then
      return pull("&dfgetTaskStatus=FINISHED")
   end
   return wrk.format("DELETE", "/peers/" .. peer)
end

function response(status, headers, body)
   if at == "peer" then
      peer, at = body:match('"ID":"([^"]+)"'), "task"
   elseif at == "task" then
      task, reported, at = body:match('"ID":"(%x+)"'), 0, "begin"
   elseif at == "begin" or at == "pull" then
      for from, range in body:gmatch('"pID":"([^"]+)".-"pieceRange":"([%d-]+)"') do
         table.insert(todo, {range = range, from = from})
      end
      at = #todo > 0 and "report" or "finish"
   elseif at == "report" then
      at = "pull"
   elseif at == "finish" then
      at = "leave"
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
