-- wrk sends the requests in the files that follow `--` in turn, each as it is, and tells what came back as JSON.
local requests, turn, threads = {}, 0, {}
statuses = ""

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  for i, path in ipairs(args) do
    local file = assert(io.open(path, "rb"))
    requests[i] = file:read("*a")
    file:close()
  end
  if #requests > 1 then -- counting takes time: only where there is more than one answer to tell apart
    local counts = {}
    function response(status)
      counts[status] = (counts[status] or 0) + 1
      local parts = {}
      for code, count in pairs(counts) do
        parts[#parts + 1] = string.format('"%d":%d', code, count)
      end
      statuses = table.concat(parts, ",")
    end
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%f,"p50_ms":%f,"p99_ms":%f,"max_ms":%f,"refused":%d,"statuses":{%s},' ..
    '"errors":{"connect":%d,"read":%d,"write":%d,"timeout":%d}}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, e.status, threads[1]:get("statuses"), e.connect, e.read, e.write, e.timeout))
end
