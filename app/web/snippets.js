// A request of api.js in words that work elsewhere: a curl command, and a Python program.
//
// The page sends arrays as files; here they stand as JSON, which the service takes as well, and which can be read.

const EXTENSIONS = {"image/png": "png", "application/x-npy": "npy", "application/vnd.safetensors": "safetensors",
  "application/json": "json"};
const READABLE = {"application/x-npy": "image/png", "application/vnd.safetensors": "application/json"};

/** A command for a shell. */
export function asCurl(request) {
  const {accept, out, json} = readable(request);
  const parts = [`curl -s '${request.address}'`, `-H 'accept: ${accept}'`];
  if (request.keyed) parts.push('-H "authorization: Bearer $REPARAM_KEY"');
  if (json) parts.push("-H 'content-type: application/json'", `-d '${json}'`);
  else if (request.method === "POST") parts.push("-F images=@digit.png");
  if (out) parts.push(`-o ${out}`);
  return parts.join(" \\\n  ");
}

/** A program for Python, which needs `pip install httpx`. */
export function asPython(request) {
  const {accept, out, json} = readable(request);
  const headers = [`"accept": "${accept}"`];
  if (request.keyed) headers.push('"authorization": f"Bearer {os.environ[\'REPARAM_KEY\']}"');
  const lines = [...(request.keyed ? ["import os", ""] : []), "import httpx", ""];
  const parts = [`    "${request.address}",`, `    headers={${headers.join(", ")}},`];
  if (json) parts.push(`    json=${json},`);
  else if (request.method === "POST") parts.push('    files={"images": open("digit.png", "rb")},');
  lines.push(`answer = httpx.${request.method.toLowerCase()}(`, ...parts, ")", "answer.raise_for_status()");
  if (out) lines.push(`with open("${out}", "wb") as file:`, "    file.write(answer.content)");
  else lines.push("print(answer.json())");
  return lines.join("\n");
}

function readable({accept, json, address}) {
  let wanted = READABLE[accept] ?? accept;
  if (/\/(sample|interpolate)$/.test(address.pathname)) wanted = "image/png"; // pictures are what these are for
  const out = wanted === "application/json" ? null : `digits.${EXTENSIONS[wanted] ?? "bin"}`;
  return {accept: wanted, out, json: json ? JSON.stringify(json()) : null};
}
