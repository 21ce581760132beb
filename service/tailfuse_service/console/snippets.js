// A request as programs write it, ready to copy. A key is never part of it.

/** @typedef {import("./types.d.ts").Inputs} Inputs */

const MAX_SHOWN = 60; // characters of a text that is shown; files in base64 are long

/**
 * Return the request in curl, Python and JavaScript.
 * @param {string} url @param {Inputs} inputs @param {boolean} needsKey
 * @returns {[string, string][]}
 */
export function makeSnippets(url, inputs, needsKey) {
  return [
    ["curl", makeCurl(url, inputs, needsKey)],
    ["Python", makePython(url, inputs, needsKey)],
    ["JavaScript", makeJavaScript(url, inputs, needsKey)],
  ];
}

/**
 * Return the inputs with long texts cut, to be shown.
 * @param {unknown} value
 * @returns {any}
 */
export function shorten(value) {
  if (typeof value === "string") return value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN)}…` : value;
  if (Array.isArray(value)) return value.map(shorten);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, shorten(each)]));
}

/** @param {string} url @param {Inputs} inputs @param {boolean} needsKey */
function makeCurl(url, inputs, needsKey) {
  const key = needsKey ? ` -H 'Authorization: Bearer YOUR_KEY'` : "";
  // JSON has no line break, so that no line of it ends the document; in 'quotes', the shell leaves it alone.
  return `curl '${url.replaceAll("'", "%27")}'${key} -H 'Content-Type: application/json' --data-binary @- <<'END'\n${JSON.stringify({ inputs })}\nEND\n`;
}

/** @param {string} url @param {Inputs} inputs @param {boolean} needsKey */
function makePython(url, inputs, needsKey) {
  const key = needsKey ? `, "Authorization": "Bearer YOUR_KEY"` : "";
  return `import json, urllib.request

body = {"inputs": ${writePython(inputs)}}
request = urllib.request.Request(
    ${JSON.stringify(url)}, json.dumps(body).encode(),
    {"Content-Type": "application/json"${key}},
)
print(json.load(urllib.request.urlopen(request)))
`;
}

/** @param {string} url @param {Inputs} inputs @param {boolean} needsKey */
function makeJavaScript(url, inputs, needsKey) {
  const key = needsKey ? `, "Authorization": "Bearer YOUR_KEY"` : "";
  // Parsed from text: in a literal, the member "__proto__" would be no member.
  return `const body = JSON.stringify({ inputs: JSON.parse(${JSON.stringify(JSON.stringify(inputs))}) });
const response = await fetch(${JSON.stringify(url)}, {
  method: "POST", body, headers: { "Content-Type": "application/json"${key} },
});
console.log(await response.json());
`;
}

/**
 * Return a JSON value as a Python literal. A text in JSON's quotes is one in Python too.
 * @param {unknown} value
 * @returns {string}
 */
export function writePython(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(writePython).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${writePython(each)}`);
  return `{${members.join(", ")}}`;
}
